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


class CacheKeeper:
    """`begin` first, `end` last."""

    def __init__(self, folder: Path, marker: SessionMarker, sync: Callable[[], None]) -> None:
        self.kept = folder / "blocks"
        self.incoming = folder / "incoming"
        self._marker = marker
        self._sync = sync
        self._session = 0
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
        """Sync all, and start a new session."""
        await self._run(self._checkpoint)

    async def end(self) -> None:
        """Sync all, and mark the session clean. Takes as long as the disk does: a sync cannot be given up."""
        await self._run(self._end)

    async def _run(self, call: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(call, limiter=self._one)

    # In the worker thread

    def _begin(self) -> set[Key] | None:
        shutil.rmtree(self.incoming, ignore_errors=True)
        self.incoming.mkdir(parents=True)
        last = self._marker.begin()
        self._session = last.number
        cache = self._open()
        if last.lost is not None:
            cache.forget_session(last.lost)
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

    def _checkpoint(self) -> None:
        self._sync()
        self._session += 1
        self._marker.mark(self._session, clean=False)
        if self._cache is not None:
            self._cache.session = self._session

    def _end(self) -> None:
        if self._cache is not None:
            self._cache.close()
        self._sync()
        self._marker.mark(self._session, clean=True)
