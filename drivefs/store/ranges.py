"""Which bytes are here: a set of whole numbers, kept as its edges.

Invariant: `_edges` is start, end, start, end, … in strictly rising order; so a position is in the set when an odd
number of edges is at or before it, and neighbours that touch are always one range.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class Ranges:
    """Sorted, disjoint, half-open ranges."""

    __slots__ = ("_edges",)

    def __init__(self, pairs: Iterable[tuple[int, int]] = ()) -> None:
        self._edges: list[int] = []
        for start, end in pairs:
            self.add(start, end)

    def add(self, start: int, end: int) -> None:
        if start >= end:
            return
        first, last = bisect_left(self._edges, start), bisect_right(self._edges, end)
        edges = ([start] if first % 2 == 0 else []) + ([end] if last % 2 == 0 else [])
        self._edges[first:last] = edges

    def run(self, position: int) -> int:
        """How many positions are here without a break, from `position` on; 0 when it is missing."""
        index = bisect_right(self._edges, position)
        return self._edges[index] - position if index % 2 else 0

    def covers(self, start: int, end: int) -> bool:
        return start >= end or self.run(start) >= end - start

    def next_start(self, position: int) -> int | None:
        """Where the first range after a missing `position` starts."""
        index = bisect_right(self._edges, position)
        return self._edges[index] if index < len(self._edges) else None

    def gaps(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """What is missing between `start` and `end`. The set may grow while this is read."""
        while start < end:
            start += self.run(start)
            if start >= end:
                return
            following = self.next_start(start)
            stop = end if following is None else min(end, following)
            yield start, stop
            start = stop

    def total(self) -> int:
        return sum(self._edges[1::2]) - sum(self._edges[::2])

    def pairs(self) -> tuple[tuple[int, int], ...]:
        return tuple(zip(self._edges[::2], self._edges[1::2], strict=True))

    def __repr__(self) -> str:
        return f"Ranges({self.pairs()})"
