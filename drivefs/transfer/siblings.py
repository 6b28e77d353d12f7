"""Fetching ahead for a reader of many small files: who opens one after the other in a folder gets the next ones early.

A *run* is such a reader: it begins with a file that had to be fetched, and goes on as long as the files that are opened
in its folder come in the order of their names, the order in which folders are read. From the second file on, the next
few are fetched, more of them while the run goes on. It ends with its folder, a step back or far ahead, or an error.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable

from drivefs.model import Entry, Inode, Kind, decode_name, encode_name

SIBLING_BYTES = 256 * 1024
"""Larger files are not fetched unasked."""

FIRST_WINDOW, LAST_WINDOW = 4, 32
"""How many files a run may be ahead of its reader, at first and at last."""

STEP = 3
"""A reader whose next file is among so many next entries still reads all of them."""

RUNS = 16
"""Folders that are watched at a time."""

Following = Callable[[Inode, str, int], list[Entry]]
"""(directory, name, limit) to the entries after that name, in the order of names."""


class Run:
    """`edge` is the last name that was looked at; `ahead` are the fetched files that the reader has not come to yet."""

    def __init__(self, name: bytes) -> None:
        self.last = name
        self.edge = name
        self.ahead: deque[bytes] = deque()
        self.window = FIRST_WINDOW

    def advance(self, name: bytes) -> None:
        """The reader has come to `name`."""
        self.last = name
        self.edge = max(self.edge, name)
        while self.ahead and self.ahead[0] <= name:
            self.ahead.popleft()


class Siblings:
    """Decides what to fetch; `following` looks into the tree. Nothing here waits."""

    def __init__(self, following: Following) -> None:
        self._following = following
        self._runs: OrderedDict[Inode, Run] = OrderedDict()

    def missed(self, entry: Entry) -> None:
        """A reader waits for a small file: perhaps the first of a run."""
        if entry.parent not in self._runs and entry.size <= SIBLING_BYTES:
            self._runs[entry.parent] = Run(encode_name(entry.name))
            if len(self._runs) > RUNS:
                self._runs.popitem(last=False)

    def opened(self, entry: Entry) -> list[Entry]:
        """A file was opened; returns what to fetch now."""
        run = self._runs.get(entry.parent)
        if run is None or encode_name(entry.name) == run.last:
            return []
        if not self._is_step(run, entry):
            del self._runs[entry.parent]
            return []
        run.advance(encode_name(entry.name))
        self._runs.move_to_end(entry.parent)
        if len(run.ahead) > run.window // 2:
            return []
        wanted = self._next(entry.parent, run)
        run.window = min(LAST_WINDOW, run.window * 2)
        return wanted

    def failed(self, entry: Entry) -> None:
        """Fetching ahead in this folder only costs: stop it until the next miss."""
        self._runs.pop(entry.parent, None)

    def _is_step(self, run: Run, entry: Entry) -> bool:
        """Whether this file is one of the next few: who picks files here and there would get the ones between."""
        nearby = self._following(entry.parent, decode_name(run.last), STEP)
        return any(other.name == entry.name for other in nearby)

    def _next(self, directory: Inode, run: Run) -> list[Entry]:
        entries = self._following(directory, decode_name(run.edge), run.window)
        if entries:
            run.edge = encode_name(entries[-1].name)
        wanted = list(_worth_fetching(entries))
        run.ahead.extend(encode_name(entry.name) for entry in wanted)
        return wanted


def _worth_fetching(entries: Iterable[Entry]) -> Iterable[Entry]:
    for entry in entries:
        if entry.kind is Kind.FILE and entry.settled and entry.cached < entry.size <= SIBLING_BYTES:
            yield entry
