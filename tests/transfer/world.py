"""A share in memory behind faults, a block store on a folder, and downloads between them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from drivefs.model import ContentId, Entry, Inode, Kind, Observation, Ref
from drivefs.remote.faulty import FaultyRemote
from drivefs.remote.memory import MemoryRemote, Options, Request, ServerClock
from drivefs.store.blocks import BlockStore
from drivefs.transfer.content import SharedContent
from drivefs.transfer.download import Downloads
from drivefs.transfer.limits import Limits
from drivefs.transfer.siblings import Following
from tests.store.block_helpers import Home, pattern

MIB = 1024 * 1024
KIB = 1024


class World:
    """`files` maps a file's inode to its present place on the share."""

    def __init__(self, folder: Path, options: Options | None = None, **home: int) -> None:
        self.clock = ServerClock()
        self.share = MemoryRemote(options, now=self.clock)
        self.remote = FaultyRemote(self.share)
        self.home = Home(folder, **home)
        self.limits = Limits()
        self.places: dict[Inode, Ref] = {}
        self.changed: list[tuple[Inode, Observation | None]] = []
        self.settled: list[ContentId] = []
        self.offline = False
        self.not_reached = 0
        self.following: Following = lambda directory, name, limit: []
        self.blocks: BlockStore
        self.downloads: Downloads

    def put(self, name: str, data: bytes, *, settled: bool = True) -> Entry:
        """A file on the share, as the tree would know it."""
        version = self.share.put(name, data)
        if settled:
            self.clock.advance(10)
        inode = Inode(len(self.places) + 2)
        self.places[inode] = Ref((name,))
        return Entry(
            inode, Inode(1), name, Kind.FILE, len(data), 0, 0, 0o644, ContentId(inode), version=version,
            settled=settled, seen=self.clock(),
        )  # fmt: skip

    @asynccontextmanager
    async def start(self) -> AsyncIterator[Downloads]:
        async with self.home.start() as self.blocks, trio.open_nursery() as nursery:
            self.downloads = Downloads(
                self.remote, self.blocks, self.limits, locate=self.places.__getitem__,
                on_changed=lambda inode, observed: self.changed.append((inode, observed)),
                on_settled=lambda inode, content, observed: self.settled.append(content),
                is_offline=lambda: self.offline,
                on_unreachable=self._not_reached,
                following=self.following,
            )  # fmt: skip
            await nursery.start(self.downloads.run)
            yield self.downloads
            nursery.cancel_scope.cancel()

    def _not_reached(self) -> None:
        self.not_reached += 1

    def asked(self) -> list[tuple[int, int | None]]:
        """The ranges that were asked for."""
        return [(request.offset, request.length) for request in self.share.requests if request.method == "read"]

    @property
    def received(self) -> int:
        return self.share.traffic.down_bytes


async def read(shared: SharedContent, offset: int, size: int) -> bytes:
    """As the file system does it: at once if possible."""
    data = shared.read_now(offset, size)
    return bytes(await shared.read(offset, size) if data is None else data)


async def read_all(shared: SharedContent, piece: int = 128 * KIB) -> bytes:
    parts = []
    for offset in range(0, shared.size, piece):
        parts.append(await read(shared, offset, piece))
    return b"".join(parts)


__all__ = ["KIB", "MIB", "Request", "World", "pattern", "read", "read_all"]
