"""The remotes that the contract suite runs over, each with a hand on the other side of it: a `World`.

A world changes the share behind the remote's back, as another computer would.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from drivefs.remote.base import Remote
from drivefs.remote.faulty import FaultyRemote
from drivefs.remote.memory import MemoryRemote, Options, ServerClock
from drivefs.remote.open import open_remote
from tests.support.servers import Server

OLD = 1_700_000_000
"""An mtime in seconds that is long past, so that what carries it is settled."""


class World(Protocol):
    """The other side. Paths are tuples of names. `many`: entries of a big folder here."""

    many: int

    def open(self) -> Remote: ...
    def put(self, path: tuple[str, ...], content: bytes, *, mtime: int = OLD) -> None: ...
    def mkdir(self, path: tuple[str, ...]) -> None: ...
    def delete(self, path: tuple[str, ...]) -> None: ...


class MemoryWorld:
    many = 1000

    def __init__(self, options: Options, *, faulty: bool = False) -> None:
        self.memory = MemoryRemote(options, now=ServerClock())
        self.faulty = faulty

    def open(self) -> Remote:
        return FaultyRemote(self.memory) if self.faulty else self.memory

    def put(self, path: tuple[str, ...], content: bytes, *, mtime: int = OLD) -> None:
        self.memory.put(path, content, mtime_ns=mtime * 1_000_000_000)

    def mkdir(self, path: tuple[str, ...]) -> None:
        self.memory.mkdir(path)

    def delete(self, path: tuple[str, ...]) -> None:
        self.memory.delete(path)


class ServerWorld:
    """A real server, and an own folder in its data for each test, so that the servers are started once."""

    def __init__(self, server: Server, folder: str) -> None:
        self.server = server
        self.many = 250 if server.name == "rclone" else 1000  # without its cache rclone needs quadratic time
        self.folder = folder
        self.place(
            (),
        ).mkdir()

    def open(self) -> Remote:
        return open_remote(f"{self.server.url}{self.folder}/")

    def place(self, path: tuple[str, ...]) -> Path:
        return self.server.data.joinpath(self.folder, *path)

    def put(self, path: tuple[str, ...], content: bytes, *, mtime: int = OLD) -> None:
        """Written aside and renamed, as a good writer does."""
        self.mkdir(path[:-1])
        aside = self.server.root / "aside"
        aside.write_bytes(content)
        os.utime(aside, (mtime, mtime))
        os.replace(aside, self.place(path))

    def mkdir(self, path: tuple[str, ...]) -> None:
        self.place(path).mkdir(parents=True, exist_ok=True)

    def delete(self, path: tuple[str, ...]) -> None:
        place = self.place(path)
        place.rmdir() if place.is_dir() else place.unlink()


MEMORY_WORLDS: dict[str, Callable[[], World]] = {
    "memory": lambda: MemoryWorld(Options(total_bytes=2**40)),
    "memory-plain": lambda: MemoryWorld(Options(ranges=False, strong_etags=False, whole_seconds=True)),
    "memory-rich": lambda: MemoryWorld(Options(file_ids=True, tree_etags=True)),
    "faulty": lambda: MemoryWorld(Options(), faulty=True),
}
SERVERS = ("wsgidav", "apache", "rclone", "nginx", "lighttpd", "sabre")
