"""The files of blocks and the descriptors that we hold on them.

A block's file is in `incoming/` while it fills, and is then moved to where `blockcache` keeps it; the descriptor
stays good over the move, and over an unlink. At most `limit` descriptors are kept, least recently used go first;
those of blocks in memory (memfd) are no cache and stay until dropped.

Invariant: a descriptor is never closed while a worker thread reads from it (`hold`, `release`): its number could
be another file's by then. All calls are made in the loop's thread.
"""

from __future__ import annotations

import contextlib
import os
from collections import OrderedDict
from pathlib import Path

from drivefs.store.blockcache import Key

DESCRIPTOR_LIMIT = 256


class Descriptor:
    """An open block file. `users` are worker threads at work on it."""

    __slots__ = ("dropped", "fd", "pinned", "users")

    def __init__(self, fd: int, *, pinned: bool) -> None:
        self.fd = fd
        self.pinned = pinned
        self.users = 0
        self.dropped = False

    def hold(self) -> None:
        self.users += 1

    def release(self) -> None:
        self.users -= 1
        self._close_if_unused()

    def drop(self) -> None:
        self.dropped = True
        self._close_if_unused()

    def _close_if_unused(self) -> None:
        if self.dropped and self.users == 0:
            os.close(self.fd)


class BlockFiles:
    """`kept` is the folder of finished blocks, `incoming` of those that fill."""

    def __init__(self, kept: Path, incoming: Path, limit: int = DESCRIPTOR_LIMIT) -> None:
        self._kept = kept
        self._incoming = incoming
        self._limit = limit
        self._last_name = 0
        self._open: OrderedDict[Key, Descriptor] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def new_name(self) -> str:
        self._last_name += 1
        return f"{self._last_name:x}"

    def incoming_path(self, name: str) -> Path:
        return self._incoming / name

    def kept_path(self, key: Key) -> Path:
        return self._kept / key

    def kept(self, key: Key, *, writable: bool = False) -> Descriptor:
        """Of a block in the cache. Raises FileNotFoundError when somebody removed it."""
        flags = os.O_RDWR if writable else os.O_RDONLY
        return self._cached(key) or self._add(key, os.open(self.kept_path(key), flags | os.O_CLOEXEC))

    def incoming(self, key: Key, name: str, *, new: bool) -> Descriptor:
        """Of a block that fills; made only when `new`: a file that went away must not come back empty."""
        cached = self._cached(key)
        if cached is not None:
            return cached
        path = self.incoming_path(name)
        return self._add(key, _create(path) if new else os.open(path, os.O_RDWR | os.O_CLOEXEC))

    def in_memory(self, key: Key) -> Descriptor:
        """Of a block that no disk has room for."""
        return self._cached(key) or self._add(key, os.memfd_create("drivefs-block", os.MFD_CLOEXEC), pinned=True)

    def drop(self, key: Key) -> None:
        """Let go of the descriptor; the file stays."""
        descriptor = self._open.pop(key, None)
        if descriptor is not None:
            descriptor.drop()

    def remove_incoming(self, key: Key, name: str) -> None:
        self.drop(key)
        with contextlib.suppress(FileNotFoundError):
            self.incoming_path(name).unlink()

    def close(self) -> None:
        for key in list(self._open):
            self.drop(key)

    def _cached(self, key: Key) -> Descriptor | None:
        descriptor = self._open.get(key)
        if descriptor is not None:
            self._open.move_to_end(key)
        return descriptor

    def _add(self, key: Key, fd: int, *, pinned: bool = False) -> Descriptor:
        descriptor = self._open[key] = Descriptor(fd, pinned=pinned)
        if len(self._open) > self._limit:
            oldest = next((old for old, held in self._open.items() if not held.pinned and old != key), None)
            if oldest is not None:
                self.drop(oldest)
        return descriptor


def _create(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:  # somebody emptied the cache's folder
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, flags, 0o600)
