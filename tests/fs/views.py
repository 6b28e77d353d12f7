"""One way to look at a drive for two: the file system called directly, and the same through a real mount.

`Direct` plays the kernel: it counts what it was given, holds handles, and can forget everything; errors come as
`OSError`. `Mounted` makes system calls. Both show a share that the test changes behind the drive's back.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec
import trio

from drivefs.config import DrivePaths, DriveSettings
from drivefs.errors import DriveError
from drivefs.fs.filesystem import blocks_of
from drivefs.fs.handles import Handle
from drivefs.model import ROOT, Entry, Inode
from drivefs.mount.drive import Drive
from drivefs.remote.memory import MemoryRemote, ServerClock
from tests.support.drive import DriveHome
from tests.support.servers import Server

T = TypeVar("T")
OLD = 1_500_000_000
"""Modification times are counted up from here, in seconds: old enough for every version to be settled."""


class Stat(msgspec.Struct, frozen=True):
    inode: int
    is_directory: bool
    permissions: int
    nlink: int
    size: int
    blocks: int
    mtime: float


class Share(Protocol):
    """The world behind the drive's back."""

    def put(self, path: str, content: bytes) -> int:
        """Create or replace a file; gives its modification time in seconds."""
        ...

    def mkdir(self, path: str) -> None: ...
    def delete(self, path: str) -> None: ...


class Walk(Protocol):
    """An open directory."""

    async def next(self) -> str | None: ...
    def tell(self) -> int: ...
    def seek(self, position: int) -> None: ...
    async def close(self) -> None: ...


class View(Protocol):
    share: Share

    async def sync(self) -> None: ...
    async def stat(self, path: str) -> Stat: ...
    async def walk(self, path: str) -> Walk: ...
    async def open(self, path: str, flags: int = os.O_RDONLY) -> int: ...
    async def read(self, handle: int, offset: int, size: int) -> bytes: ...
    async def fstat(self, handle: int) -> Stat: ...
    async def close(self, handle: int) -> None: ...
    async def free_bytes(self) -> int: ...
    async def forget_pages(self, handle: int) -> None:
        """Let no reader be answered from the kernel's memory."""
        ...


async def names(view: View, path: str) -> list[str]:
    """All names in a directory, as one walk gives them."""
    walk = await view.walk(path)
    found = [name async for name in rest(walk)]
    await walk.close()
    return found


async def rest(walk: Walk) -> AsyncIterator[str]:
    while (name := await walk.next()) is not None:
        yield name


async def read_file(view: View, path: str) -> bytes:
    handle = await view.open(path)
    size = (await view.fstat(handle)).size
    content = await view.read(handle, 0, size + 1)
    await view.close(handle)
    return content


# --- without FUSE


class MemoryShare:
    def __init__(self) -> None:
        clock = ServerClock(OLD + 1_000_000)
        self.remote = MemoryRemote(now=clock)
        self._mtime = OLD

    def put(self, path: str, content: bytes) -> int:
        self._mtime += 1
        self.remote.put(path, content, mtime_ns=self._mtime * 10**9)
        return self._mtime

    def mkdir(self, path: str) -> None:
        self.remote.mkdir(path)

    def delete(self, path: str) -> None:
        self.remote.delete(path)


class Direct:
    """The kernel's part of the game, for a file system without a mount."""

    def __init__(self, drive: Drive, share: MemoryShare) -> None:
        self.share: Share = share
        self.drive = drive
        self.fs = drive.fs
        self.lookups: Counter[Inode] = Counter()
        self._inodes: dict[int, Inode] = {}

    async def sync(self) -> None:
        outcome = await self.drive.engine.sync()
        assert outcome.error is None

    async def look_up(self, path: str) -> Entry:
        entry = self.fs.getattr(ROOT)
        for name in path.split("/") if path else ():
            entry = await self.fs.lookup(entry.inode, name)
            self.lookups[entry.inode] += 1
        return entry

    async def stat(self, path: str) -> Stat:
        with as_os_errors():
            return _stat_of(self.fs.getattr((await self.look_up(path)).inode))

    async def walk(self, path: str) -> DirectWalk:
        with as_os_errors():
            return DirectWalk(self, await self.fs.opendir((await self.look_up(path)).inode))

    async def open(self, path: str, flags: int = os.O_RDONLY) -> int:
        with as_os_errors():
            inode = (await self.look_up(path)).inode
            handle = self.fs.open(inode, flags, 0).handle
        self._inodes[handle] = inode
        return handle

    async def read(self, handle: int, offset: int, size: int) -> bytes:
        with as_os_errors():
            return bytes(await self.fs.read(Handle(handle), offset, size))

    async def fstat(self, handle: int) -> Stat:
        with as_os_errors():
            return _stat_of(self.fs.getattr(self._inodes[handle]))

    async def close(self, handle: int) -> None:
        with as_os_errors():
            self.fs.release(Handle(handle))

    async def free_bytes(self) -> int:
        return self.fs.statfs().free * 4096

    async def forget_pages(self, handle: int) -> None:
        await trio.lowlevel.checkpoint()  # there is nothing in between

    def forget_all(self) -> None:
        """As a kernel under memory pressure does."""
        self.fs.forget(list(self.lookups.items()))
        self.lookups.clear()


class DirectWalk:
    def __init__(self, kernel: Direct, handle: Handle) -> None:
        self._kernel = kernel
        self._handle = handle
        self._offset = 0

    async def next(self) -> str | None:
        await trio.lowlevel.checkpoint()
        found = self._kernel.fs.readdir(self._handle, self._offset)
        if found is None:
            return None
        entry, self._offset = found
        self._kernel.fs.given(entry)
        self._kernel.lookups[entry.inode] += 1
        return entry.name

    def tell(self) -> int:
        return self._offset

    def seek(self, position: int) -> None:
        self._offset = position

    async def close(self) -> None:
        self._kernel.fs.releasedir(self._handle)
        await trio.lowlevel.checkpoint()


