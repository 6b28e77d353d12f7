"""What the kernel and open handles hold on to, in memory: it all ends with the mount.

Invariants: an inode that the kernel looked up n times is forgotten n times before the kernel drops it; an entry that
lost its name while handles are open on it (an *orphan*) stays readable under its inode until the last release.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from drivefs.errors import NoSuchEntry
from drivefs.model import ROOT, Entry, Inode


class References:
    def __init__(self) -> None:
        self._lookups: Counter[Inode] = Counter()
        self._open: Counter[Inode] = Counter()
        self._orphans: dict[Inode, Entry] = {}

    def remember(self, inode: Inode) -> None:
        """The kernel was given this inode once more."""
        self._lookups[inode] += 1

    def forget(self, counts: Iterable[tuple[Inode, int]]) -> None:
        """The kernel drops so many of its references; called in bulk, so it is kept cheap."""
        lookups = self._lookups
        for inode, count in counts:
            left = lookups[inode] - count
            if left > 0:
                lookups[inode] = left
            else:
                del lookups[inode]

    def known_to_kernel(self, inode: Inode) -> bool:
        """Whether the kernel may hold anything of this inode; the root is never looked up, and always known."""
        return inode in self._lookups or inode == ROOT

    def opened(self, inode: Inode) -> None:
        self._open[inode] += 1

    def released(self, inode: Inode) -> None:
        self._open[inode] -= 1
        if self._open[inode] <= 0:
            del self._open[inode]
            self._orphans.pop(inode, None)

    def is_open(self, inode: Inode) -> bool:
        return inode in self._open

    @property
    def open_inodes(self) -> frozenset[Inode]:
        return frozenset(self._open)

    def orphan(self, entry: Entry) -> None:
        """Keep an entry that has just lost its name, if anybody has it open."""
        if self.is_open(entry.inode):
            self._orphans[entry.inode] = entry

    def get_orphan(self, inode: Inode) -> Entry:
        try:
            return self._orphans[inode]
        except KeyError:
            raise NoSuchEntry(f"inode {inode} is gone") from None
