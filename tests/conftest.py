"""What every test gets: a stray warning fails it, and the session leaves nothing running and nothing mounted.

A test that provokes warnings (or errors) in the log names them, as regular expressions searched in the text:

    def test_a_full_cache_is_told(expected_warnings: list[str]) -> None:
        expected_warnings.append("cache is full")

Each one named must come, and nothing else may. The log is watched from before the first fixture of the test
to after its last; trio's tests and hypothesis' examples are watched alike.

A test that hangs prints all stacks after `faulthandler_timeout` (pytest's own plugin, see pyproject.toml).
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

# How long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("drivefs", deadline=None, print_blob=True)
hypothesis.settings.load_profile("drivefs")

MARK = f"DRIVEFS_TEST_SESSION={secrets.token_hex(8)}"
"""In the environment of every process that a test starts, however far it went away from us."""

GRACE_SECONDS = 5.0
"""How long processes that were told to end may take, once the last test is over."""


class Warnings(logging.Handler):
    """Collects what is logged at WARNING and above."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(f"{record.levelname} {record.name}: {record.getMessage()}")


@pytest.fixture(autouse=True)
def expected_warnings() -> Iterator[list[str]]:
    """Append what the log of this test must contain at WARNING or above; see the head of this file."""
    expected: list[str] = []
    seen = Warnings()
    logging.getLogger().addHandler(seen)
    try:
        yield expected
    finally:
        logging.getLogger().removeHandler(seen)
    stray = [text for text in seen.texts if not any(re.search(pattern, text) for pattern in expected)]
    missing = [pattern for pattern in expected if not any(re.search(pattern, text) for text in seen.texts)]
    assert not stray, f"logged without being expected: {stray}"
    assert not missing, f"expected in the log but not there: {missing}"


@pytest.fixture(scope="session", autouse=True)
def nothing_left_behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fails the session's last test when a process lives on or a FUSE mount is left in the temporary folder."""
    name, _, value = MARK.partition("=")
    os.environ[name] = value
    yield
    deadline = time.monotonic() + GRACE_SECONDS
    while (processes := left_processes()) and time.monotonic() < deadline:
        time.sleep(0.05)
    mounts = left_mounts(tmp_path_factory.getbasetemp())
    assert not processes, f"processes left behind: {processes}"
    assert not mounts, f"mounts left behind: {mounts}"


def left_processes() -> list[str]:
    """Children of ours, and processes that carry our mark."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            marked = MARK.encode() in (folder / "environ").read_bytes().split(b"\0")
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # ended while we looked, or somebody else's
        if int(folder.name) != os.getpid() and (marked or parent == os.getpid()):
            found.append(f"{folder.name}: {command or '(zombie)'}")
    return found


def left_mounts(top: Path) -> list[str]:
    lines = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    below = [fields for fields in lines if fields[4].startswith(f"{top}/")]
    return [fields[4] for fields in below if fields[fields.index("-") + 1].startswith("fuse")]
