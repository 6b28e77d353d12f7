"""The worker-thread side of the block store: one thing at a time, away from the loop.

Every call runs in a worker thread behind a limiter of one, so that `BlockCache` sees one caller. A cache folder
that was emptied or damaged under us is opened anew: its blocks are gone, which is a miss, never an error.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import trio

from drivefs.errors import StoreError
from drivefs.store.blockcache import Adoption, BlockCache, CacheErrors, Goal, Key, Usage
from drivefs.store.session import SessionMarker

log = logging.getLogger(__name__)

T = TypeVar("T")

SYNC_SECONDS = 3.0
"""How long the end waits for the disk."""


class CacheKeeper:
    """`begin` first, `end` last."""

    def __init__(self, folder: Path, marker: SessionMarker, sync: Callable[[list[Path]], None]) -> None:
        self.kept = folder / "blocks"
        self.incoming = folder / "incoming"
        self._marker = marker
        self._sync = sync
        self._session = 0
        self._unsynced = 0
        """The oldest session that may hold blocks which are not on the disk yet."""
        self._cache: BlockCache | None = None
        self._one = trio.CapacityLimiter(1)

    async def begin(self) -> set[Key] | None:
        """Open the cache and start a session. Gives the keys of all blocks that are here where the index may
        say otherwise, None where it can be trusted."""
        try:
            return await self._run(self._begin)
        except CacheErrors as error:
            raise StoreError(f"the cache folder {self.kept.parent} cannot be used: {error}") from error

    async def adopt(self, adoptions: list[Adoption]) -> tuple[set[Key], Usage]:
        """Take over these files; gives the keys of those that were, and what is used now."""
        return await self._run(lambda: (self._adopt(adoptions), self._usage()))

    async def discard(self, keys: Iterable[Key]) -> None:
        await self._run(lambda: self._guarded(lambda cache: cache.discard(keys), None))

    async def evict(self, goal: Goal) -> tuple[list[Key], Usage]:
        """Remove what `BlockCache.evict` says; gives the keys, and what is used now."""
        return await self._run(lambda: (self._guarded(lambda cache: cache.evict(goal), []), self._usage()))

    async def touch(self, keys: Iterable[Key]) -> None:
        await self._run(lambda: self._guarded(lambda cache: cache.touch_all(keys), None))

    async def usage(self) -> Usage:
        return await self._run(self._usage)

    async def checkpoint(self) -> None:
        """Sync what was stored so far, beside all other work: a later power cut does not cost it."""
        session, paths = await self._run(self._next_session)
        await trio.to_thread.run_sync(self._sync, paths)
        await self._run(lambda: self._synced(session, clean=False))

    async def end(self) -> None:
        """Sync what was stored, mark the session clean, and let go of the database.

        Where the disk is too slow for that the session stays unclean: then a power cut would cost its blocks.
        """
        session, paths = await self._run(self._next_session)
        synced = False
        with trio.move_on_after(SYNC_SECONDS):
            await trio.to_thread.run_sync(self._sync, paths)
            synced = True
        await self._run(lambda: self._close(session if synced else None))

    async def _run(self, call: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(call, limiter=self._one)

    # In the worker thread

    def _begin(self) -> set[Key] | None:
        shutil.rmtree(self.incoming, ignore_errors=True)
        self.incoming.mkdir(parents=True)
        last = self._marker.begin()
        self._session = self._unsynced = last.number
        cache = self._open()
        if last.lost is not None:
            cache.discard(cache.stored_since(last.lost))
        here = cache.reconcile() if last.doubtful else None
        self._marker.mark(self._session, clean=False)
        return here

    def _open(self) -> BlockCache:
        self.kept.mkdir(parents=True, exist_ok=True)
        try:
            self._cache = BlockCache(self.kept)
        except CacheErrors as error:
            log.info("the cache %s starts empty, its database was damaged: %s", self.kept, error)
            shutil.rmtree(self.kept, ignore_errors=True)
            self.kept.mkdir(parents=True, exist_ok=True)
            self._cache = BlockCache(self.kept)
        self._cache.session = self._session
        return self._cache

    def _guarded(self, call: Callable[[BlockCache], T], otherwise: T) -> T:
        """Make this call; where the cache is broken, open it anew and give `otherwise`."""
        try:
            return call(self._open() if self._cache is None else self._cache)
        except CacheErrors as error:
            log.info("the cache %s is opened anew: %s", self.kept, error)
            self._reopen()
            return otherwise

    def _usage(self) -> Usage:
        return self._guarded(BlockCache.usage, Usage(0, 0))

    def _reopen(self) -> None:
        with contextlib.suppress(*CacheErrors):
            if self._cache is not None:
                self._cache.close()
        self._cache = None
        with contextlib.suppress(*CacheErrors):
            self._open()

    def _adopt(self, adoptions: list[Adoption]) -> set[Key]:
        def all_at_once(cache: BlockCache) -> set[Key]:
            cache.adopt(adoptions)
            return {adoption.key for adoption in adoptions}

        nothing: set[Key] = set()
        done = self._guarded(all_at_once, nothing)
        if not done and len(adoptions) > 1:  # one bad file must not cost the others
            done = {key for adoption in adoptions for key in self._adopt([adoption])}
        return done

    def _next_session(self) -> tuple[int, list[Path]]:
        """What is stored from now on is of a new session; gives its number, and the files of the older ones."""
        nothing: list[Key] = []
        keys = self._guarded(lambda cache: cache.stored_since(self._unsynced), nothing)
        self._session += 1
        if self._cache is not None:
            self._cache.session = self._session
        return self._session, [self.kept / key for key in keys]

    def _synced(self, session: int, *, clean: bool) -> None:
        try:
            self._marker.mark(session, clean=clean)
            self._unsynced = session
        except OSError as error:  # the folder was taken away, or the disk is full: the old marker still tells the truth
            log.info("could not mark the cache %s as synced: %s", self.kept.parent, error)

    def _close(self, synced: int | None) -> None:
        if synced is not None:
            self._synced(synced, clean=True)
        if self._cache is not None:
            self._cache.close()
