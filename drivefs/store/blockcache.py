"""diskcache as the keeper of block files: it knows which are there, how large, and which was used last.

The values are our own files, adopted by rename under a name that follows from the key (`block_key`), so that a
reader can open a block without asking anybody. Nothing is ever pickled or copied, and diskcache never culls by
itself (`cull_limit=0`): `evict` does, one block at a time.

Everything here blocks and is called from one worker thread at a time (each thread gets its own SQLite
connection from diskcache). Of diskcache 5.6.3 this uses the private `_sql`, `_transact` and `_disk`, and the
columns of its table; a test holds them.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import Any, NewType

import diskcache
import msgspec
from diskcache.core import MODE_BINARY

from drivefs.model import ContentId, Inode
from drivefs.store.index import BlockNumber

Key = NewType("Key", str)
"""A block's name: key in diskcache and path of its file below the cache's folder."""

CacheErrors = (OSError, sqlite3.Error, diskcache.Timeout)
"""What a call of this file may raise: the folder or the database was taken away, is full, or is damaged."""

_PAGE = 64


def block_key(inode: Inode, content: ContentId, number: BlockNumber) -> Key:
    """Two levels of 256 folders; the blocks of one file are spread over them."""
    spread = content + number
    return Key(f"{spread & 255:02x}/{spread >> 8 & 255:02x}/{inode:x}-{content:x}-{number:x}")


def parse_key(key: Key) -> tuple[Inode, ContentId, BlockNumber]:
    inode, content, number = (int(part, 16) for part in key.rpartition("/")[2].split("-"))
    return Inode(inode), ContentId(content), BlockNumber(number)


class Adoption(msgspec.Struct, frozen=True, gc=False):
    """A block file to take over. `source` is None when the file has its name already, and only grew."""

    key: Key
    source: Path | None
    size: int


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Bytes: of all blocks in the cache, and free on its disk."""

    used: int
    free: int


class Goal(msgspec.Struct, frozen=True):
    """How small the cache has to be. All in bytes; `beside` is what is on disk but not adopted yet.

    `never` are blocks that must stay, `late` are contents that go only when all others are gone.
    """

    limit: int
    min_free: int
    beside: int = 0
    never: frozenset[Key] = frozenset()
    late: frozenset[ContentId] = frozenset()

    def missed_by(self, usage: Usage) -> bool:
        return usage.used + self.beside > self.limit or usage.free < self.min_free


class _BlockDisk(diskcache.Disk):  # type: ignore[misc]
    """Values are files that are moved here; names follow from keys."""

    def filename(self, key: Any = diskcache.UNKNOWN, value: Any = diskcache.UNKNOWN) -> tuple[str, str]:
        return key, os.path.join(self._directory, key)

    def store(self, value: Any, read: bool, key: Any = diskcache.UNKNOWN) -> tuple[int, int, str, None]:
        name, path = self.filename(key)
        if value.source is not None:
            _rename(value.source, path)
        return value.size, MODE_BINARY, name, None

    def remove(self, file_path: str) -> None:
        """Unlike the original this leaves the folders: there are few, and they are wanted again soon."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self._directory, file_path))


class BlockCache(diskcache.Cache):  # type: ignore[misc]
    """See the module. `session` marks what is stored from now on."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            str(folder),
            disk=_BlockDisk,
            eviction_policy="least-recently-used",
            cull_limit=0,
            size_limit=2**62,  # never asked: `evict` has its own goal
            sqlite_cache_size=512,  # pages: many threads may hold a connection
            sqlite_mmap_size=0,
            sqlite_auto_vacuum=0,
        )
        self._folder = folder
        self.session = 0
        ((self._last_use,),) = self._sql("SELECT coalesce(max(access_time), 0.0) FROM Cache").fetchall()

    def adopt(self, adoptions: Iterable[Adoption]) -> None:
        """Take over these files, in one transaction; one that is here already is replaced."""
        with self._transact(retry=True) as (sql, _):
            for adoption in adoptions:
                change = "UPDATE Cache SET size = ?, tag = ?, access_time = ? WHERE key = ? AND raw = 1"
                # `set` on a key that exists would remove the old file after the new one took its name.
                if sql(change, (adoption.size, self.session, self._next_use(), adoption.key)).rowcount == 0:
                    self.set(adoption.key, adoption, tag=self.session)
                elif adoption.source is not None:
                    _rename(adoption.source, str(self._folder / adoption.key))

    def touch_all(self, keys: Iterable[Key]) -> None:
        """These were used, in this order."""
        with self._transact(retry=True) as (sql, _):
            for key in keys:
                sql("UPDATE Cache SET access_time = ? WHERE key = ? AND raw = 1", (self._next_use(), key))

    def discard(self, keys: Iterable[Key]) -> None:
        with self.transact(retry=True):
            for key in keys:
                self.delete(key)

    def evict(self, goal: Goal) -> list[Key]:
        """Remove blocks, least recently used first, until the goal is met or none may go. Gives their keys."""
        gone: list[Key] = []
        for late in (frozenset[ContentId](), goal.late):
            if self._over(goal):
                gone += self._evict_pass(goal, goal.late - late)
        return gone

    def _evict_pass(self, goal: Goal, spared: Container[ContentId]) -> Iterator[Key]:
        kept = 0
        page = "SELECT key FROM Cache ORDER BY access_time LIMIT ? OFFSET ?"
        while rows := self._sql(page, (_PAGE, kept)).fetchall():
            for (key,) in rows:
                if not self._over(goal):
                    return
                if key in goal.never or parse_key(key)[1] in spared:
                    kept += 1
                else:
                    self.delete(key, retry=True)
                    yield key

    def _over(self, goal: Goal) -> bool:
        return goal.missed_by(self.usage())

    def _next_use(self) -> float:
        """A time of use later than all others, even where the clock was set back."""
        self._last_use = max(time.time(), self._last_use + 1e-6)
        return float(self._last_use)

    def usage(self) -> Usage:
        ((used,),) = self._sql("SELECT value FROM Settings WHERE key = 'size'").fetchall()
        disk = os.statvfs(self._folder)
        return Usage(int(used), disk.f_bavail * disk.f_frsize)

    def stored_since(self, session: int) -> list[Key]:
        """What was stored in that session and later ones."""
        return [key for (key,) in self._sql("SELECT key FROM Cache WHERE tag >= ?", (session,)).fetchall()]

    def reconcile(self) -> set[Key]:
        """Make the table and the folder say the same; gives the keys of what is there."""
        listed = {key for (key,) in self._sql("SELECT key FROM Cache").fetchall()}
        found = dict(_files(self._folder))
        for key in found.keys() - listed:
            found[key].unlink()
        self.discard(listed - found.keys())
        return listed & found.keys()


def _rename(source: Path, destination: str) -> None:
    try:
        os.rename(source, destination)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(destination), exist_ok=True)
        os.rename(source, destination)


def _files(folder: Path) -> Iterator[tuple[Key, Path]]:
    for path in folder.glob("??/??/*"):
        yield Key(str(path.relative_to(folder))), path
