"""The file system of one drive, without FUSE: what programs may do with names and handles.

Names and attributes come from the tree, never from the network, but for a directory that was never listed. Content
comes from a `ContentSource`. Errors are those of `drivefs.errors`; each has its errno.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import msgspec
import trio

from drivefs.errors import Invalid, IsADirectory, NameTooLong, NoSuchEntry, NotADirectory, NotAllowed, ReadOnly
from drivefs.fs.handles import DirectoryHandle, FileHandle, Handle, HandleTable
from drivefs.fs.protocols import Buffer, ContentSource, ListingSource
from drivefs.model import ContentId, Entry, Inode, Space, encode_name
from drivefs.names import MAX_NAME_BYTES
from drivefs.store.tree import Tree

FRESH_SECONDS = 2.0
"""A directory opened after this long without any being opened is a person coming back: wait a little for news."""
FRESH_WAIT_SECONDS = 0.3

INDEXERS = frozenset(
    ("tracker-extract", "tracker-miner-f", "localsearch-3", "localsearch-ext", "baloo_file", "baloo_file_extr",
     "baloo_filemetad", "updatedb", "updatedb.mlocat", "updatedb.plocat", "recollindex", "beagled", "zeitgeist-data")
)  # fmt: skip
"""Names of desktop indexers as /proc/PID/comm shows them (cut to 15 bytes): they open every file there is."""

BLOCK = 4096
UNKNOWN_SPACE = 1 << 50
"""Shown as free where the server does not tell: programs must not refuse to copy because of our ignorance."""


class Opened(msgspec.Struct, frozen=True):
    """`keep_cache`: what the kernel still has of this inode's bytes is right."""

    handle: Handle
    keep_cache: bool


class Room(msgspec.Struct, frozen=True):
    """For statfs; sizes in blocks of `BLOCK` bytes."""

    blocks: int
    free: int
    files: int


class FileSystem:
    """`space` tells the share's room as last heard; `deny_indexers` refuses content that is not here to indexers."""

    def __init__(
        self,
        tree: Tree,
        contents: ContentSource,
        listings: ListingSource,
        *,
        space: Callable[[], Space],
        deny_indexers: bool = True,
    ) -> None:
        self._tree = tree
        self._references = tree.references
        self._contents = contents
        self._listings = listings
        self._space = space
        self._deny_indexers = deny_indexers
        self._handles = HandleTable()
        self._last_opendir = -FRESH_SECONDS
        self._cached_pages: dict[Inode, ContentId] = {}

    # --- names and attributes

    async def lookup(self, parent: Inode, name: str) -> Entry:
        """Raises NoSuchEntry only when the directory was listed; until then its listing is waited for."""
        if len(encode_name(name)) > MAX_NAME_BYTES:
            raise NameTooLong(f"{name[:32]}…: names have at most {MAX_NAME_BYTES} bytes")
        entry = self._lookup(parent, name)
        if entry is None and self._directory(parent).listed is None:
            await self._listings.ensure(parent)
            entry = self._lookup(parent, name)
        if entry is None:
            raise NoSuchEntry(f"{name}: no such entry")
        self._references.remember(entry.inode)
        return entry

    def _lookup(self, parent: Inode, name: str) -> Entry | None:
        if name == ".":
            return self._directory(parent)
        if name == "..":
            return self._tree.get(self._directory(parent).parent)
        return self._tree.find(parent, name)

    def getattr(self, inode: Inode) -> Entry:
        return self._tree.get(inode)

    def forget(self, counts: list[tuple[Inode, int]]) -> None:
        self._references.forget(counts)
        for inode, _ in counts:
            if not self._references.known_to_kernel(inode):
                self._cached_pages.pop(inode, None)

    def readlink(self, inode: Inode) -> str:
        self._tree.get(inode)
        raise Invalid("not a symbolic link: this share has none")

    def statfs(self) -> Room:
        space = self._space()
        free = UNKNOWN_SPACE if space.available is None else space.available
        used = space.used or 0
        return Room(blocks=(used + free) // BLOCK, free=free // BLOCK, files=self._tree.record_count())

    # --- directories

    async def opendir(self, inode: Inode) -> Handle:
        """A listed directory opens at once and is listed again behind, if that was not just done."""
        entry = self._directory(inode)
        now = trio.current_time()
        pause, self._last_opendir = now - self._last_opendir, now
        if entry.listed is None:
            await self._listings.ensure(inode)
        elif (refreshed := self._listings.refresh(inode)) is not None and pause >= FRESH_SECONDS:
            with trio.move_on_after(FRESH_WAIT_SECONDS):
                await refreshed.wait()
        self._references.opened(inode)
        return self._handles.add(DirectoryHandle(inode, self._tree))

    def readdir(self, handle: Handle, offset: int) -> tuple[Entry, int] | None:
        """The next entry of an open directory from `offset` on, and the offset to go on from; None at the end."""
        return self._handles.directory(handle).entry(offset)

    def given(self, entry: Entry) -> None:
        """The kernel took this entry from a directory's page, and counts it as looked up."""
        self._references.remember(entry.inode)

    def releasedir(self, handle: Handle) -> None:
        self._references.released(self._handles.close(handle).inode)

    def _directory(self, inode: Inode) -> Entry:
        entry = self._tree.get(inode)
        if not entry.is_directory:
            raise NotADirectory(f"{entry.name}: not a directory")
        return entry

    # --- files

    def open(self, inode: Inode, flags: int, pid: int) -> Opened:
        """Bind a handle to the present version. `pid` is the caller's, for indexers; 0 is nobody's."""
        entry = self._tree.get(inode)
        if entry.is_directory:
            raise IsADirectory(f"{entry.name}: is a directory")
        if flags & os.O_ACCMODE != os.O_RDONLY or flags & os.O_TRUNC:
            raise self.read_only()
        if self._deny_indexers and entry.cached < entry.size and _command(pid) in INDEXERS:
            raise NotAllowed(f"{entry.name}: not fetched for an indexer")
        content = self._contents.open(entry)
        self._references.opened(inode)
        keep = self._cached_pages.get(inode) == entry.content
        if entry.settled:
            self._cached_pages[inode] = entry.content
        else:  # pages of a version that may still hide a write are not trusted at the next open
            self._cached_pages.pop(inode, None)
        return Opened(self._handles.add(FileHandle(inode, content)), keep)

    async def read(self, handle: Handle, offset: int, size: int) -> Buffer:
        content = self._handles.file(handle).content
        data = content.read_now(offset, size)
        return await content.read(offset, size) if data is None else data

    def release(self, handle: Handle) -> None:
        opened = self._handles.close(handle)
        assert isinstance(opened, FileHandle), "the kernel releases files as files"
        opened.content.close()
        self._references.released(opened.inode)

    def read_only(self) -> ReadOnly:
        """What every request that would change something is answered with, for now."""
        return ReadOnly("this drive cannot be written to yet")


def blocks_of(entry: Entry) -> int:
    """What `stat` shows as st_blocks: units of 512 bytes that are here, so that `du` tells the use of the cache.

    At least one for a file that is not empty: `tar -S` takes none for "all hole" and would store zeros.
    """
    return max(-(-entry.cached // 512), 1) if entry.size else 0


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""
