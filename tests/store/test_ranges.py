"""Interval sets against plain sets of numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from drivefs.store.ranges import Ranges

SPAN = 40
pairs = st.lists(st.tuples(st.integers(0, SPAN), st.integers(0, SPAN)), max_size=12)


def numbers(added: list[tuple[int, int]]) -> set[int]:
    return {number for start, end in added for number in range(start, end)}


@given(pairs)
def test_ranges_hold_exactly_what_was_added(added: list[tuple[int, int]]) -> None:
    ranges, model = Ranges(added), numbers(added)
    assert numbers(list(ranges.pairs())) == model
    assert ranges.total() == len(model)
    edges = [edge for pair in ranges.pairs() for edge in pair]
    assert edges == sorted(set(edges)), "disjoint, sorted, and never touching"


@given(pairs, st.integers(0, SPAN), st.integers(0, SPAN))
def test_questions_agree_with_the_set(added: list[tuple[int, int]], start: int, end: int) -> None:
    ranges, model = Ranges(added), numbers(added)
    run = ranges.run(start)
    assert model.issuperset(range(start, start + run))
    assert start + run not in model
    assert ranges.covers(start, end) is model.issuperset(range(start, end))
    assert numbers(list(ranges.gaps(start, end))) == set(range(start, end)) - model
    if run == 0:
        assert ranges.next_start(start) == min((number for number in model if number > start), default=None)
