"""Open files and directories. A file handle is bound to one version; a directory handle to one walk through names."""

from __future__ import annotations

from typing import NewType

from drivefs.errors import Invalid
from drivefs.fs.protocols import OpenContent
from drivefs.model import Entry, Inode
from drivefs.store.tree import Tree

Handle = NewType("Handle", int)

PAGE = 256
"""Entries fetched at a time while a directory is read."""


class FileHandle:
    def __init__(self, inode: Inode, content: OpenContent) -> None:
        self.inode = inode
        self.content = content


class DirectoryHandle:
    """Reads a directory in the order of names, page by page, with small memory whatever its size.

    The offset of an entry is its ordinal, counted from 1. What is present throughout is given exactly once, also
    while entries come and go: a page starts after the last name of the one before, not at a number. Nothing is given
    as it was when its page was fetched: the kernel keeps what it gets here, and was told of changes before.
    """

    def __init__(self, inode: Inode, tree: Tree) -> None:
        self.inode = inode
        self._tree = tree
        self._marks = [""]  # the name before page i
        self._page: list[Entry] = []
        self._number = -1  # which page `_page` is
        self._changes = 0  # the tree's counter when it was fetched

    def entry(self, offset: int) -> tuple[Entry, int] | None:
        """The first entry from `offset` (0 is the first) on that is still there, and the offset to go on from.

        None past the end. Offset 0 starts anew.
        """
        if offset == 0:
            self._marks = [""]
            self._number = -1
        while (listed := self._listed(offset)) is not None:
            offset += 1
            if (entry := self._as_it_is(listed)) is not None:
                return entry, offset
        return None

    def _listed(self, offset: int) -> Entry | None:
        number, index = divmod(offset, PAGE)
        if number != self._number:
            self._turn(number)
        return self._page[index] if index < len(self._page) else None

    def _as_it_is(self, listed: Entry) -> Entry | None:
        if self._tree.changes == self._changes:
            return listed
        return self._tree.find(self.inode, listed.name)

    def _turn(self, number: int) -> None:
        known = number < len(self._marks)
        self._page = self._tree.children(self.inode, self._marks[number], PAGE) if known else []
        self._number = number
        self._changes = self._tree.changes
        if len(self._page) == PAGE and number + 1 == len(self._marks):
            self._marks.append(self._page[-1].name)


class HandleTable:
    """Numbers for what is open, given once."""

    def __init__(self) -> None:
        self._open: dict[Handle, FileHandle | DirectoryHandle] = {}
        self._next = 1

    def add(self, opened: FileHandle | DirectoryHandle) -> Handle:
        handle = Handle(self._next)
        self._next += 1
        self._open[handle] = opened
        return handle

    def file(self, handle: Handle) -> FileHandle:
        opened = self._open.get(handle)
        if not isinstance(opened, FileHandle):
            raise Invalid(f"handle {handle} is no open file")
        return opened

    def directory(self, handle: Handle) -> DirectoryHandle:
        opened = self._open.get(handle)
        if not isinstance(opened, DirectoryHandle):
            raise Invalid(f"handle {handle} is no open directory")
        return opened

    def close(self, handle: Handle) -> FileHandle | DirectoryHandle:
        try:
            return self._open.pop(handle)
        except KeyError:
            raise Invalid(f"handle {handle} is not open") from None

    def __len__(self) -> int:
        return len(self._open)
