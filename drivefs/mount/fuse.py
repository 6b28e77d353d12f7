"""The pyfuse3 adapter: bytes to names, entries to attributes, errors to errnos. Nothing is decided here.

A handler may only let out FUSEError: anything else would leave the calling program waiting for ever and end the loop.
So every handler goes through `answering`, the one error boundary of the mount.
"""

from __future__ import annotations

import errno
import functools
import logging
import os
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ParamSpec, TypeVar, cast

import pyfuse3

from drivefs.errors import DriveError, NoSuchEntry
from drivefs.fs.filesystem import BLOCK, FileSystem, blocks_of
from drivefs.fs.handles import Handle
from drivefs.model import Entry, Inode, Kind, decode_name, encode_name

log = logging.getLogger(__name__)

CACHE_SECONDS = 3600
"""How long the kernel may keep names and attributes: it is told of every change."""

_TYPES = {Kind.FILE: 0o100000, Kind.DIRECTORY: 0o040000, Kind.SYMLINK: 0o120000}

P = ParamSpec("P")
T = TypeVar("T")


def answering(handler: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Answer errors of drivefs with their errno, and defects with EIO and a traceback in the log."""

    @functools.wraps(handler)
    async def answer(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await handler(*args, **kwargs)
        except pyfuse3.FUSEError:
            raise
        except DriveError as error:
            log.debug("%s: %s", handler.__name__, error)
            raise pyfuse3.FUSEError(error.errno) from error
        except Exception:
            log.exception("%s failed", handler.__name__)
            raise pyfuse3.FUSEError(errno.EIO) from None

    return answer


class Operations(pyfuse3.Operations):
    """`mounted` is called once the kernel has answered, which is when the mount is ready."""

    supports_dot_lookup = True
    enable_writeback_cache = False
    enable_acl = False

    def __init__(self, fs: FileSystem, mounted: Callable[[], None]) -> None:
        super().__init__()
        self._fs = fs
        self._mounted = mounted
        self._uid, self._gid = os.getuid(), os.getgid()

    def init(self) -> None:
        self._mounted()

    # --- names and attributes

    @answering
    async def lookup(self, parent: int, name: bytes, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        try:
            return self._attributes(await self._fs.lookup(Inode(parent), decode_name(name)))
        except NoSuchEntry:
            return _absent()

    @answering
    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        self._fs.forget([(Inode(inode), count) for inode, count in inode_list])

    @answering
    async def getattr(self, inode: int, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        return self._attributes(self._fs.getattr(Inode(inode)))

    @answering
    async def readlink(self, inode: int, ctx: pyfuse3.RequestContext) -> pyfuse3.FileNameT:
        return pyfuse3.FileNameT(encode_name(self._fs.readlink(Inode(inode))))

    @answering
    async def access(self, inode: int, mode: int, ctx: pyfuse3.RequestContext) -> bool:
        return True  # mounted with default_permissions: the kernel has checked the mode bits

    @answering
    async def statfs(self, ctx: pyfuse3.RequestContext) -> pyfuse3.StatvfsData:
        room = self._fs.statfs()
        data = pyfuse3.StatvfsData()
        data.f_bsize = data.f_frsize = BLOCK
        data.f_blocks = room.blocks
        data.f_bfree = data.f_bavail = room.free
        data.f_files = room.files
        data.f_ffree = data.f_favail = 1 << 32
        data.f_namemax = 255
        return data

    # --- directories

    @answering
    async def opendir(self, inode: int, ctx: pyfuse3.RequestContext) -> pyfuse3.FileHandleT:
        return pyfuse3.FileHandleT(await self._fs.opendir(Inode(inode)))

    @answering
    async def readdir(self, fh: int, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        handle, offset = Handle(fh), start_id
        while (found := self._fs.readdir(handle, offset)) is not None:
            entry, offset = found
            if not pyfuse3.readdir_reply(token, encode_name(entry.name), self._attributes(entry), offset):
                return
            self._fs.given(entry)

    @answering
    async def releasedir(self, fh: int) -> None:
        self._fs.releasedir(Handle(fh))

    # --- files

    @answering
    async def open(self, inode: int, flags: int, ctx: pyfuse3.RequestContext) -> pyfuse3.FileInfo:
        opened = self._fs.open(Inode(inode), flags, ctx.pid)
        return pyfuse3.FileInfo(fh=pyfuse3.FileHandleT(opened.handle), keep_cache=opened.keep_cache)

    @answering
    async def read(self, fh: int, off: int, size: int) -> bytes:
        return cast(bytes, await self._fs.read(Handle(fh), off, size))  # any buffer will do for pyfuse3

    @answering
    async def release(self, fh: int) -> None:
        self._fs.release(Handle(fh))

    # --- what would change something

    @answering
    async def _refuse(self, *arguments: object) -> None:
        raise self._fs.read_only()

    # Each has a signature of its own in the base class; all of them refuse alike.
    setattr = mknod = mkdir = unlink = rmdir = _refuse  # type: ignore[assignment]
    symlink = rename = link = create = write = _refuse  # type: ignore[assignment]

    def _attributes(self, entry: Entry) -> pyfuse3.EntryAttributes:
        attributes = pyfuse3.EntryAttributes()
        attributes.st_ino = entry.inode
        attributes.st_mode = _TYPES[entry.kind] | entry.mode
        # 1 also for directories: programs take a higher number for a count of subdirectories, and stop looking early.
        attributes.st_nlink = entry.nlink
        attributes.st_uid = self._uid
        attributes.st_gid = self._gid
        attributes.st_size = entry.size
        attributes.st_blocks = blocks_of(entry)
        attributes.st_blksize = BLOCK
        attributes.st_mtime_ns = attributes.st_atime_ns = entry.mtime_ns
        attributes.st_ctime_ns = entry.ctime_ns
        attributes.attr_timeout = attributes.entry_timeout = CACHE_SECONDS
        return attributes


def _absent() -> pyfuse3.EntryAttributes:
    """An answer that lets the kernel remember that there is no such name; it is told when one appears."""
    attributes = pyfuse3.EntryAttributes()
    attributes.st_ino = 0
    attributes.entry_timeout = CACHE_SECONDS
    return attributes
