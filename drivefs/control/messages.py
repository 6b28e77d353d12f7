"""What travels over the control socket, and what `--json` prints: one struct per message.

The JSON is a contract with scripts and other programs: fields may be added, none renamed or taken away.
Names of entries may hold bytes that are not UTF-8 (see `model`); they travel as lone surrogates in JSON's
`\\udcXX` form, so that `encode` never fails and Python's `json` gives them back unchanged. That is why
msgspec's own JSON, which refuses surrogates, is not used here. Nothing in this file does I/O.

Times are UTC in whole seconds, sizes are bytes, rates bytes per second.
"""

from __future__ import annotations

import enum
import json
from datetime import UTC, datetime
from typing import Literal, TypeVar

import msgspec

from drivefs.config import DriveSettings

Message = TypeVar("Message")


class DriveState(enum.StrEnum):
    """What a drive is doing; the first that fits, in the order that matters to a person."""

    IDLE = "idle"
    LISTING = "listing"
    SYNCING = "syncing"
    PAUSED = "paused"
    OFFLINE = "offline"
    ATTENTION = "attention"
    NEEDS_RESET = "needs-reset"
    UNMOUNTED = "unmounted"


class InitialSync(msgspec.Struct, frozen=True):
    """How far the first listing of the whole tree is; `entries` counts files and directories."""

    done: bool = False
    directories: int = 0
    entries: int = 0


class Pending(msgspec.Struct, frozen=True):
    """Local changes that are not on the remote yet."""

    entries: int = 0
    bytes: int = 0


class Transfer(msgspec.Struct, frozen=True):
    """One running transfer. `total` is 0 while the size is unknown."""

    path: str
    way: Literal["up", "down"]
    done: int
    total: int
    rate: int = 0


class Counts(msgspec.Struct, frozen=True, rename="kebab"):
    """Entries by state: each entry once under its state (`entries` is their sum, the root not counted).

    `pinned`, `whiteout`, `hidden`, `trash` and `remote-only` stand beside that sum.
    """

    entries: int = 0
    error: int = 0
    conflict: int = 0
    sending: int = 0
    dirty: int = 0
    override: int = 0
    local_only: int = 0
    ignored: int = 0
    diverged: int = 0
    hydrated: int = 0
    partial: int = 0
    placeholder: int = 0
    pinned: int = 0
    whiteout: int = 0
    hidden: int = 0
    trash: int = 0
    remote_only: int = 0


class CacheUse(msgspec.Struct, frozen=True):
    used: int = 0
    limit: int = 0


class Requests(msgspec.Struct, frozen=True):
    total: int = 0
    failed: int = 0


class EntryError(msgspec.Struct, frozen=True):
    """One entry that is parked, and why."""

    path: str
    reason: str
    since: datetime


class DriveStatus(msgspec.Struct, frozen=True):
    """One drive in `drivefs status --json`."""

    name: str
    mountpoint: str
    remote: str
    server: str
    direction: str
    mounted: bool
    pid: int | None
    state: DriveState
    message: str
    interval_s: float
    initial_sync: InitialSync = InitialSync()
    last_sync: datetime | None = None
    next_sync: datetime | None = None
    pending: Pending = Pending()
    transfers: tuple[Transfer, ...] = ()
    counts: Counts = Counts()
    cache: CacheUse = CacheUse()
    requests: Requests = Requests()
    down_bytes: int = 0
    up_bytes: int = 0
    errors: tuple[EntryError, ...] = ()


class StatusReport(msgspec.Struct, frozen=True):
    """The whole of `drivefs status --json`."""

    drives: tuple[DriveStatus, ...]


class EntryStatus(msgspec.Struct, frozen=True):
    """One entry in `drivefs status PATH --json`. `path` is relative to the drive's root; `state` as in `model.State`.

    `version` is the version's ETag or, without one, another short text that changes with it; None without a version.
    """

    path: str
    state: str
    pinned: bool
    size: int
    cached: int
    version: str | None
    reason: str = ""


class PlannedAction(msgspec.Struct, frozen=True):
    """One thing that a sync does, or under `--dry-run` would do."""

    action: str
    path: str
    bytes: int
    why: str


class SyncResult(msgspec.Struct, frozen=True):
    """What a sync did, or under `--dry-run` would do. `exit_code` as in the table of the command line."""

    ok: bool
    exit_code: int
    message: str
    actions: tuple[PlannedAction, ...] = ()
    totals: dict[str, int] = {}


class SyncRequest(msgspec.Struct, frozen=True):
    dry_run: bool = False
    accept_deletes: bool = False
    wait: bool = True


class Failure(msgspec.Struct, frozen=True, tag="failure"):
    """An error of `drivefs.errors` on its way to the client: its class, its text and its exit code."""

    error: str
    message: str
    exit_code: int


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """One line while a sync or an unmount runs."""

    state: DriveState
    message: str
    initial_sync: InitialSync = InitialSync()
    pending: Pending = Pending()
    transfers: tuple[Transfer, ...] = ()


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The last line of a sync or an unmount that was carried out. `result` is None for an unmount."""

    result: SyncResult | None = None


Event = Progress | Done | Failure
"""One line of a streamed answer; the last line is `Done` or `Failure`."""


def moment(seconds: float) -> datetime:
    """A time for a message, from seconds since the epoch."""
    return datetime.fromtimestamp(int(seconds), UTC)


def unmounted(settings: DriveSettings, message: str = "") -> DriveStatus:
    """The status of a drive that no daemon serves."""
    return DriveStatus(
        name=settings.name,
        mountpoint=settings.mountpoint,
        remote=settings.remote,
        server="",
        direction=str(settings.direction),
        mounted=False,
        pid=None,
        state=DriveState.UNMOUNTED,
        message=message,
        interval_s=settings.interval,
        cache=CacheUse(used=0, limit=settings.cache_size),
    )


def progress_of(status: DriveStatus) -> Progress:
    return Progress(status.state, status.message, status.initial_sync, status.pending, status.transfers)


def encode(message: object) -> str:
    """A message as one line of ASCII JSON, without the newline."""
    return json.dumps(msgspec.to_builtins(message), separators=(",", ":"))


def decode(text: str | bytes, kind: type[Message]) -> Message:
    """The message of type `kind` in `text`.

    Raises: ValueError (of which msgspec's and json's errors are children) when it is not one.
    """
    return msgspec.convert(json.loads(text), kind)


def decode_event(text: str | bytes) -> Event:
    """One line of a streamed answer. Raises: ValueError."""
    event: Event = msgspec.convert(json.loads(text), Event)
    return event
