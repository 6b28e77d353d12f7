"""The two views of `views.py`, for tests that hold for both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import pytest

from tests.fs.views import Direct, Mounted, View, direct
from tests.support.drive import DriveHome, drive
from tests.support.servers import Server, apache

Mount = tuple[DriveHome, Server]
_numbers = count()
BALLAST = 400
"""So many entries that what all tests of a mount delete within an hour is no mass deletion."""


@pytest.fixture(scope="module")
def mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mount]:
    """One mount for all tests of a file; each works in a folder of its own."""
    with apache() as server:
        for number in range(BALLAST):
            (server.data / f"ballast-{number}").touch()
        with drive(tmp_path_factory.mktemp("home"), server.url, "--interval", "1h") as home:
            yield home, server


@pytest.fixture(params=["direct", "mounted"])
async def view(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[View]:
    """An empty folder of a drive."""
    async with _direct(tmp_path) if request.param == "direct" else _mounted(request) as made:
        yield made


@asynccontextmanager
async def _direct(tmp_path: Path) -> AsyncIterator[View]:
    async with direct(tmp_path) as made:
        yield made


@asynccontextmanager
async def _mounted(request: pytest.FixtureRequest) -> AsyncIterator[View]:
    home, server = request.getfixturevalue("mount")
    prefix = f"test-{next(_numbers)}"
    (server.data / prefix).mkdir()
    made = Mounted(home, server, prefix)
    await made.sync()
    yield made


@pytest.fixture
async def kernel(tmp_path: Path) -> AsyncIterator[Direct]:
    """Without FUSE."""
    async with direct(tmp_path) as made:
        yield made
