"""Whole files that were removed here because of the remote, kept for a while in case that was not wanted.

A file enters complete and synced under its final name before its row is written, in the same transaction that removes
the entry. So a crash leaves either the entry, or the row, or (between the two) a file without a row: that one is
taken in under a `recovered-` name at the next start, never deleted.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from pathlib import Path

import msgspec

from drivefs.model import decode_name, encode_name
from drivefs.store.db import Database

KEEP_SECONDS = 30 * 24 * 3600.0
KEEP_FRACTION = 0.1
"""How much of the disk the trash may take, before the oldest goes first."""

_UNFINISHED = ".tmp"


class TrashedFile(msgspec.Struct, frozen=True):
    file: str
    path: str
    size: int
    mtime_ns: int
    removed: float
    reason: str


class Trash:
    def __init__(self, db: Database, folder: Path) -> None:
        self._db = db
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._take_in_strays()

    def new_name(self) -> str:
        """Name for a file that is about to be put into `folder`; write it under `unfinished(name)` first."""
        return secrets.token_hex(8)

    def unfinished(self, file: str) -> Path:
        return self.folder / (file + _UNFINISHED)

    def finish(self, file: str) -> None:
        """The bytes under `unfinished(file)` are complete and synced. Blocks on the disk."""
        self.unfinished(file).rename(self.folder / file)
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def add(self, file: str, path: str, size: int, mtime_ns: int, reason: str) -> None:
        """Note a finished file, in the transaction that removes its entry."""
        row = (file, encode_name(path), size, mtime_ns, time.time(), reason)
        self._db.execute("INSERT INTO trash VALUES (?, ?, ?, ?, ?, ?)", row)

    def list(self) -> list[TrashedFile]:
        """Oldest first."""
        rows = self._db.execute("SELECT file, path, size, mtime_ns, removed, reason FROM trash ORDER BY removed")
        return [TrashedFile(file, decode_name(path), *rest) for file, path, *rest in rows]

    def count(self) -> int:
        (count,) = self._db.execute("SELECT count(*) FROM trash").fetchone()
        return int(count)

    def purge(self) -> int:
        """Drop what is older than `KEEP_SECONDS`, then the oldest until all fits `KEEP_FRACTION` of the disk.

        Only for files that the remote removed: these were never an only copy that the user had made here.
        Returns how many went.
        """
        files = self.list()
        allowed = shutil.disk_usage(self.folder).total * KEEP_FRACTION
        total = sum(file.size for file in files)
        old = time.time() - KEEP_SECONDS
        purged = 0
        for file in files:
            if file.removed >= old and total <= allowed:
                break
            (self.folder / file.file).unlink(missing_ok=True)
            self._db.execute("DELETE FROM trash WHERE file = ?", (file.file,))
            total -= file.size
            purged += 1
        return purged

    def _take_in_strays(self) -> None:
        known = {file.file for file in self.list()}
        for path in self.folder.iterdir():
            if _UNFINISHED in path.name:  # or the draft that it is made from
                path.unlink()  # its entry and its blocks are still there: the entry goes only after this is finished
            elif path.name not in known:
                stat = path.stat()
                self.add(path.name, f"recovered-{path.name}", stat.st_size, stat.st_mtime_ns, "found after a crash")
