"""The store of clean content: what can always be fetched again. Blocks on disk, bounded, least recently used out.

`BlockStore` owns the cache folder: `blocks/` (files that diskcache accounts for), `incoming/` (blocks that fill;
emptied at start) and `session` (the marker). One service task does what blocks through `CacheKeeper`, one thing at
a time: remove, adopt, evict. The loop's thread alone talks to the `BlockIndex` (one SQLite connection) and
changes a `StoredContent`.

Order on disk: file renamed, row in diskcache, row in the index; away: file, diskcache, index. So a killed process
may leave a file without rows (removed at start), never a row whose bytes are another's. A row without its file is
a miss.

Invariants: what is used stays within `limit`, and the disk keeps `min_free` bytes, but for the blocks that a reader
is about to read; a block that fills, or is being continued, is never evicted; open contents are evicted last.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgspec
import trio

from drivefs.model import ContentId, Inode
from drivefs.store.blockcache import Adoption, Goal, Key, Usage, block_key, parse_key
from drivefs.store.blockfiles import BlockFiles
from drivefs.store.content import Block, Home, StoredContent
from drivefs.store.index import BLOCK_SIZE, BlockIndex, BlockNumber
from drivefs.store.keeper import CacheKeeper
from drivefs.store.session import BOOT_ID, SessionMarker, sync_files
from drivefs.store.whole import assemble

_QUEUE_LIMIT = 32
"""Blocks that wait for adoption before downloads have to wait."""

_MEMORY_BLOCKS = 16
"""Blocks kept in memory where no disk has room, in all."""

_GATHER_SECONDS = 0.1
"""How long finished blocks wait for company: each round costs a transaction."""

_TOUCHED_LIMIT = 1024
_FINISH_SECONDS = 30.0


class BlockStore:
    """See the module. Sizes are bytes. Nothing is called before `run` has started."""

    def __init__(
        self, folder: Path, index: BlockIndex, *, limit: int, min_free: int = 0,
        sync: Callable[[list[Path]], None] = sync_files, boot_id: str | None = None,
    ) -> None:  # fmt: skip
        self.limit = limit
        self.min_free = min_free
        self._index = index
        marker = SessionMarker(folder / "session", boot_id or BOOT_ID.read_text().strip())
        self._keeper = CacheKeeper(folder, marker, sync)
        self._files = BlockFiles(self._keeper.kept, self._keeper.incoming)
        self._threads = trio.CapacityLimiter(8)
        self._contents: dict[ContentId, StoredContent] = {}
        self._usage = Usage(0, 0)
        self._beside_bytes = 0
        self._in_memory: deque[tuple[StoredContent, Block]] = deque()
        self._to_adopt: dict[Key, tuple[StoredContent, Block]] = {}
        self._to_remove: dict[Key, None] = {}
        self._to_touch: dict[Key, None] = {}
        self._evict_wanted = True
        self._busy = False
        self._work = trio.Event()
        self._hurry = trio.Event()
        self._progress = trio.Event()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """The service. Cancel it to end the store: then all is saved and, if the disk is not too slow, synced.

        Raises: StoreError when the cache folder cannot be used.
        """
        here = await self._keeper.begin()
        if here is not None:
            self._index.retain(parse_key(key) for key in here)
        self._usage = await self._keeper.usage()
        task_status.started()
        try:
            while True:
                await self._work_off()
                await self._work.wait()
                with trio.move_on_after(_GATHER_SECONDS):
                    await self._hurry.wait()
        finally:
            with trio.move_on_after(_FINISH_SECONDS, shield=True):
                await self._finish()
            self._files.close()

    def open(self, inode: Inode, content: ContentId, size: int) -> StoredContent:
        """The bytes of this version that are here, shared by all who open it; give it back with `close`."""
        stored = self._contents.get(content)
        if stored is None:
            known = {number: info for number, info in self._index.blocks(content).items() if number * BLOCK_SIZE < size}
            stored = StoredContent(inode, content, size, known, self._files, self, self._threads)
            self._contents[content] = stored
        stored.users += 1
        return stored

    def close(self, stored: StoredContent) -> None:
        """After the last user, blocks that are not complete are kept as they are."""
        stored.users -= 1
        if stored.users == 0:
            for block in stored.blocks():
                self._put_away(stored, block)
            self._forget_if_unused(stored)

    async def make_room(self) -> None:
        """Evict what may go, because a write found the disk full."""
        self._evict_wanted = True
        await self.flush()

    async def keep_up(self) -> None:
        """Wait while too many finished blocks queue for adoption."""
        while len(self._to_adopt) > _QUEUE_LIMIT:
            self._hurry.set()
            await self._progress.wait()

    async def flush(self) -> None:
        """Wait until all that was finished so far is adopted, and the limit kept."""
        self._work.set()
        self._hurry.set()
        while self._busy or self._to_adopt or self._to_remove or self._evict_wanted:
            await self._progress.wait()

    def room_ahead(self) -> int:
        """Bytes that may come before their reader does: what a small cache, or memory, can hold for him."""
        return _MEMORY_BLOCKS // 4 * BLOCK_SIZE if self._in_memory else max(BLOCK_SIZE, self.limit // 2)

    async def checkpoint(self) -> None:
        """Make durable what was stored so far: a later power cut does not cost it."""
        await self.flush()
        await self._keeper.checkpoint()

    async def export(self, inode: Inode, content: ContentId, size: int, destination: Path) -> bool:
        """Make `destination` the whole file, durable, if every byte is here; else False, and nothing is made."""
        await self.flush()
        known = self._index.blocks(content)
        numbers = [BlockNumber(number) for number in range(-(-size // BLOCK_SIZE))]
        if any(number not in known or known[number].extents is not None for number in numbers):
            return False
        sources = [self._files.kept_path(block_key(inode, content, number)) for number in numbers]
        return await trio.to_thread.run_sync(assemble, sources, size, destination, limiter=self._threads)

    def drop(self, inode: Inode, content: ContentId) -> None:
        """Remove all blocks of this version. Where it is open, missing bytes are fetched again."""
        stored = self._contents.get(content)
        if stored is not None:
            stored.forget_all()
        for number in self._index.blocks(content):
            self._take_off(inode, content, number)

    def used(self) -> int:
        """Bytes on disk: adopted blocks, and those that fill."""
        return self._usage.used + self._beside_bytes

    # What the contents tell (content.Watcher)

    def completed(self, content: StoredContent, block: Block) -> None:
        self._to_adopt[block.key] = (content, block)
        self._work.set()

    def vanished(self, content: StoredContent, block: Block) -> None:
        self._take_off(content.inode, content.content, block.number)

    def grew(self, size: int) -> None:
        self._beside_bytes += size
        if size > 0 and self.used() > self.limit:
            self._evict_wanted = True
            self._work.set()
            self._hurry.set()

    def was_read(self, key: Key) -> None:
        self._to_touch[key] = None
        if len(self._to_touch) >= _TOUCHED_LIMIT:
            self._work.set()

    def took_memory(self, content: StoredContent, block: Block) -> None:
        self._in_memory.append((content, block))
        if len(self._in_memory) > _MEMORY_BLOCKS:
            oldest_content, oldest = self._in_memory.popleft()
            oldest_content.forget(oldest)

    # The service's work

    async def _work_off(self) -> None:
        self._work, self._hurry = trio.Event(), trio.Event()
        self._busy = True
        while self._to_adopt or self._to_remove or self._evict_wanted:
            with trio.CancelScope(shield=True):  # a batch is either done and in the index, or not begun
                await self._remove()
                await self._adopt()
                await self._evict()
            self._progressed()
            await trio.lowlevel.checkpoint()
        await self._touch()
        self._busy = False
        self._progressed()

    def _progressed(self) -> None:
        self._progress.set()
        self._progress = trio.Event()

    async def _remove(self) -> None:
        batch, self._to_remove = self._to_remove, {}
        if batch:
            await self._keeper.discard(batch)
            self._usage = await self._keeper.usage()

    async def _adopt(self) -> None:
        queued, self._to_adopt = list(self._to_adopt.values()), {}
        batch = [
            (stored, block, block.bytes_here(), block.extents())
            for stored, block in queued
            if stored.block(block.number) is block
        ]
        for stored, _ in queued:
            if not stored.bytes_here():  # dropped, and nobody has it open
                self._forget_if_unused(stored)
        if not batch:
            return
        done, self._usage = await self._keeper.adopt([self._adoption(block, size) for _, block, size, _ in batch])
        self._index.stored_all(
            (stored.inode, stored.content, block.number, size, extents)
            for stored, block, size, extents in batch
            if stored.block(block.number) is block and block.key in done
        )
        for stored, block, size, _ in batch:
            if stored.block(block.number) is not block:  # dropped in the meantime
                self._to_remove[block.key] = None
            elif block.key in done:
                self._adopted(block, size)
            elif stored.users == 0:
                stored.forget(block)
            self._forget_if_unused(stored)
        self._evict_wanted = self._evict_wanted or self._goal_bytes().missed_by(self._usage)

    def _adoption(self, block: Block, size: int) -> Adoption:
        source = self._files.incoming_path(block.file) if block.home is Home.INCOMING else None
        return Adoption(block.key, source, size)

    def _adopted(self, block: Block, size: int) -> None:
        if block.home is Home.INCOMING:
            self._beside_bytes -= block.bytes_here()
            block.home = Home.CACHE
        block.unsaved = block.bytes_here() != size

    async def _evict(self) -> None:
        if not self._evict_wanted:
            return
        self._evict_wanted = False
        await self._touch()
        keys, self._usage = await self._keeper.evict(self._goal())
        for key in keys:
            self._evicted(key)

    def _goal(self) -> Goal:
        """Looked at just before: what is opened while the eviction runs may lose a block, and fetches it again."""
        never = frozenset(
            block.key
            for stored in self._contents.values()
            for block in stored.blocks()
            if (block.unread and stored.users) or block.here is not None or block.unsaved
        )
        return msgspec.structs.replace(self._goal_bytes(), never=never, late=frozenset(self._contents))

    def _goal_bytes(self) -> Goal:
        return Goal(self.limit, self.min_free, self._beside_bytes)

    def _evicted(self, key: Key) -> None:
        inode, content, number = parse_key(key)
        stored = self._contents.get(content)
        block = None if stored is None else stored.block(number)
        if stored is not None and block is not None and block.home is Home.CACHE:
            stored.forget(block)
        elif block is None:
            self._files.drop(key)
        self._index.removed([(inode, content, number)])

    async def _touch(self) -> None:
        batch, self._to_touch = self._to_touch, {}
        if batch:
            await self._keeper.touch(batch)

    async def _finish(self) -> None:
        for stored in list(self._contents.values()):
            if stored.users:
                stored.users = 1
                self.close(stored)
        await self._work_off()
        await self._keeper.end()

    # Inside

    def _put_away(self, stored: StoredContent, block: Block) -> None:
        block.unread = False
        if not stored.final or block.home is Home.MEMORY or not block.bytes_here():
            stored.forget(block)
        elif block.unsaved:
            self.completed(stored, block)

    def _take_off(self, inode: Inode, content: ContentId, number: BlockNumber) -> None:
        key = block_key(inode, content, number)
        self._files.drop(key)
        self._index.removed([(inode, content, number)])
        self._to_remove[key] = None
        self._work.set()

    def _forget_if_unused(self, stored: StoredContent) -> None:
        waiting = any(other is stored for other, _ in self._to_adopt.values())
        if stored.users == 0 and not waiting and self._contents.get(stored.content) is stored:
            del self._contents[stored.content]
