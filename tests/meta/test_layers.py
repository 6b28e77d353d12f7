"""The import table of the house as data: who may import whom, and what only a few files may do.

Read from the sources with `ast`, so that imports inside functions and under TYPE_CHECKING count as well.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FLOORS = {
    # 0: words, rules and settings; several of these lean on each other
    "drivefs": 0,
    "drivefs.model": 0,
    "drivefs.errors": 0,
    "drivefs.direction": 0,
    "drivefs.plan": 0,
    "drivefs.names": 0,
    "drivefs.config": 0,
    "drivefs.configfile": 0,
    "drivefs.credentials": 0,
    "drivefs.mountpoint": 0,
    # 1: the disk and the net
    "drivefs.store": 1,
    "drivefs.remote": 1,
    # 2: content between the two
    "drivefs.transfer": 2,
    # 3: what happens by itself, and what programs ask for
    "drivefs.sync": 3,
    "drivefs.fs": 3,
    # 4: the kernel, and the control socket
    "drivefs.mount": 4,
    "drivefs.control": 4,
    # 5: people
    "drivefs.cli": 5,
    "drivefs.__main__": 6,
}
"""A place imports from itself and from floors below its own; floor 0 is one place."""

PURE = {"drivefs.model", "drivefs.errors", "drivefs.direction", "drivefs.plan"}
"""These do no I/O, await nothing, and so import none of `OUTSIDE_WORLD`."""

OUTSIDE_WORLD = {"os", "pathlib", "shutil", "socket", "sqlite3", "subprocess", "tempfile", "threading", "time", "trio"}

ALLOWED_ACROSS = {
    # the composition root builds everything, the server of the control socket included
    ("drivefs.mount", "drivefs.control"),
}

FORBIDDEN_BELOW = {
    # commands speak to the daemon, never past it; but `drivefs serve` has no daemon, and a password is found
    # where a person can be asked, then handed over in the form that the remote takes
    ("drivefs.cli", "drivefs.store"): set[str](),
    ("drivefs.cli", "drivefs.remote"): {"drivefs.remote.share", "drivefs.remote.webdav.auth"},
}
"""Places that may not import from one below them, and what is still allowed."""

LIBRARIES = {
    "pyfuse3": {"drivefs.mount.fuse", "drivefs.mount.kernel", "drivefs.mount.daemon"},
    "httpx": {"drivefs.remote.webdav", "drivefs.control.client"},
    "httpcore": {"drivefs.remote.webdav"},
    "diskcache": {"drivefs.store"},
    "sqlite3": {"drivefs.store"},
    "wsgidav": {"drivefs.remote.share"},
    "cheroot": {"drivefs.remote.share"},
}
"""Libraries that only these files, or files in these places, import."""

CATCH_ALL = {"drivefs.mount.fuse", "drivefs.cli"}
"""The two borders where `except Exception` may stand."""


def complaints(module: str, source: str) -> list[str]:
    """Everything in this source that the tables forbid."""
    tree = ast.parse(source)
    found = []
    for imported in imports(module, tree):
        found += [f"{module} imports {imported}: {why}" for why in objections(module, imported)]
    if not any(within(module, place) for place in CATCH_ALL):
        found += [f"{module} catches everything in line {line}" for line in catch_alls(tree)]
    return found


def objections(module: str, imported: str) -> Iterator[str]:
    library = imported.partition(".")[0]
    if library in LIBRARIES and not any(within(module, place) for place in LIBRARIES[library]):
        yield f"only {sorted(LIBRARIES[library])} may"
    if module in PURE and library in OUTSIDE_WORLD:
        yield "it is pure"
    if library == "drivefs":
        yield from objections_inside(module, imported)


def objections_inside(module: str, imported: str) -> Iterator[str]:
    mine, theirs = place_of(module), place_of(imported)
    if mine is None or theirs is None:
        yield "the table of floors does not know one of the two"
        return
    exceptions = FORBIDDEN_BELOW.get((mine, theirs))
    if exceptions is not None and not any(within(imported, name) for name in exceptions):
        yield "past the daemon"
    if mine == theirs or (mine, theirs) in ALLOWED_ACROSS or FLOORS[mine] == FLOORS[theirs] == 0:
        return
    if FLOORS[theirs] >= FLOORS[mine]:
        yield f"floor {FLOORS[theirs]} is not below floor {FLOORS[mine]}"


def place_of(module: str) -> str | None:
    """`drivefs.store` for `drivefs.store.db`; None for what is at no known place."""
    name = ".".join(module.split(".")[:2])
    return name if name in FLOORS else None


def within(module: str, place: str) -> bool:
    return module == place or module.startswith(f"{place}.")


def imports(module: str, tree: ast.AST) -> Iterator[str]:
    """Full names of all modules that are imported; what is taken from a package may be one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*module.split(".")[: -node.level], *([base] if base else [])])
            for name in (f"{base}.{alias.name}" for alias in node.names):
                yield name if name in SOURCES or name in FLOORS else base


