"""The token bucket and who goes first."""

from __future__ import annotations

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from drivefs.transfer.limits import Bandwidth, Limits
from tests.transfer.world import MIB


async def test_the_rate_holds_over_time(autojump_clock: MockClock) -> None:
    bandwidth = Bandwidth(MIB)
    before = trio.current_time()
    for _ in range(160):
        await bandwidth.take(MIB // 16)
    assert 9 <= trio.current_time() - before <= 10


async def test_the_rate_is_shared_by_all_who_take(autojump_clock: MockClock) -> None:
    bandwidth = Bandwidth(MIB)
    before = trio.current_time()

    async def taker() -> None:
        for _ in range(40):
            await bandwidth.take(MIB // 16)

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(taker)
    assert 9 <= trio.current_time() - before <= 10.5


async def test_lifting_the_limit_wakes_who_waits(autojump_clock: MockClock) -> None:
    bandwidth = Bandwidth(1)
    before = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bandwidth.take, MIB)
        await wait_all_tasks_blocked()
        bandwidth.rate = None
    assert trio.current_time() == before


async def test_an_idle_hour_does_not_save_up_more_than_a_burst(autojump_clock: MockClock) -> None:
    bandwidth = Bandwidth(MIB)
    await bandwidth.take(1)
    await trio.sleep(3600)
    before = trio.current_time()
    await bandwidth.take(2 * MIB)
    assert trio.current_time() - before >= 1.7


async def test_background_stands_still_while_somebody_waits_but_not_for_ever(autojump_clock: MockClock) -> None:
    limits = Limits()
    before = trio.current_time()
    await limits.give_way()
    assert trio.current_time() == before
    with limits.reader_waits():
        await limits.give_way()
        assert trio.current_time() == before + 1
