"""`content = "mirror"`: every file is pulled in the background, and again when it changes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

import trio

from drivefs.errors import DriveError, NoSpace
from drivefs.model import Entry, Inode
from drivefs.store.tree import Tree
from drivefs.sync.link import Link

log = logging.getLogger(__name__)

PARALLEL = 3
PAGE = 256


class Fetcher(Protocol):
    async def fetch(self, entry: Entry) -> None:
        """Have the whole content here. Raises DriveError; NoSpace when the disk has no room left for it."""
        ...


class Mirror:
    """`room` tells how many bytes may still be stored. `full` says that the disk has no room for all; what is there
    goes on being served, and nothing is pushed out for what comes later."""

    def __init__(self, tree: Tree, fetcher: Fetcher, link: Link, room: Callable[[], int]) -> None:
        self._tree = tree
        self._fetcher = fetcher
        self._link = link
        self._room = room
        self._wake = trio.Event()
        self.full = False

    def wake(self) -> None:
        """There may be something new to pull."""
        self._wake.set()

    async def run(self) -> None:
        """Pull what is not here, wait until woken, and again; what failed is tried then."""
        while True:
            self._wake = trio.Event()
            await self.pull()
            await self._wake.wait()

    async def pull(self) -> None:
        """One round: everything that is not here, as far as there is room."""
        self.full = False
        last = Inode(0)
        limiter = trio.CapacityLimiter(PARALLEL)
        async with trio.open_nursery() as nursery:
            while not self._link.offline and not self.full:
                page = self._tree.incomplete_files(last, PAGE)
                if not page:
                    return
                last = page[-1].inode
                for entry in page:
                    await limiter.acquire_on_behalf_of(entry.inode)
                    nursery.start_soon(self._pull, entry, limiter)

    async def _pull(self, entry: Entry, limiter: trio.CapacityLimiter) -> None:
        try:
            if entry.size > self._room():
                self.full = True
            if not self._link.offline and not self.full:
                await self._fetcher.fetch(entry)
        except NoSpace:
            self.full = True
        except DriveError as error:
            log.info("could not pull %s: %s", entry.name, error)
        finally:
            limiter.release_on_behalf_of(entry.inode)
