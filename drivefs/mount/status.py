"""What a drive tells about itself: the answers of the control socket, put together from all its parts."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable

from drivefs.control.messages import (
    CacheUse,
    Counts,
    DriveState,
    DriveStatus,
    EntryError,
    EntryStatus,
    InitialSync,
    PlannedAction,
    Requests,
    SyncResult,
    Transfer,
    moment,
)
from drivefs.errors import NoSuchEntry
from drivefs.model import Entry, Kind, State
from drivefs.mount.drive import Drive
from drivefs.sync.engine import Outcome
from drivefs.sync.preview import preview

ATTENTION_EXIT = 3


class Control:
    """Implements the socket's `DriveControl`. `unmount` takes the mount away, or raises."""

    def __init__(self, drive: Drive, unmount: Callable[[], Awaitable[None]]) -> None:
        self._drive = drive
        self._unmount = unmount

    @property
    def state(self) -> str:
        return self._state()

    async def status(self) -> DriveStatus:
        drive, settings, engine = self._drive, self._drive.settings, self._drive.engine
        # Before the counting: when the first sync is said to be done, what is counted is the result of it.
        initial_sync_done, state, message = engine.initial_sync_done, self._state(), self._message()
        totals = await drive.totals()
        upcoming = engine.next_sync
        traffic = drive.remote.traffic
        return DriveStatus(
            name=settings.name,
            mountpoint=settings.mountpoint,
            remote=settings.remote,
            server=drive.remote.capabilities.server,
            direction=str(settings.direction),
            mounted=True,
            pid=os.getpid(),
            state=state,
            message=message,
            interval_s=settings.interval,
            initial_sync=InitialSync(
                done=initial_sync_done,
                directories=totals.directories + 1 - totals.unlisted,
                entries=totals.entries,
            ),
            last_sync=None if engine.last_sync is None else moment(engine.last_sync),
            next_sync=None if upcoming is None else moment(time.time() + upcoming),
            transfers=tuple(self._transfers()),
            counts=Counts(
                entries=totals.entries,
                error=0,
                hydrated=totals.hydrated,
                partial=totals.partial,
                placeholder=totals.placeholder,
                hidden=totals.hidden,
                trash=drive.trash.count(),
            ),
            cache=CacheUse(used=drive.blocks.used(), limit=settings.cache_size),
            requests=Requests(total=traffic.requests, failed=traffic.failed),
            down_bytes=traffic.down_bytes,
            up_bytes=traffic.up_bytes,
            errors=tuple(
                EntryError(problem.path, problem.reason, moment(problem.since)) for problem in engine.problems.values()
            ),
        )

    async def entry_status(self, path: str) -> EntryStatus:
        tree = self._drive.tree
        try:
            inode = tree.inode_at(tuple(part for part in path.split("/") if part))
        except NoSuchEntry as error:
            raise NoSuchEntry(f"{self._drive.settings.mountpoint}{error}") from error
        entry = tree.get(inode)
        problem = self._drive.engine.problems.get(inode)
        return EntryStatus(
            path=path,
            state=State.ERROR if problem else _state(entry, entry.is_directory and tree.is_incomplete(inode)),
            pinned=False,
            size=entry.size,
            cached=entry.cached,
            version=entry.version.etag or (None if entry.is_directory else f"{entry.size}-{entry.mtime_ns}"),
            reason=problem.reason if problem else "",
        )

    async def sync(self, *, dry_run: bool, accept_deletes: bool, wait: bool) -> SyncResult:
        engine = self._drive.engine
        if dry_run:
            return await self._preview()
        if not wait:
            engine.request(accept_deletes=accept_deletes)
            return SyncResult(ok=True, exit_code=0, message="a sync was started")
        outcome = await engine.sync(accept_deletes=accept_deletes)
        await self._drive.kernel.flush()  # programs see what this sync brought
        return self._result(outcome)

    async def unmount(self) -> None:
        await self._unmount()

    def _result(self, outcome: Outcome) -> SyncResult:
        totals = {
            "appeared": outcome.appeared,
            "changed": outcome.changed,
            "renamed": outcome.renamed,
            "removed": outcome.removed,
            "held": outcome.held,
        }
        if outcome.error is not None:
            return SyncResult(False, outcome.error.exit_code, str(outcome.error), totals=totals)
        if outcome.held or self._drive.engine.problems:
            return SyncResult(False, ATTENTION_EXIT, self._message(), totals=totals)
        return SyncResult(True, 0, "in sync", totals=totals)

    async def _preview(self) -> SyncResult:
        found = await preview(self._drive.remote, self._drive.tree)
        actions = tuple(PlannedAction(item.action, item.path, item.size, item.why) for item in found)
        totals = dict(Counter(action.action for action in actions))
        return SyncResult(True, 0, "nothing was changed: this is what a sync would do", actions, totals)

    def _state(self) -> DriveState:
        engine = self._drive.engine
        if engine.held or engine.blocked is not None or engine.other_root or self._mirror_full():
            return DriveState.ATTENTION
        if self._drive.link.offline:
            return DriveState.OFFLINE
        if engine.syncing:
            return DriveState.SYNCING if engine.initial_sync_done else DriveState.LISTING
        return DriveState.IDLE

    def _message(self) -> str:
        """One line for a person about why the state is what it is; empty while all is well."""
        engine, mountpoint = self._drive.engine, self._drive.settings.mountpoint
        if engine.blocked is not None:
            return str(engine.blocked)
        if engine.other_root:
            return "the address leads to another folder than before: nothing is removed here until that is put right"
        if engine.held:
            return (
                f"{len(engine.held)} entries are gone on the server, too many to remove without asking; "
                f"to remove them here too: drivefs sync {mountpoint} --accept-deletes"
            )
        if self._mirror_full():
            return "the disk has no room for all files: free some space, or mount with --content on-demand"
        if self._drive.link.offline:
            return self._drive.link.message
        if engine.problems:
            return f"{len(engine.problems)} folders could not be listed, see errors"
        return ""

    def _mirror_full(self) -> bool:
        return self._drive.mirror is not None and self._drive.mirror.full

    def _transfers(self) -> list[Transfer]:
        return [
            Transfer(
                "/".join(self._drive.tree.path(running.inode)), "down", running.done, running.total, round(running.rate)
            )
            for running in self._drive.downloads.transfers()
            if self._drive.tree.exists(running.inode)
        ]


def _state(entry: Entry, incomplete: bool) -> State:
    if entry.kind is Kind.DIRECTORY:
        return State.PLACEHOLDER if incomplete else State.HYDRATED
    if entry.cached >= entry.size:
        return State.HYDRATED
    return State.PARTIAL if entry.cached else State.PLACEHOLDER