def _stat_of(entry: Entry) -> Stat:
    return Stat(
        inode=entry.inode,
        is_directory=entry.is_directory,
        permissions=entry.mode,
        nlink=entry.nlink,
        size=entry.size,
        blocks=blocks_of(entry),
        mtime=entry.mtime_ns / 1e9,
    )


@contextmanager
def as_os_errors() -> Iterator[None]:
    try:
        yield
    except DriveError as error:
        raise OSError(error.errno, str(error)) from error


@asynccontextmanager
async def direct(folder: Path) -> AsyncIterator[Direct]:
    """A drive on a share in memory, after its first sync."""
    paths = DrivePaths(folder / "cache", folder / "state", folder / "socket", folder / "log", folder / "config")
    paths.make()
    share = MemoryShare()
    settings = DriveSettings("drive", str(folder / "Drive"), "http://memory/", min_free=0, max_delete="1000")
    drive = Drive(settings, paths, share.remote)
    async with trio.open_nursery() as nursery:
        await nursery.start(drive.run)
        await drive.first_contact()
        await nursery.start(drive.sync)
        await drive.engine.sync()
        yield Direct(drive, share)
        nursery.cancel_scope.cancel()


# --- through a mount


class ServedShare:
    """The folder of a real server. `prefix` keeps the tests on one mount apart."""

    def __init__(self, server: Server, prefix: str) -> None:
        self._top = server.data / prefix
        self._mtime = OLD

    def put(self, path: str, content: bytes) -> int:
        target = self._top / path
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = self._top.parent / ".draft"  # a listing must never see half a file
        draft.write_bytes(content)
        self._mtime += 1
        os.utime(draft, (self._mtime, self._mtime))
        draft.rename(target)
        return self._mtime

    def mkdir(self, path: str) -> None:
        (self._top / path).mkdir(parents=True)

    def delete(self, path: str) -> None:
        target = self._top / path
        if target.is_dir():
            target.rmdir()
        else:
            target.unlink()


class Mounted:
    def __init__(self, home: DriveHome, server: Server, prefix: str) -> None:
        self.share: Share = ServedShare(server, prefix)
        self.home = home
        self.top = home.mountpoint / prefix

    def path(self, path: str) -> str:
        return f"{self.top}/{path}" if path else str(self.top)

    async def sync(self) -> None:
        await in_thread(self.home.sync)

    async def stat(self, path: str) -> Stat:
        return _stat_from(await in_thread(lambda: os.lstat(self.path(path))))

    async def walk(self, path: str) -> LibcWalk:
        return await in_thread(lambda: LibcWalk(self.path(path)))

    async def open(self, path: str, flags: int = os.O_RDONLY) -> int:
        return await in_thread(lambda: os.open(self.path(path), flags))

    async def read(self, handle: int, offset: int, size: int) -> bytes:
        return await in_thread(lambda: os.pread(handle, size, offset))

    async def fstat(self, handle: int) -> Stat:
        return _stat_from(await in_thread(lambda: os.fstat(handle)))

    async def close(self, handle: int) -> None:
        await in_thread(lambda: os.close(handle))

    async def free_bytes(self) -> int:
        room = await in_thread(lambda: os.statvfs(self.top))
        return room.f_bavail * room.f_frsize

    async def forget_pages(self, handle: int) -> None:
        await in_thread(lambda: os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED))


def _stat_from(result: os.stat_result) -> Stat:
    return Stat(
        inode=result.st_ino,
        is_directory=stat.S_ISDIR(result.st_mode),
        permissions=stat.S_IMODE(result.st_mode),
        nlink=result.st_nlink,
        size=result.st_size,
        blocks=result.st_blocks,
        mtime=result.st_mtime,
    )


class Dirent(ctypes.Structure):
    """glibc's, on 64 bit."""

    _fields_ = (
        ("d_ino", ctypes.c_uint64),
        ("d_off", ctypes.c_int64),
        ("d_reclen", ctypes.c_uint16),
        ("d_type", ctypes.c_uint8),
        ("d_name", ctypes.c_char * 256),
    )


class LibcWalk:
    """opendir and its family, which Python has no seekdir of."""

    def __init__(self, path: str) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.opendir.restype = self._libc.readdir.restype = ctypes.c_void_p
        self._libc.telldir.restype = ctypes.c_long
        self._libc.seekdir.argtypes = (ctypes.c_void_p, ctypes.c_long)
        for name in ("readdir", "telldir", "closedir"):
            getattr(self._libc, name).argtypes = (ctypes.c_void_p,)
        self._stream = self._libc.opendir(os.fsencode(path))
        if not self._stream:
            self._fail(path)

    async def next(self) -> str | None:
        return await in_thread(self._next)

    def _next(self) -> str | None:
        while True:
            ctypes.set_errno(0)
            address = self._libc.readdir(self._stream)
            if not address:
                if ctypes.get_errno():
                    self._fail("readdir")
                return None
            name = os.fsdecode(Dirent.from_address(address).d_name)
            if name not in (".", ".."):
                return name

    def tell(self) -> int:
        return int(self._libc.telldir(self._stream))

    def seek(self, position: int) -> None:
        self._libc.seekdir(self._stream, position)

    async def close(self) -> None:
        await in_thread(lambda: self._libc.closedir(self._stream))

    @staticmethod
    def _fail(what: str) -> None:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), what)


async def in_thread(call: Callable[[], T]) -> T:
    """System calls on a mount may wait for its daemon."""
    return await trio.to_thread.run_sync(call)
