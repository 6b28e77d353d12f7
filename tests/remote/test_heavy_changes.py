"""Much at once: files beyond 2 GiB, and thousands of entries in one folder."""

from __future__ import annotations

import os
from types import TracebackType

import pytest
import trio

from drivefs.model import Ref
from drivefs.remote.content import BytesContent
from drivefs.remote.webdav.writable import WritableWebDav
from drivefs.remote.writing import NOTHING, NewFile
from tests.remote.journal import MemoryJournal
from tests.remote.writing_contract import FILE, done, version_of
from tests.remote.writing_worlds import WRITABLE_SERVERS, WritableFarm, WritableServerWorld

LARGE = 2**31 + 4097
PIECE = bytes(2**20)
LAST = b"the end"


class LargeContent:
    """Zeros, and something at the end that shows that it is the end."""

    size = LARGE
    mtime_ns: int | None = None

    def open(self, offset: int = 0) -> LargePieces:
        return LargePieces(LARGE - len(LAST))


class LargePieces:
    def __init__(self, zeros: int) -> None:
        self._zeros = zeros
        self._last = LAST

    async def __aenter__(self) -> LargePieces:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

    async def receive(self) -> bytes:
        await trio.lowlevel.checkpoint()
        if self._zeros:
            piece = PIECE[: self._zeros]
            self._zeros -= len(piece)
            return piece
        piece, self._last = self._last, b""
        return piece


async def opened(world: WritableServerWorld, journal: MemoryJournal) -> WritableWebDav:
    remote = world.open_writable()
    await remote.connect()
    await remote.prepare(journal)
    return remote


@pytest.mark.slow
@pytest.mark.parametrize("name", ["apache", "wsgidav", "nginx", "lighttpd", "rclone"])
async def test_files_beyond_two_gigabytes(writable_farm: WritableFarm, name: str) -> None:
    world, journal = writable_farm.world(name), MemoryJournal()
    remote = await opened(world, journal)
    done(await remote.write(FILE, BytesContent(b"old"), expected=NOTHING, journal=journal))
    before = await version_of(remote, FILE)
    observed = done(await remote.write(FILE, LargeContent(), expected=before, journal=journal))
    assert observed.version.size == LARGE
    with world.place(FILE.path).open("rb") as file:
        file.seek(-len(LAST), os.SEEK_END)
        assert file.read() == LAST
    moved = done(await remote.move(FILE, Ref(("moved",)), expected=observed.version))
    await remote.delete(Ref(("moved",)), expected=moved.version)
    assert (world.names(), journal.left) == (set(), {})
    await remote.aclose()


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in WRITABLE_SERVERS if name not in ("apache-tls", "apache-deflate")])
async def test_thousands_of_files_in_one_folder(writable_farm: WritableFarm, name: str) -> None:
    world, journal, folder = writable_farm.world(name), MemoryJournal(), Ref(("many",))
    count = 500 if name == "rclone" else 5000  # without its cache rclone needs quadratic time
    remote = await opened(world, journal)
    done(await remote.mkdir(folder))
    for start in range(0, count, 250):
        files = [NewFile(f"file {number}", BytesContent(b"%d" % number)) for number in range(start, start + 250)]
        for outcome in await remote.create(folder, files, journal):
            done(outcome)
    assert len((await remote.list(folder)).children) == count
    assert world.names(folder.path) == {f"file {number}" for number in range(count)}
    assert world.content(("many", f"file {count - 1}")) == b"%d" % (count - 1)
    assert journal.left == {}
    await remote.aclose()
