"""The periodic task of a drive: one sync now and then, and what has to happen between two of them.

A *sync* reaches the root, lists what is to be listed, and settles what is missing. The first one lists only what was
never listed, so that a daemon that was killed goes on where it was; later ones list every directory. Between syncs the
engine settles what a listing on demand missed, and looks again at versions that were not settled yet.

Nothing here is needed to repair a crash: every step commits by itself, and the next sync plans again from what it sees.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterable, Iterator

import msgspec
import trio

from drivefs.errors import DriveError, RemoteError, Unauthorized, Unreachable
from drivefs.model import ROOT, SETTLE_SECONDS, Inode, Observation, Ref, Space
from drivefs.remote.base import Remote
from drivefs.store.tree import Tree
from drivefs.sync.link import Link
from drivefs.sync.lister import Flight, Lister
from drivefs.sync.observe import Observed
from drivefs.sync.removal import Removal, Removed

log = logging.getLogger(__name__)

RETRY_FIRST_SECONDS = 1.0
RETRY_LAST_SECONDS = 60.0
LOOK_AGAIN_SECONDS = SETTLE_SECONDS + 0.3
LOOKS_AGAIN = 5
"""How often after a sync unsettled versions are looked at; what is still unsettled then waits for the next sync."""

NEVER = float("inf")


class Problem(msgspec.Struct, frozen=True):
    """Why one entry could not be synced. `since` in seconds."""

    path: str
    reason: str
    since: float


class Outcome(msgspec.Struct):
    """What one sync did. `error` is why it ended early, None when it went through."""

    appeared: int = 0
    changed: int = 0
    renamed: int = 0
    removed: int = 0
    held: int = 0
    error: DriveError | None = None


class Engine:
    """`interval` is in seconds. Attributes without underscore are for `status`."""

    def __init__(
        self, remote: Remote, tree: Tree, lister: Lister, removal: Removal, link: Link, *, interval: float
    ) -> None:
        self._remote = remote
        self._tree = tree
        self._lister = lister
        self._removal = removal
        self._link = link
        self.interval = interval

        self.syncing = False
        self.space = Space()
        self.problems: dict[Inode, Problem] = {}
        stored = tree.db.get_meta("last_sync")
        self.last_sync = float(stored) if isinstance(stored, int | float) else None
        self.blocked: DriveError | None = None
        self.other_root = False
        self._held: frozenset[Inode] = frozenset()
        self._accepted: frozenset[Inode] = frozenset()
        self._connected = False
        self._failures = 0
        self._noticed: list[Observed] = []
        self._doubted = False
        self._looks = 0
        self._next_look = NEVER
        self._due = trio.current_time() + self._until_due()
        self._requested = self._served = 0
        self._outcome = Outcome()
        self._wake = trio.Event()
        self._synced = trio.Event()

    # --- what others ask and tell

    @property
    def initial_sync_done(self) -> bool:
        return self._tree.db.get_meta("initial_sync") is not None

    @property
    def held(self) -> frozenset[Inode]:
        """Entries that are gone on the server but too many to be removed here without being asked."""
        return self._held

    @property
    def next_sync(self) -> float | None:
        """Seconds from now to the next automatic sync, None while there is none ahead."""
        return None if self._due == NEVER else max(0.0, self._due - trio.current_time())

    async def sync(self, *, accept_deletes: bool = False) -> Outcome:
        """A whole sync that begins now or after the running one. `accept_deletes`: remove what is held by now."""
        number = self.request(accept_deletes=accept_deletes)
        while self._served < number:
            await self._synced.wait()
        return self._outcome

    def request(self, *, accept_deletes: bool = False) -> int:
        """Have a sync soon; returns its number."""
        if accept_deletes:
            self._accepted = self._held
        self._requested += 1
        self._wake.set()
        return self._requested

    def notice(self, observed: Observed) -> None:
        """A listing outside a sync missed entries."""
        self._noticed.append(observed)
        self._wake.set()

    async def wait_synced(self) -> None:
        """Until the next sync has ended, well or not."""
        await self._synced.wait()

    def doubt(self) -> None:
        """A transfer could not reach the server: find out soon whether anybody can."""
        if not self._link.offline:
            self._doubted = True
            self._wake.set()

    def block(self, error: RemoteError) -> None:
        """The server was tried before this task ran, and will not have us: do not try it again unasked."""
        self.blocked = error
        self._due = NEVER

    def suspect(self, inode: Inode) -> None:
        """A download found another version than the tree has, or none: look at the directory it is in."""
        if self._tree.exists(inode):
            self._lister.look(self._tree.remote_parent(inode))

    async def connect(self) -> Observation:
        """Reach the root. Raises RemoteError; the link knows afterwards."""
        try:
            observation = await (self._remote.stat(Ref()) if self._connected else self._remote.connect())
        except Unreachable as error:
            self._link.lost(str(error))
            raise
        self._connected = True
        self._link.restored()
        return observation

    # --- the service

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        while True:
            now = trio.current_time()
            if self._requested > self._served or now >= self._due:
                await self._sync()
            elif self._doubted:
                await self._probe()
            elif self._noticed and not self._link.offline:
                await self._settle_noticed()
            elif now >= self._next_look:
                await self._look_again()
            else:
                with trio.move_on_at(min(self._due, self._next_look)):
                    await self._wake.wait()
                if self._wake.is_set():
                    self._wake = trio.Event()

    async def _sync(self) -> None:
        serving = self._requested
        outcome = Outcome()
        self.syncing = True
        try:
            await self._go_through(outcome)
            self._ended_well()
        except RemoteError as error:
            outcome.error = error
            self._ended_badly(error)
        finally:
            self.syncing = False
        self._outcome = outcome
        self._served = serving
        self._synced.set()
        self._synced = trio.Event()

    async def _go_through(self, outcome: Outcome) -> None:
        await self._check_root(await self.connect())
        found = _Found()
        first = not self.initial_sync_done
        if not first:
            self._removal.begin()
        for directories in self._rounds(everything=not first):
            await self._lister.sweep(directories, found.collect)
        self._note_problems(found)
        await self._settle(found, outcome)
        if first and not found.problems.keys() & {ROOT}:
            self._tree.db.set_meta("initial_sync", time.time())
            self._removal.begin()
        await self._ask_for_space()

    async def _ask_for_space(self) -> None:
        """Only a figure for `df`: a server that does not tell it has not failed the sync."""
        if self._remote.capabilities.space:
            try:
                self.space = await self._remote.space()
            except RemoteError as error:
                log.info("the room on the share is not known: %s", error)

    async def _check_root(self, observation: Observation) -> None:
        """Another folder at this address is not our share with everything deleted."""
        file_id = observation.version.file_id
        known = self._tree.db.get_meta("root_id")
        if known is None and file_id is not None:
            self._tree.db.set_meta("root_id", file_id)
        self.other_root = known is not None and file_id is not None and known != file_id

    def _until_due(self) -> float:
        """A remount within the interval goes on as if it had not happened; a clock set back syncs at once."""
        if self.last_sync is None or not self.initial_sync_done:
            return 0.0
        age = time.time() - self.last_sync
        return max(0.0, self.interval - age) if age >= 0 else 0.0

    def _rounds(self, *, everything: bool) -> Iterator[Iterable[Inode]]:
        """Directories to list, round by round: what one round finds is in the next."""
        last = Inode(0)
        if everything and (directories := self._tree.directories()):
            yield directories
            last = directories[-1]
        while directories := self._tree.unlisted(last):
            # Those that somebody opened before their turn came are done.
            yield (inode for inode in directories if not self._tree.is_listed(inode))
            last = directories[-1]

    async def _settle(self, found: _Found, outcome: Outcome) -> None:
        """Remove, rename or hold what is missing; look again where a name changed its kind."""
        hold = self.other_root or (found.root_empty and self._tree.record_count() > 0)
        accepted, self._accepted = self._accepted, frozenset()
        result = Removed()
        if found.missing:
            result = await self._removal.settle(found.missing, found.appeared, hold=hold, accepted=accepted)
        self._held = result.held
        if again := [inode for inode in found.again if self._tree.exists(inode)]:
            await self._lister.sweep(again, found.collect)
        outcome.appeared, outcome.changed = len(found.appeared), found.changed
        outcome.renamed, outcome.removed, outcome.held = result.renamed, result.removed, len(result.held)
        if result.held:
            log.info("held %d deletes: %s", len(result.held), "too many at once" if not hold else "the root is empty")

    async def _probe(self) -> None:
        """Offline is known at once instead of at the next sync; from then on syncs are tried with backoff."""
        self._doubted = False
        try:
            await self.connect()
        except RemoteError as error:
            self._ended_badly(error)

    async def _settle_noticed(self) -> None:
        found = _Found()
        for observed in self._noticed:
            found.missing |= set(observed.missing)
            found.appeared |= set(observed.appeared)
        self._noticed.clear()
        try:
            result = await self._removal.settle(
                found.missing, found.appeared, hold=self.other_root, accepted=frozenset()
            )
        except RemoteError as error:
            log.info("could not find out what became of %d entries: %s", len(found.missing), error)
        else:
            self._held |= result.held

    async def _look_again(self) -> None:
        """Versions that were seen within `SETTLE_SECONDS` of their mtime are looked at once more."""
        self._looks -= 1
        found = _Found()
        try:
            await self._lister.sweep(self._tree.unsettled_directories(), found.collect)
        except RemoteError as error:
            log.info("could not look again at recent changes: %s", error)
            self._looks = 0
        else:
            if found.missing:
                self.notice(Observed(list(found.appeared), list(found.missing)))
        self._plan_look()

    def _plan_look(self) -> None:
        wanted = self._looks > 0 and bool(self._tree.unsettled_directories())
        self._next_look = trio.current_time() + LOOK_AGAIN_SECONDS if wanted else NEVER

    def _note_problems(self, found: _Found) -> None:
        """Keep since when an entry has had its problem."""
        before = self.problems
        self.problems = {}
        for inode, error in found.problems.items():
            if self._tree.exists(inode):
                since = before[inode].since if inode in before else time.time()
                self.problems[inode] = Problem("/".join(self._tree.path(inode)) or "/", str(error), since)

    def _ended_well(self) -> None:
        self.blocked = None
        self._failures = 0
        self.last_sync = time.time()
        self._tree.db.set_meta("last_sync", self.last_sync)
        self._due = trio.current_time() + self.interval
        self._looks = LOOKS_AGAIN
        self._plan_look()

    def _ended_badly(self, error: RemoteError) -> None:
        """Temporary: try again soon. Account-wide: wrong credentials are not tried again until somebody asks."""
        log.info("sync ended early: %s", error)
        self._failures += 1
        self.blocked = None if isinstance(error, Unreachable) else error
        if isinstance(error, Unauthorized):
            self._due = NEVER
        elif error.temporary:
            backoff = min(RETRY_LAST_SECONDS, RETRY_FIRST_SECONDS * 2 ** min(self._failures - 1, 10))
            self._due = trio.current_time() + backoff * random.uniform(0.75, 1.25)
        else:
            self._due = trio.current_time() + max(self.interval, RETRY_FIRST_SECONDS)


class _Found:
    """What the listings of one sync brought together."""

    def __init__(self) -> None:
        self.missing: set[Inode] = set()
        self.appeared: set[Inode] = set()
        self.again: set[Inode] = set()
        self.problems: dict[Inode, DriveError] = {}
        self.changed = 0
        self.root_empty = False

    def collect(self, directory: Inode, flight: Flight) -> None:
        if flight.error is not None:
            self.problems[directory] = flight.error
        elif (observed := flight.observed) is not None:
            self.missing.update(observed.missing)
            self.appeared.update(observed.appeared)
            self.changed += observed.changed
            self.root_empty |= observed.empty and directory == ROOT
            if observed.again:
                self.again.add(directory)
