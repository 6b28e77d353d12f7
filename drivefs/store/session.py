"""The marker that tells, after a power cut, which block files can be trusted.

Block files are not synced one by one, so after a power cut they may hold zeros while the databases list them. The
marker names the *session*: everything stored since the last moment when all was known to be on the disk. Rules:
- A session ends only by a sync of everything, after which the marker says `clean`.
- At start, an unclean marker of an earlier boot means that the session's blocks are lost.
- An unclean marker of this boot means that the process was killed: the page cache still holds everything, and
  the session simply goes on.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Marker(msgspec.Struct, frozen=True):
    boot: str
    session: int
    clean: bool


class Session(msgspec.Struct, frozen=True):
    """What a start finds. `lost` is the session whose blocks must go; `doubtful` says that the databases may
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


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