def catch_alls(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            if any(kind is None or (isinstance(kind, ast.Name) and kind.id == "Exception") for kind in caught):
                yield node.lineno


def sources() -> dict[str, Path]:
    """Module name and file of the whole package."""
    found = {}
    for path in sorted((ROOT / "drivefs").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


SOURCES = sources()


@pytest.mark.parametrize("module", SOURCES)
def test_every_module_keeps_to_its_floor(module: str) -> None:
    assert place_of(module), f"give {module} a floor in FLOORS"
    assert complaints(module, SOURCES[module].read_text()) == []


@pytest.mark.parametrize("module", SOURCES)
def test_every_module_says_what_lives_there(module: str) -> None:
    source = SOURCES[module].read_text()
    assert not source.strip() or ast.get_docstring(ast.parse(source)), f"{module} has no docstring"


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("drivefs.model", "import trio", "it is pure"),
        ("drivefs.errors", "from drivefs.store.db import Database", "floor 1 is not below floor 0"),
        ("drivefs.store.tree", "from drivefs.remote import base", "floor 1 is not below floor 1"),
        ("drivefs.store.tree", "from ..transfer import download", "floor 2 is not below floor 1"),
        ("drivefs.sync.engine", "import drivefs.fs.lookup", "floor 3 is not below floor 3"),
        ("drivefs.fs.lookup", "from drivefs import sync", "floor 3 is not below floor 3"),
        ("drivefs.fs.lookup", "def later():\n    import httpx", "only"),
        ("drivefs.fs.lookup", "from httpx import AsyncClient", "only"),
        ("drivefs.control.server", "from httpx import AsyncClient", "only"),
        ("drivefs.control.server", "from drivefs.mount import daemon", "floor 4 is not below floor 4"),
        ("drivefs.mount.options", "import pyfuse3.asyncio", "only"),
        ("drivefs.cli.mount", "from drivefs.store.db import Database", "past the daemon"),
        ("drivefs.cli.mount", "from drivefs.remote import webdav", "past the daemon"),
        ("drivefs.attic.box", "from drivefs.model import Entry", "the table of floors does not know"),
        ("drivefs.fs.lookup", "import drivefs.attic.box", "the table of floors does not know"),
        ("drivefs.fs.lookup", "try: pass\nexcept Exception: pass", "catches everything in line 2"),
        ("drivefs.mount.daemon", "try: pass\nexcept (OSError, Exception): pass", "catches everything in line 2"),
        ("drivefs.store.db", "try: pass\nexcept: pass", "catches everything in line 2"),
    ],
)
def test_an_offender_is_found(module: str, source: str, complaint: str) -> None:
    (only,) = complaints(module, source)
    assert complaint in only


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("drivefs.errors", "from drivefs.model import Observation"),
        ("drivefs.store.tree", "from . import db\nfrom drivefs.store.db import Database\nimport sqlite3"),
        ("drivefs.remote.webdav.client", "import httpx\nfrom drivefs.remote.base import Remote"),
        ("drivefs.control.client", "import httpx"),
        ("drivefs.mount.daemon", "import pyfuse3\nfrom drivefs.control.server import serve\nfrom drivefs import sync"),
        ("drivefs.mount.fuse", "try: pass\nexcept Exception: pass"),
        ("drivefs.__main__", "from drivefs.cli.main import main"),
        ("drivefs.remote.webdav.client", "from drivefs import __version__, errors"),
        ("drivefs.cli.serve", "from drivefs.remote.share import serve\nfrom drivefs.errors import DriveError"),
        ("drivefs.cli.main", "try: pass\nexcept Exception: pass"),
    ],
)
def test_what_the_house_allows_is_not_complained_about(module: str, source: str) -> None:
    assert complaints(module, source) == []
