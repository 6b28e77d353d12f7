"""Which blocks of clean content are on disk: the fast map beside the files, and the sums that `stat` shows.

The files themselves are in `blocks.py`. This map is a claim, not a proof: a block that is listed here but cannot
be opened is simply not there (a user may empty the cache folder at any time), and is then taken off the list.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import NewType

import msgspec

from drivefs.model import ContentId, Inode
from drivefs.store.db import Database

BLOCK_SIZE = 4 * 1024 * 1024
"""Bytes per block file; the last block of a file is shorter."""

BlockNumber = NewType("BlockNumber", int)
Extents = tuple[tuple[int, int], ...]
"""Parts of a block that are here: (first byte, byte after the last), from the block's start; sorted, disjoint."""


class BlockInfo(msgspec.Struct, frozen=True, gc=False):
    """`extents` is None for a complete block."""

    size: int
    extents: Extents | None


class BlockIndex:
    """The table `block`, and `entry.cached`, which is always the sum over it. `changed` is told whose sum changed."""

    def __init__(self, db: Database, changed: Callable[[Inode], None] = lambda inode: None) -> None:
        self._db = db
        self._changed = changed

    def blocks(self, content: ContentId) -> dict[BlockNumber, BlockInfo]:
        rows = self._db.execute("SELECT idx, bytes, extents FROM block WHERE content = ?", (content,))
        return {idx: BlockInfo(size, None if blob is None else _unpack(blob)) for idx, size, blob in rows}

    def stored(self, inode: Inode, content: ContentId, number: BlockNumber, size: int, extents: Extents | None) -> None:
        """`size` bytes of this block are on disk now; replaces what was known of it."""
        self.stored_all([(inode, content, number, size, extents)])

    def stored_all(self, blocks: Iterable[tuple[Inode, ContentId, BlockNumber, int, Extents | None]]) -> None:
        """The same for many, in one transaction."""
        inodes = set()
        with self._db.transaction():
            for inode, content, number, size, extents in blocks:
                blob = None if extents is None else _pack(extents)
                before = self._take(content, number)
                self._db.execute("INSERT INTO block VALUES (?, ?, ?, ?, ?)", (content, number, inode, size, blob))
                self._add(inode, content, size - before)
                if size != before:
                    inodes.add(inode)
        for inode in inodes:
            self._changed(inode)

    def removed(self, blocks: Iterable[tuple[Inode, ContentId, BlockNumber]]) -> None:
        """These blocks are not on disk any more; unknown ones are ignored."""
        inodes = set()
        with self._db.transaction():
            for inode, content, number in blocks:
                self._add(inode, content, -self._take(content, number))
                inodes.add(inode)
        for inode in inodes:
            self._changed(inode)

    def stale(self) -> list[tuple[Inode, ContentId]]:
        """Contents with blocks on disk that no entry has any more (replaced, removed)."""
        return self._db.execute(
            "SELECT DISTINCT block.inode, block.content FROM block LEFT JOIN entry"
            " ON entry.inode = block.inode AND entry.content = block.content WHERE entry.inode IS NULL"
        ).fetchall()

    def retain(self, blocks: Iterable[tuple[Inode, ContentId, BlockNumber]]) -> None:
        """Only these blocks are on disk; all others are taken off the list."""
        here = {(content, number) for _, content, number in blocks}
        rows = self._db.execute("SELECT inode, content, idx FROM block").fetchall()
        self.removed(row for row in rows if (row[1], row[2]) not in here)

    def _take(self, content: ContentId, number: BlockNumber) -> int:
        row = self._db.execute(
            "DELETE FROM block WHERE content = ? AND idx = ? RETURNING bytes", (content, number)
        ).fetchone()
        return 0 if row is None else int(row[0])

    def _add(self, inode: Inode, content: ContentId, size: int) -> None:
        if size:
            self._db.execute(
                "UPDATE entry SET cached = cached + ? WHERE inode = ? AND content = ?", (size, inode, content)
            )


def _pack(extents: Extents) -> bytes:
    return b"".join(struct.pack("<II", start, end) for start, end in extents)


def _unpack(blob: bytes) -> Extents:
    return tuple(struct.iter_unpack("<II", blob))
