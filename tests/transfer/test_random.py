"""Any reads, on anything that is here already, over a link that breaks anywhere: always the source's bytes."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from drivefs.errors import StaleContent
from drivefs.remote.faulty import Call, Fault
from drivefs.remote.memory import Options
from drivefs.store.index import BLOCK_SIZE
from tests.transfer.world import KIB, MIB, World, pattern, read

SIZE = 2 * BLOCK_SIZE + 3 * MIB + 77
SOURCE = pattern(SIZE)
REPLACED = pattern(SIZE, seed=2)

spans = st.lists(st.tuples(st.integers(0, SIZE), st.sampled_from([1, 4096, 128 * KIB, MIB, 5 * MIB])), max_size=6)


class BreakingLink:
    """Cuts each answer after some bytes of its own; never before the first one, so that every try gets on."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def __call__(self, call: Call) -> Fault | None:
        return Fault(cut=self._random.randint(1, 3 * MIB)) if self._random.random() < 0.5 else None


@given(here=spans, reads=spans, seed=st.integers(0, 10**6), ranges=st.booleans(), together=st.booleans())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_reads_give_the_source(
    here: list[tuple[int, int]], reads: list[tuple[int, int]], seed: int, ranges: bool, together: bool
) -> None:
    async def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            world = World(Path(folder), Options(ranges=ranges, piece_bytes=256 * KIB))
            world.remote.decide = BreakingLink(seed) if ranges else lambda call: None
            await check(world)

    async def check(world: World) -> None:
        entry = world.put("f", SOURCE)
        async with world.start() as downloads:
            stored = world.blocks.open(entry.inode, entry.content, entry.size)
            for offset, size in here:
                stored.write(offset, SOURCE[offset : offset + size])
            world.blocks.close(stored)
            missing = entry.size - stored.bytes_here()
            shared = downloads.open(entry)

            async def one(offset: int, size: int) -> None:
                assert await read(shared, offset, size) == SOURCE[offset : offset + size]

            async with trio.open_nursery() as nursery:
                for offset, size in reads:
                    if together:
                        nursery.start_soon(one, offset, size)
                    else:
                        await one(offset, size)
            if ranges:
                assert world.received <= missing + len(world.asked()) * 256 * KIB, "only cut pieces come twice"
            shared.close()

    trio.run(run, clock=MockClock(autojump_threshold=0))


@given(reads=spans, change_after=st.integers(0, 6), seed=st.integers(0, 10**6))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_change_in_between_is_stale_and_never_mixed(
    reads: list[tuple[int, int]], change_after: int, seed: int
) -> None:
    async def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            world = World(Path(folder))
            world.remote.decide = BreakingLink(seed)
            entry = world.put("f", SOURCE)
            async with world.start() as downloads:
                shared = downloads.open(entry)
                for number, (offset, size) in enumerate(reads):
                    if number == change_after:
                        world.share.put("f", REPLACED)
                    try:
                        assert await read(shared, offset, size) == SOURCE[offset : offset + size]
                    except StaleContent:
                        assert number >= change_after
                        assert len(world.changed) == 1
                shared.close()

    trio.run(run, clock=MockClock(autojump_threshold=0))


@pytest.mark.parametrize("seed", range(4))
async def test_cancelled_readers_leave_no_gap_and_no_descriptor(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    world = World(tmp_path)
    world.remote.decide = BreakingLink(seed)
    entry = world.put("f", SOURCE)
    async with world.start() as downloads:
        shared = downloads.open(entry)
        for _ in range(30):
            with trio.move_on_after(chance.random() * 0.003):
                async with trio.open_nursery() as nursery:
                    for _ in range(4):
                        nursery.start_soon(shared.read, chance.randrange(SIZE), 300 * KIB)
        assert await read(shared, 0, SIZE) == SOURCE
        shared.close()
    assert world.limits.interactive.borrowed_tokens == 0
