"""A block store on a temporary folder, with an index over a real database."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from drivefs.model import ContentId, Inode
from drivefs.store.blocks import BlockStore
from drivefs.store.content import StoredContent
from drivefs.store.db import Database
from drivefs.store.index import BLOCK_SIZE, BlockIndex, BlockNumber
from drivefs.store.session import sync_files

MIB = 1024 * 1024
FIRST = BlockNumber(0)


def pattern(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


class Home:
    """What survives a restart: the folder and the database. `start` is one run of the daemon over them."""

    def __init__(self, folder: Path, *, limit: int = 100 * BLOCK_SIZE, min_free: int = 0) -> None:
        self.folder = folder / "cache"
        self.limit = limit
        self.min_free = min_free
        self.boot = "boot-1"
        self.syncs = 0
        self._marker = b""
        self.db = Database(folder / "drive.db")
        self.index = BlockIndex(self.db)

    @asynccontextmanager
    async def start(self) -> AsyncIterator[BlockStore]:
        """Ends clean."""
        store = self.new_store()
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            yield store
            marker = self.folder / "session"
            self._marker = marker.read_bytes() if marker.exists() else b""
            nursery.cancel_scope.cancel()

    def new_store(self) -> BlockStore:
        return BlockStore(
            self.folder, self.index, limit=self.limit, min_free=self.min_free, sync=self.sync, boot_id=self.boot
        )

    def killed(self) -> None:
        """Make the last run look as if it had been killed: its marker is as it was before the end."""
        (self.folder / "session").write_bytes(self._marker)

    def power_cut(self) -> None:
        self.killed()
        self.boot += "+"

    def block_files(self) -> list[Path]:
        return sorted(path for path in (self.folder / "blocks").glob("??/??/*"))

    def known(self, content: int) -> list[int]:
        return sorted(self.index.blocks(ContentId(content)))

    def sync(self, paths: list[Path]) -> None:
        sync_files(paths)
        self.syncs += 1


def open_content(store: BlockStore, number: int, size: int) -> StoredContent:
    return store.open(Inode(number + 100), ContentId(number), size)


async def put(store: BlockStore, number: int, data: bytes) -> None:
    """Write a whole content and close it."""
    stored = open_content(store, number, len(data))
    stored.write(0, data)
    store.close(stored)
    await store.flush()


async def read_back(store: BlockStore, number: int, size: int) -> bytes | None:
    stored = open_content(store, number, size)
    data = await data_of(stored, 0, size)
    store.close(stored)
    return data


async def data_of(stored: StoredContent, offset: int, size: int) -> bytes | None:
    data = await stored.read(offset, size)
    return None if data is None else bytes(data)


def data_now(stored: StoredContent, offset: int, size: int) -> bytes | None:
    data = stored.read_now(offset, size)
    return None if data is None else bytes(data)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))
