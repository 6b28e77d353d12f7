"""The bytes of one version of one file, as far as they are on this disk: blocks, what is in them, reads and writes.

A `StoredContent` lives while the version is open, or its last blocks are on the way into the cache. `BlockStore`
makes it and takes it away. It knows no network.

Invariants:
- A byte counts as here only after its pwrite succeeded; a byte that is here is never written again.
- Only `final` content leaves this object for the cache and the index. What was read under an unsettled version,
  or has no room on the disk (`Home.MEMORY`), lives as long as the content is open and no longer.
- Reads never answer short or with zeros: a block whose file is gone or short is forgotten, and is fetched again.
- Everything but `_read_all` runs in the loop's thread; nothing here awaits between looking and changing.
"""

from __future__ import annotations

import enum
import errno
import os
from collections.abc import Iterator
from typing import Protocol

import trio

from drivefs.errors import NoSpace, StoreError
from drivefs.model import ContentId, Inode
from drivefs.store.blockcache import Key, block_key
from drivefs.store.blockfiles import BlockFiles, Descriptor
from drivefs.store.index import BLOCK_SIZE, BlockInfo, BlockNumber, Extents
from drivefs.store.ranges import Ranges

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class Home(enum.Enum):
    """Where a block's file is."""

    INCOMING = "fills, and nothing but this process knows of it"
    CACHE = "adopted by the cache, and in the index"
    MEMORY = "a memfd: the disk is full"


class Block:
    """`here` is None once every byte is. `unread`: it was fetched for a reader who has not come yet."""

    __slots__ = ("file", "here", "home", "key", "number", "size", "unread", "unsaved")

    def __init__(self, key: Key, number: BlockNumber, size: int, home: Home, here: Ranges | None, file: str) -> None:
        self.key = key
        self.file = file  # name in incoming/, never used twice: a late adoption cannot take another block's file
        self.number = number
        self.size = size
        self.home = home
        self.here = here
        self.unread = False
        self.unsaved = False  # the index knows less than `here` says

    def run(self, within: int) -> int:
        return self.size - within if self.here is None else self.here.run(within)

    def bytes_here(self) -> int:
        return self.size if self.here is None else self.here.total()

    def extents(self) -> Extents | None:
        return None if self.here is None else self.here.pairs()


class Watcher(Protocol):
    """What a content tells the block store."""

    def completed(self, content: StoredContent, block: Block) -> None:
        """Every byte of this block is here: it can be adopted."""

    def vanished(self, content: StoredContent, block: Block) -> None:
        """The file of an adopted block is not there, or not whole."""

    def grew(self, size: int) -> None:
        """So many bytes more (or less) are on disk outside the cache."""

    def was_read(self, key: Key) -> None: ...

    def took_memory(self, content: StoredContent, block: Block) -> None: ...


