"""Who lists which directory when: single flight per directory, what a person waits for before what runs behind.

Background sweeps use `WORKERS` of the remote's connections for metadata, fewer than there are, so that a listing
somebody waits for never queues behind them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

import trio

from drivefs.errors import DriveError, NoSuchEntry, Offline, RemoteError, Unreachable, alone
from drivefs.model import Inode
from drivefs.store.tree import Tree
from drivefs.sync.link import Link
from drivefs.sync.observe import Observed, Observer

log = logging.getLogger(__name__)

WORKERS = 4
ENSURE_SECONDS = 10.0
"""How long a program waits for a folder that was never listed."""
REFRESH_SECONDS = 10.0
"""A directory that is opened again and again is asked for at most this often."""


class Flight:
    """One listing under way, and its outcome once `done` is set."""

    def __init__(self) -> None:
        self.done = trio.Event()
        self.observed: Observed | None = None
        self.error: DriveError | None = None


class Lister:
    """Implements the file system's `ListingSource`, and sweeps for the engine.

    `on_missing` is told of entries that a listing outside a sweep did not show any more: the engine looks soon.
    """

    def __init__(self, tree: Tree, observer: Observer, link: Link, on_missing: Callable[[Observed], None]) -> None:
        self._tree = tree
        self._observer = observer
        self._link = link
        self._on_missing = on_missing
        self._flights: dict[Inode, Flight] = {}
        self._started: dict[Inode, float] = {}
        self._nursery: trio.Nursery | None = None

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """The service that listings run in: they go on when the one who asked goes away."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            await trio.sleep_forever()

    async def ensure(self, directory: Inode) -> None:
        if self._tree.get(directory).listed is not None:
            return
        if self._link.offline:
            raise Offline(f"{self._name(directory)} was never listed, and the server cannot be reached")
        flight = self._start(directory, report=True)
        with trio.move_on_after(ENSURE_SECONDS):
            await flight.done.wait()
            if flight.error is not None:
                raise flight.error
            return
        raise Unreachable(f"{self._name(directory)}: the server did not answer within {ENSURE_SECONDS:.0f} s")

    def refresh(self, directory: Inode) -> trio.Event | None:
        if self._link.offline:
            return None
        flight = self._flights.get(directory)
        if flight is None:
            if trio.current_time() - self._started.get(directory, -REFRESH_SECONDS) < REFRESH_SECONDS:
                return None
            flight = self._start(directory, report=True)
        return flight.done

    def look(self, directory: Inode) -> None:
        """List this directory soon, whenever it was listed last."""
        if not self._link.offline:
            self._start(directory, report=True)

    async def sweep(self, directories: Iterable[Inode], collect: Callable[[Inode, Flight], None]) -> None:
        """List all of `directories` in the background; `collect` gets each flight when it has landed.

        Raises what makes going on pointless (temporary and account-wide errors); other errors are the entry's own.
        """
        waiting = iter(directories)

        async def worker() -> None:
            for directory in waiting:
                flight = self._start(directory, report=False)
                await flight.done.wait()
                if flight.error is not None and (flight.error.temporary or flight.error.account_wide):
                    raise flight.error
                collect(directory, flight)

        with alone():
            async with trio.open_nursery() as nursery:
                for _ in range(WORKERS):
                    nursery.start_soon(worker)

    def _start(self, directory: Inode, *, report: bool) -> Flight:
        flight = self._flights.get(directory)
        if flight is None:
            assert self._nursery is not None, "the lister runs before anybody asks"
            flight = self._flights[directory] = Flight()
            self._started[directory] = trio.current_time()
            self._forget_old_starts()
            self._nursery.start_soon(self._fly, directory, flight, report)
        return flight

    async def _fly(self, directory: Inode, flight: Flight, report: bool) -> None:
        try:
            flight.observed = await self._observer.observe(directory)
            self._link.restored()
        except NoSuchEntry:
            flight.observed = Observed([], [])  # removed while it was waiting for its turn
        except RemoteError as error:
            flight.error = error
            if isinstance(error, Unreachable):
                self._link.lost(str(error))
        finally:
            del self._flights[directory]
            flight.done.set()
        if report and flight.observed is not None and flight.observed.missing:
            self._on_missing(flight.observed)

    def _forget_old_starts(self) -> None:
        if len(self._started) > 1000:
            since = trio.current_time() - REFRESH_SECONDS
            self._started = {inode: at for inode, at in self._started.items() if at >= since}

    def _name(self, directory: Inode) -> str:
        return "/" + "/".join(self._tree.path(directory))
