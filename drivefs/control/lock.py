"""One daemon per drive: an exclusive lock on the drive's lock file, held for as long as the daemon lives.

The file also tells who holds it: one line of JSON with the pid and the socket's path. The kernel lets go of the
lock when the process dies, so what the file says is only worth something while somebody holds it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from drivefs.config import DrivePaths
from drivefs.control.messages import decode, encode
from drivefs.errors import DriveError

_PATIENCE = 0.5
"""Seconds; `holder` takes a shared lock for a moment, and a daemon that just ends still has its lock."""


class Holder(msgspec.Struct, frozen=True):
    """The daemon of a drive."""

    pid: int
    socket: str


class AlreadyMounted(DriveError):
    """Another daemon serves this drive."""

    exit_code = 2


@contextlib.contextmanager
def held(paths: DrivePaths, mountpoint: str) -> Iterator[None]:
    """Hold the drive's lock. Raises: AlreadyMounted, naming the pid."""
    descriptor = os.open(paths.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _take(descriptor, paths.lock, mountpoint)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, encode(Holder(os.getpid(), str(paths.socket))).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, file: Path, mountpoint: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                other = _read(file)
                raise AlreadyMounted(
                    f"{mountpoint}: is already mounted{f', pid {other.pid}' if other else ''}"
                ) from None
        time.sleep(0.02)


def holder(paths: DrivePaths) -> Holder | None:
    """The daemon that serves the drive now, None when none does."""
    try:
        descriptor = os.open(paths.lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        return _read(paths.lock)
    finally:
        os.close(descriptor)


def _read(file: Path) -> Holder | None:
    try:
        return decode(file.read_bytes(), Holder)
    except ValueError:
        return None
