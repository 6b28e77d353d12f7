"""The marker that tells, after a power cut, which block files can be trusted.

Block files are not synced as they are stored, so after a power cut they may hold zeros while the databases list them.
What is stored carries the number of its *session*, and the marker names the oldest one that was not synced. Rules:
- A checkpoint starts a new session, syncs the files of the older ones, and only then moves the marker.
- The marker says `clean` after a checkpoint with nothing stored since.
- At start, an unclean marker of an earlier boot means that the blocks of its session and of later ones are lost.
- An unclean marker of this boot means that the process was killed, or had no time to sync: the page cache still holds
  everything, and the session simply goes on.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec
import trio

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Marker(msgspec.Struct, frozen=True):
    boot: str
    session: int
    clean: bool


class Session(msgspec.Struct, frozen=True):
    """What a start finds. `lost` is the session from which on blocks must go; `doubtful` says that the databases may
    not agree with the files."""

    number: int
    lost: int | None
    doubtful: bool


class SessionMarker:
    """The file that holds the marker. Blocks; for worker threads."""

    def __init__(self, path: Path, boot_id: str) -> None:
        self._path = path
        self._boot = boot_id

    def begin(self) -> Session:
        """Read what the last session left; nothing is written before `mark`."""
        last = self._read()
        if last is None:
            return Session(1, None, doubtful=True)
        if last.clean:
            return Session(last.session + 1, None, doubtful=False)
        if last.boot == self._boot:
            return Session(last.session, None, doubtful=True)
        return Session(last.session + 1, last.session, doubtful=True)

    def mark(self, session: int, *, clean: bool) -> None:
        """Durable when this returns."""
        self._path.parent.mkdir(parents=True, exist_ok=True)  # a user may remove a cache at any time
        temporary = self._path.with_suffix(".new")
        with temporary.open("wb") as file:
            file.write(msgspec.json.encode(Marker(self._boot, session, clean)))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)
        sync_folder(self._path.parent)

    def _read(self) -> Marker | None:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Marker)
        except (FileNotFoundError, msgspec.DecodeError):
            return None


def sync_files(paths: Iterable[Path]) -> None:
    """Have the bytes of these files on the disk; those that are gone need not be.

    For a worker thread of trio's: it stops between two files when its caller is cancelled.
    """
    for path in paths:
        trio.from_thread.check_cancelled()
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