class StoredContent:
    """See the module. `size` is the version's true size in bytes."""

    def __init__(
        self, inode: Inode, content: ContentId, size: int, known: dict[BlockNumber, BlockInfo], files: BlockFiles,
        watcher: Watcher, threads: trio.CapacityLimiter,
    ) -> None:  # fmt: skip
        self.inode = inode
        self.content = content
        self.size = size
        self.final = True
        self.users = 0
        self._files = files
        self._watcher = watcher
        self._threads = threads
        self._blocks: dict[int, Block] = {}
        for number, info in known.items():
            here = None if info.extents is None else Ranges(info.extents)
            self._blocks[number] = self._new_block(number, Home.CACHE, here)

    # What is here

    def gap(self, start: int, end: int) -> tuple[int, int] | None:
        """The first missing range between `start` and `end`; None when every byte is here."""
        position = start
        while position < end:
            number, within = divmod(position, BLOCK_SIZE)
            block = self._blocks.get(number)
            run = 0 if block is None else block.run(within)
            if run == 0:
                return position, self._gap_end(position, end)
            position += run
        return None

    def has(self, position: int) -> bool:
        number, within = divmod(position, BLOCK_SIZE)
        block = self._blocks.get(number)
        return block is not None and block.run(within) > 0

    def bytes_here(self) -> int:
        return sum(block.bytes_here() for block in self._blocks.values())

    def blocks(self) -> Iterator[Block]:
        return iter(list(self._blocks.values()))

    def block(self, number: int) -> Block | None:
        return self._blocks.get(number)

    # Reading

    def read_now(self, offset: int, size: int) -> bytearray | None:
        """`size` bytes when all are here and in memory; None otherwise. Never blocks on a disk."""
        if self.gap(offset, offset + size) is not None:
            return None
        buffer = bytearray(size)
        for block, within, view in self._pieces(offset, buffer):
            descriptor = self._reader(block, within, len(view))
            if block is None or descriptor is None or not _read_cached(descriptor.fd, view, within):
                return None
            block.unread = False
            self._watcher.was_read(block.key)
        return buffer

    async def read(self, offset: int, size: int) -> bytearray | None:
        """`size` bytes, read in a worker thread; None when some are not here (any more)."""
        buffer = bytearray(size)
        parts: list[tuple[Block, Descriptor, int, memoryview]] = []
        try:
            for block, within, view in self._pieces(offset, buffer):
                descriptor = self._reader(block, within, len(view))
                if block is None or descriptor is None:
                    return None
                descriptor.hold()
                parts.append((block, descriptor, within, view))
            work = [(descriptor.fd, view, within) for _, descriptor, within, view in parts]
            bad = await trio.to_thread.run_sync(_read_all, work, limiter=self._threads)
        finally:
            for _, descriptor, _, _ in parts:
                descriptor.release()
        if bad is not None:
            self._lose(parts[bad][0])
            return None
        for block, _, _, _ in parts:
            block.unread = False
            self._watcher.was_read(block.key)
        return buffer

    # Writing

    def write(self, offset: int, data: bytes | memoryview, *, in_memory: bool = False) -> None:
        """Keep these bytes; what is here already is left alone.

        Raises: NoSpace when the disk is full (`in_memory` then keeps them without it); StoreError.
        """
        view = memoryview(data)[: max(0, self.size - offset)]
        while view:
            number, within = divmod(offset, BLOCK_SIZE)
            piece = view[: BLOCK_SIZE - within]
            try:
                self._write_block(number, within, piece, in_memory)
            except OSError as error:
                kind = NoSpace if error.errno in _NO_ROOM else StoreError
                raise kind(f"the cache cannot be written: {error}") from error
            offset += len(piece)
            view = view[len(piece) :]

    # Letting go

    def forget(self, block: Block) -> None:
        """This block is not here any more; its file, where it is ours, is removed."""
        if self._blocks.get(block.number) is not block:
            return
        del self._blocks[block.number]
        if block.home is Home.INCOMING:
            self._watcher.grew(-block.bytes_here())
            self._files.remove_incoming(block.key, block.file)
        else:
            self._files.drop(block.key)

    def forget_all(self) -> None:
        for block in self.blocks():
            self.forget(block)

    def nobody_waits(self) -> None:
        """What was fetched ahead is not protected from eviction any more."""
        for block in self._blocks.values():
            block.unread = False

    # Inside

    def _new_block(self, number: int, home: Home, here: Ranges | None) -> Block:
        size = min(BLOCK_SIZE, self.size - number * BLOCK_SIZE)
        key = block_key(self.inode, self.content, BlockNumber(number))
        return Block(key, BlockNumber(number), size, home, here, self._files.new_name())

    def _gap_end(self, position: int, end: int) -> int:
        number, within = divmod(position, BLOCK_SIZE)
        block = self._blocks.get(number)
        if block is not None and block.here is not None:
            following = block.here.next_start(within)
            if following is not None:
                return min(end, number * BLOCK_SIZE + following)
        for later in sorted(other for other in self._blocks if number < other <= end // BLOCK_SIZE):
            first = self._first(self._blocks[later])
            if first is not None:
                return min(end, later * BLOCK_SIZE + first)
        return end

    @staticmethod
    def _first(block: Block) -> int | None:
        if block.here is None or block.here.run(0):
            return 0
        return block.here.next_start(0)

    def _pieces(self, offset: int, buffer: bytearray) -> Iterator[tuple[Block | None, int, memoryview]]:
        view = memoryview(buffer)
        while view:
            number, within = divmod(offset, BLOCK_SIZE)
            piece = view[: BLOCK_SIZE - within]
            yield self._blocks.get(number), within, piece
            offset += len(piece)
            view = view[len(piece) :]

    def _reader(self, block: Block | None, within: int, size: int) -> Descriptor | None:
        if block is None or block.run(within) < size:
            return None
        try:
            return self._descriptor(block, writable=block.here is not None)
        except FileNotFoundError:
            self._lose(block)
            return None

    def _descriptor(self, block: Block, *, writable: bool) -> Descriptor:
        if block.home is Home.CACHE:
            return self._files.kept(block.key, writable=writable)
        if block.home is Home.MEMORY:
            return self._files.in_memory(block.key)
        return self._files.incoming(block.key, block.file, new=not block.bytes_here())

    def _lose(self, block: Block) -> None:
        if self._blocks.get(block.number) is block:
            if block.home is Home.CACHE:
                self._watcher.vanished(self, block)
            self.forget(block)

    def _write_block(self, number: int, within: int, data: memoryview, in_memory: bool) -> None:
        block = self._blocks.get(number)
        if block is None:
            block = self._new_block(number, Home.MEMORY if in_memory else Home.INCOMING, Ranges())
            self._blocks[number] = block
            if in_memory:
                self._watcher.took_memory(self, block)
        elif in_memory and block.here is not None and block.home is not Home.MEMORY:
            block = self._move_to_memory(block)
        here = block.here
        if here is None:
            return
        for start, end in list(here.gaps(within, within + len(data))):
            fd = self._descriptor(block, writable=True).fd
            _write_all(fd, data[start - within : end - within], start)
            here.add(start, end)
            block.unread = block.unsaved = True
            if block.home is Home.INCOMING:
                self._watcher.grew(end - start)
        if here.covers(0, block.size):
            block.here = None
            if self.final and block.home is not Home.MEMORY:
                self._watcher.completed(self, block)

    def _move_to_memory(self, block: Block) -> Block:
        copy = self._new_block(block.number, Home.MEMORY, Ranges())
        assert block.here is not None
        assert copy.here is not None
        source = os.dup(self._descriptor(block, writable=True).fd)
        try:
            self.forget(block)
            target = self._files.in_memory(copy.key).fd
            for start, end in block.here.pairs():
                _write_all(target, memoryview(os.pread(source, end - start, start)), start)
                copy.here.add(start, end)
        finally:
            os.close(source)
        self._blocks[copy.number] = copy
        self._watcher.took_memory(self, copy)
        return copy


def _read_cached(fd: int, view: memoryview, within: int) -> bool:
    """True when the page cache held all of it. A short answer is not the end of the file."""
    try:
        return os.preadv(fd, [view], within, os.RWF_NOWAIT) == len(view)
    except OSError:  # EAGAIN: not in memory; EOPNOTSUPP: this file system cannot tell
        return False


def _read_all(work: list[tuple[int, memoryview, int]]) -> int | None:
    """Read each piece whole; gives the number of the first that could not be."""
    for index, (fd, view, within) in enumerate(work):
        while view:
            try:
                count = os.preadv(fd, [view], within)
            except OSError:
                return index
            if count == 0:
                return index
            view, within = view[count:], within + count
    return None


def _write_all(fd: int, data: memoryview, offset: int) -> None:
    while data:
        count = os.pwrite(fd, data, offset)
        data, offset = data[count:], offset + count
