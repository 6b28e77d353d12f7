"""The tree of errors printed in the docstring is the real one."""

from __future__ import annotations

import ast
import errno
import re
from collections.abc import Iterator

from drivefs import errors
from drivefs.errors import DriveError

LINE = re.compile(r"^(?P<indent>[ |]*)(?:\+- )?(?P<name>[A-Z]\w+)(?: +(?P<errno>E[A-Z]+)\b)?")


def classes(top: type[DriveError]) -> Iterator[type[DriveError]]:
    yield top
    for child in top.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from classes(child)


def printed() -> dict[str, tuple[str | None, str | None]]:
    """Name to (parent, errno name), read from the tree in the docstring."""
    docstring = ast.get_docstring(ast.parse(_source())) or ""
    block = [line for line in docstring.splitlines() if line.startswith("    ")]
    found: dict[str, tuple[str | None, str | None]] = {}
    above: list[tuple[int, str]] = []
    for line in block:
        match = LINE.match(line)
        assert match, f"not a line of the tree: {line!r}"
        depth = match.start("name")
        above = [(column, name) for column, name in above if column < depth]
        found[match["name"]] = (above[-1][1] if above else None, match["errno"])
        above.append((depth, match["name"]))
    return found


def _source() -> str:
    assert errors.__file__
    with open(errors.__file__, encoding="utf-8") as file:
        return file.read()


def test_every_error_has_a_number_for_the_kernel_and_an_exit_code() -> None:
    for error in classes(DriveError):
        assert error.errno in errno.errorcode, error
        assert 1 <= error.exit_code <= 5, error


def test_the_tree_in_the_docstring_is_the_real_one() -> None:
    real = {
        error.__name__: error.__bases__[0].__name__ if error is not DriveError else None
        for error in classes(DriveError)
    }
    assert {name: parent for name, (parent, _) in printed().items()} == real


def test_the_numbers_in_the_docstring_are_the_real_ones() -> None:
    real = {error.__name__: errno.errorcode[error.errno] for error in classes(DriveError)}
    shown = {name: number for name, (_, number) in printed().items() if number is not None}
    assert shown.items() <= real.items()
    without = printed().keys() - shown.keys()
    assert without == {"LocalError", "RemoteError", "UsageError"}, "these are never given to the kernel"


def test_every_error_has_one_parent() -> None:
    assert all(len(error.__bases__) == 1 for error in classes(DriveError))
