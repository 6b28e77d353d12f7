"""A drive that answers the control socket from a script, without any mount."""

from __future__ import annotations

import trio

from drivefs.control.messages import (
    Counts,
    DriveState,
    DriveStatus,
    EntryStatus,
    InitialSync,
    PlannedAction,
    SyncRequest,
    SyncResult,
    Transfer,
    moment,
)
from drivefs.errors import NoSuchEntry

STATUS = DriveStatus(
    name="drive",
    mountpoint="/home/u/Drive",
    remote="https://host/",
    server="Apache/2.4",
    direction="remote-to-local",
    mounted=True,
    pid=4242,
    state=DriveState.IDLE,
    message="",
    interval_s=60.0,
    initial_sync=InitialSync(done=True, directories=2, entries=5),
    last_sync=moment(1_795_356_185.7),
    next_sync=moment(1_795_356_245.7),
    transfers=(Transfer(path="a/b\udcff", way="down", done=1, total=2, rate=3),),
    counts=Counts(entries=5, hydrated=2, placeholder=3),
)


class FakeControl:
    """What was asked is kept in `asked`; a sync with `wait` ends when `may_finish` is set."""

    def __init__(self, status: DriveStatus = STATUS, sync_result: SyncResult | Exception | None = None) -> None:
        self.current = status
        self.result = sync_result or SyncResult(True, 0, "done", (PlannedAction("pull", "a", 3, "new"),), {"pull": 1})
        self.asked: list[object] = []
        self.may_finish = trio.Event()
        self.finished = trio.Event()
        self.unmounting = trio.Event()

    async def status(self) -> DriveStatus:
        return self.current

    async def entry_status(self, path: str) -> EntryStatus:
        self.asked.append(path)
        if path == "missing":
            raise NoSuchEntry("missing: no such entry")
        return EntryStatus(path=path, state="hydrated", pinned=False, size=3, cached=3, version="e1")

    async def sync(self, *, dry_run: bool, accept_deletes: bool, wait: bool) -> SyncResult:
        self.asked.append(SyncRequest(dry_run=dry_run, accept_deletes=accept_deletes, wait=wait))
        if wait:
            await self.may_finish.wait()
        self.finished.set()
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    async def unmount(self) -> None:
        self.unmounting.set()
