"""A drive's sync half on an in-memory share: everything but the kernel, the command line and downloads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from drivefs.model import ROOT, Changed, Entry, Inode
from drivefs.remote.base import Remote
from drivefs.remote.memory import MemoryRemote
from drivefs.store.blocks import BlockStore
from drivefs.store.db import Database
from drivefs.store.index import BLOCK_SIZE, BlockIndex
from drivefs.store.references import References
from drivefs.store.takeover import Takeover
from drivefs.store.trash import Trash
from drivefs.store.tree import Tree
from drivefs.sync.engine import Engine
from drivefs.sync.link import Link
from drivefs.sync.lister import Lister
from drivefs.sync.observe import Observer
from drivefs.sync.removal import Removal

INTERVAL = 60.0


class World:
    """`remote` is what the drive talks to, `changes` what it told the kernel."""

    def __init__(self, folder: Path, remote: Remote, max_delete: str | None = None) -> None:
        self.remote = remote
        self.changes: list[Changed] = []
        self.db = Database(folder / "drive.db")
        self.references = References()
        self.tree = Tree(self.db, self.references, self.changes.append)
        self.takeover = Takeover(self.tree)
        self.index = BlockIndex(self.db)
        self.blocks = BlockStore(folder / "content", self.index, limit=1 << 30)
        self.trash = Trash(self.db, folder / "trash")
        self.link = Link()
        self.lister = Lister(self.tree, Observer(remote, self.tree, self.takeover), self.link, self._notice)
        removal = Removal(remote, self.tree, self.takeover, self.blocks, self.trash, max_delete)
        self.engine = Engine(remote, self.tree, self.lister, removal, self.link, interval=INTERVAL)

    def _notice(self, *observed: object) -> None:
        self.engine.notice(*observed)  # type: ignore[arg-type]

    async def first_contact(self) -> None:
        self.takeover.root(await self.engine.connect())
        await self.lister.ensure(ROOT)

    def find(self, path: str) -> Entry:
        return self.tree.get(self.tree.inode_at(tuple(part for part in path.split("/") if part)))

    def has(self, path: str) -> bool:
        inode: Inode = ROOT
        for name in path.split("/"):
            entry = self.tree.find(inode, name)
            if entry is None:
                return False
            inode = entry.inode
        return True

    def paths(self) -> set[str]:
        """All entries but the root."""
        return {"/".join(self.tree.path(inode)) for inode in self.tree.subtree(ROOT)} - {""}

    async def cache(self, path: str, content: bytes) -> None:
        """Have the file's bytes here, as a download would bring them."""
        entry = self.find(path)
        assert len(content) == entry.size
        stored = self.blocks.open(entry.inode, entry.content, entry.size)
        for start in range(0, len(content), BLOCK_SIZE):
            stored.write(start, content[start : start + BLOCK_SIZE])
        self.blocks.close(stored)
        await self.blocks.flush()
        assert self.find(path).cached == len(content)


@asynccontextmanager
async def world(
    folder: Path, remote: Remote, *, sync: bool = True, max_delete: str | None = None
) -> AsyncIterator[World]:
    """A running world; with `sync`, the first sync is over when it is given."""
    made = World(folder, remote, max_delete)
    async with trio.open_nursery() as nursery:
        await nursery.start(made.blocks.run)
        await nursery.start(made.lister.run)
        await made.first_contact()
        await nursery.start(made.engine.run)
        if sync:
            outcome = await made.engine.sync()
            assert outcome.error is None
        yield made
        nursery.cancel_scope.cancel()
    made.db.close()


def share(files: dict[str, bytes], **options: object) -> MemoryRemote:
    """A share with these files, old enough for every version to be settled."""
    from drivefs.remote.memory import Options, ServerClock

    clock = ServerClock()
    remote = MemoryRemote(Options(**options), now=clock)  # type: ignore[arg-type]  # names of fields, typed there
    for path, content in files.items():
        remote.put(path, content)
    clock.advance(10)
    return remote
