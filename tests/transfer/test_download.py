"""What is asked of the remote, and that readers get the right bytes."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from drivefs.errors import NotPermitted, Offline, StaleContent, Unreachable
from drivefs.model import Ref
from drivefs.remote.faulty import Fault
from drivefs.remote.memory import Options
from drivefs.store.index import BLOCK_SIZE
from tests.store.block_helpers import FIRST
from tests.transfer.world import KIB, MIB, World, pattern, read, read_all


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_a_small_file_comes_whole_with_one_plain_request(world: World) -> None:
    entry = world.put("f", pattern(300 * KIB))
    async with world.start() as downloads:
        shared = downloads.open(entry)
        assert await read(shared, 200_000, 10) == world.share.content("f")[200_000:200_010]
        assert await read_all(shared) == world.share.content("f")
        assert await read(shared, entry.size - 5, 100) == world.share.content("f")[-5:]
        assert await read(shared, entry.size, 100) == b""
        shared.close()
    assert world.asked() == [(0, None)]


async def test_an_empty_file_needs_nothing(world: World) -> None:
    entry = world.put("f", b"")
    async with world.start() as downloads:
        shared = downloads.open(entry)
        assert shared.read_now(0, 4096) == b""
        assert await shared.read(0, 4096) == b""
        await downloads.fetch(entry)
        shared.close()
    assert world.asked() == []


async def test_a_sniff_costs_one_small_range(world: World) -> None:
    entry = world.put("f", pattern(10 * MIB))
    async with world.start() as downloads:
        shared = downloads.open(entry)
        assert await read(shared, 0, 4 * KIB) == world.share.content("f")[: 4 * KIB]
        await wait_all_tasks_blocked()
        shared.close()
    assert world.asked() == [(0, 256 * KIB)]


@pytest.mark.parametrize("piece", [128 * KIB, MIB])
async def test_a_mebibyte_from_the_middle_of_a_large_file_is_cheap(world: World, piece: int) -> None:
    entry = world.put("f", pattern(64 * MIB))
    middle = 30 * MIB + 12345
    async with world.start() as downloads:
        shared = downloads.open(entry)
        for offset in range(middle, middle + MIB, piece):
            assert await read(shared, offset, piece) == world.share.content("f")[offset : offset + piece]
        await wait_all_tasks_blocked()
        shared.close()
    assert world.received <= 9 * MIB
    assert world.asked()[0][0] == middle - middle % 4096


async def test_a_sequential_reader_gets_ever_larger_ranges_and_each_byte_once(world: World) -> None:
    entry = world.put("f", pattern(40 * MIB))
    async with world.start() as downloads:
        shared = downloads.open(entry)
        assert await read_all(shared) == world.share.content("f")
        shared.close()
    steps = [256 * KIB, MIB, 4 * MIB, 16 * MIB]
    starts = [sum(steps[:count]) for count in range(5)]
    assert world.asked() == [*zip(starts, steps, strict=False), (starts[-1], None)]
    assert world.received == entry.size


async def test_what_is_here_is_never_asked_for_again(world: World) -> None:
    entry = world.put("f", pattern(12 * MIB))
    async with world.start() as downloads:
        shared = downloads.open(entry)
        await read(shared, 5 * MIB, 4 * KIB)
        await wait_all_tasks_blocked()
        assert await read_all(shared) == world.share.content("f")
        shared.close()
        await world.blocks.flush()
        before = world.received
        shared = downloads.open(entry)
        assert await read_all(shared) == world.share.content("f")
        shared.close()
    assert before == world.received == entry.size


async def test_a_partial_content_is_continued_after_a_restart(world: World) -> None:
    entry = world.put("f", pattern(3 * MIB))
    async with world.start() as downloads:
        shared = downloads.open(entry)
        await read(shared, MIB, 4 * KIB)
        await wait_all_tasks_blocked()
        shared.close()
    async with world.start() as downloads:
        await downloads.fetch(entry)
        shared = downloads.open(entry)
        assert await read_all(shared) == world.share.content("f")
        shared.close()
    assert world.received == entry.size


async def test_two_readers_of_the_same_bytes_share_one_request(world: World) -> None:
    entry = world.put("f", pattern(20 * MIB))
    async with world.start() as downloads:
        shared, other = downloads.open(entry), downloads.open(entry)
        assert shared is other

        async def reader() -> None:
            assert await read_all(shared) == world.share.content("f")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(reader)
            nursery.start_soon(reader)
        shared.close()
        other.close()
    assert world.received == entry.size


async def test_readers_at_different_places_do_not_thrash(world: World) -> None:
    entry = world.put("f", pattern(48 * MIB))
    async with world.start() as downloads:
        shared = downloads.open(entry)

        async def reader(start: int) -> None:
            for offset in range(start, start + 16 * MIB, 128 * KIB):
                assert await read(shared, offset, 128 * KIB) == world.share.content("f")[offset : offset + 128 * KIB]

        async with trio.open_nursery() as nursery:
            for start in (0, 16 * MIB, 32 * MIB):
                nursery.start_soon(reader, start)
        shared.close()
    assert world.received == entry.size
    assert len(world.asked()) < 20


async def test_a_seek_storm_keeps_few_streams_and_gives_right_bytes(world: World) -> None:
    entry = world.put("f", pattern(64 * MIB))
    async with world.start() as downloads:
        shared = downloads.open(entry)

        async def seek(offset: int) -> None:
            assert await read(shared, offset, 4 * KIB) == world.share.content("f")[offset : offset + 4 * KIB]

        async with trio.open_nursery() as nursery:
            for number in range(60):
                nursery.start_soon(seek, number * 7_919_123 % (63 * MIB))
        shared.close()
    # How many bytes a seek brings along depends on the link's speed just then; none comes twice.
    assert world.received <= entry.size


async def test_a_stream_stays_within_the_window_and_ends_with_the_last_close(
    world: World, autojump_clock: MockClock
) -> None:
    entry = world.put("f", pattern(200 * MIB))
    async with world.start() as downloads:
        shared = downloads.open(entry)
        for offset in range(0, 30 * MIB, 128 * KIB):
            await read(shared, offset, 128 * KIB)
        await trio.sleep(20)
        assert 30 * MIB < world.received <= (30 + 64 + 1) * MIB
        assert downloads.transfers() == []
        for offset in range(30 * MIB, 80 * MIB, 128 * KIB):
            assert shared.read_now(offset, 128 * KIB) is not None
        await trio.sleep(1)
        assert world.received > 100 * MIB, "it goes on before the reader has to wait"
        shared.close()
        await trio.sleep(1)
        at_close = world.received
        await trio.sleep(100)
        assert world.received == at_close


async def test_a_cut_is_continued_from_where_it_was(world: World, autojump_clock: MockClock) -> None:
    entry = world.put("f", pattern(20 * MIB))
    world.remote.decide = lambda call: Fault(cut=3 * MIB + 17)
    async with world.start() as downloads:
        shared = downloads.open(entry)
        assert await read_all(shared) == world.share.content("f")
        shared.close()
    assert world.received < entry.size + len(world.asked()) * 64 * KIB, "only the piece that was cut comes twice"


async def test_a_server_that_is_away_is_an_error_in_bounded_time(world: World, autojump_clock: MockClock) -> None:
    entry = world.put("f", pattern(20 * MIB))
    world.remote.decide = lambda call: Fault(before=Unreachable("no route"))
    async with world.start() as downloads:
        shared = downloads.open(entry)
        before = trio.current_time()
        with pytest.raises(Unreachable):
            await shared.read(0, 100)
        assert 20 <= trio.current_time() - before <= 31
        assert world.not_reached > 0, "who watches the link is told, and need not wait as long"
        world.remote.decide = lambda call: None
        assert await read(shared, 0, 100) == world.share.content("f")[:100]
        shared.close()


async def test_a_server_that_stalls_is_an_error_in_bounded_time(world: World, autojump_clock: MockClock) -> None:
    entry = world.put("f", pattern(20 * MIB))
    world.remote.decide = lambda call: Fault(until=trio.Event())
    async with world.start() as downloads:
        shared = downloads.open(entry)
        before = trio.current_time()
        with pytest.raises(Unreachable):
            await shared.read(0, 100)
        assert trio.current_time() - before <= 31
        shared.close()


async def test_when_known_offline_it_fails_at_once_and_what_is_here_is_served(
    world: World, autojump_clock: MockClock
) -> None:
    entry = world.put("f", pattern(20 * MIB))
    async with world.start() as downloads:
        shared = downloads.open(entry)
        await read(shared, 0, 100)
        await wait_all_tasks_blocked()
        world.offline = True
        before = trio.current_time()
        assert await read(shared, 0, 1000) == world.share.content("f")[:1000]
        with pytest.raises(Offline):
            await shared.read(5 * MIB, 100)
        assert trio.current_time() == before
        shared.close()


async def test_becoming_offline_wakes_who_waits(world: World) -> None:
    entry = world.put("f", pattern(20 * MIB))
    world.remote.decide = lambda call: Fault(until=trio.Event())
    async with world.start() as downloads:
        shared = downloads.open(entry)

        async def reader() -> None:
            with pytest.raises(Offline):
                await shared.read(0, 100)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(reader)
            await wait_all_tasks_blocked()
            downloads.went_offline()
        shared.close()


async def test_an_error_that_does_not_pass_is_told_at_once(world: World) -> None:
    entry = world.put("f", pattern(20 * MIB))
    world.remote.decide = lambda call: Fault(after=NotPermitted("403"))
    async with world.start() as downloads:
        shared = downloads.open(entry)
        with pytest.raises(NotPermitted):
            await shared.read(0, 100)
        with pytest.raises(NotPermitted):
            await downloads.fetch(entry)
        shared.close()


async def test_a_version_that_went_away_is_stale_where_missing_and_readable_where_here(world: World) -> None:
    old = pattern(20 * MIB)
    entry = world.put("f", old)
    async with world.start() as downloads:
        shared = downloads.open(entry)
        await read(shared, 0, 4 * KIB)
        await wait_all_tasks_blocked()
        world.share.put("f", pattern(20 * MIB, seed=2))
        for _ in range(2):
            with pytest.raises(StaleContent):
                await shared.read(10 * MIB, 100)
        assert await read(shared, 0, 256 * KIB) == old[: 256 * KIB]
        assert [(inode, observed is not None) for inode, observed in world.changed] == [(entry.inode, True)]
        shared.close()


async def test_a_file_that_was_deleted_is_stale_and_one_that_was_moved_is_found(world: World) -> None:
    entry = world.put("f", pattern(20 * MIB))
    async with world.start() as downloads:
        shared = downloads.open(entry)
        world.share.move("f", "g")
        with pytest.raises(StaleContent):
            await shared.read(0, 100)
        assert world.changed == [(entry.inode, None)]
        world.places[entry.inode] = Ref(("g",))
        assert await read(shared, 0, 100) == world.share.content("g")[:100]
        shared.close()


async def test_a_file_shorter_than_it_was_listed_is_stale_and_never_filled_up(tmp_path: Path) -> None:
    world = World(tmp_path, Options(strong_etags=False))
    entry = world.put("f", b"x" * 1000)
    without_size = type(entry.version)(mtime_ns=entry.version.mtime_ns)

    entry = msgspec.structs.replace(entry, size=2000, version=without_size)
    async with world.start() as downloads:
        shared = downloads.open(entry)
        with pytest.raises(StaleContent):
            await shared.read(0, 2000)
        assert await read(shared, 0, 1000) == b"x" * 1000
        shared.close()


async def test_a_share_without_ranges_keeps_all_that_arrives(tmp_path: Path) -> None:
    world = World(tmp_path, Options(ranges=False))
    entry = world.put("f", pattern(12 * MIB))
    async with world.start() as downloads:
        shared = downloads.open(entry)

        async def reader(offset: int) -> None:
            assert await read(shared, offset, 100) == world.share.content("f")[offset : offset + 100]

        async with trio.open_nursery() as nursery:
            for offset in (9 * MIB, 10 * MIB, 0):
                nursery.start_soon(reader, offset)
        assert await read_all(shared) == world.share.content("f")
        shared.close()
    assert world.received == entry.size
    assert len(world.asked()) == 1


async def test_bytes_of_an_unsettled_version_live_as_long_as_it_is_open(world: World) -> None:
    entry = world.put("f", pattern(100 * KIB), settled=False)
    async with world.start() as downloads:
        shared = downloads.open(entry)
        assert await read_all(shared) == world.share.content("f")
        assert await read_all(shared) == world.share.content("f")
        assert len(world.asked()) == 1
        shared.close()
        await world.blocks.flush()
        assert (world.home.known(entry.content), world.settled) == ([], [])
        world.clock.advance(10)
        shared = downloads.open(entry)
        assert await read_all(shared) == world.share.content("f")
        shared.close()
        await world.blocks.flush()
        assert (world.home.known(entry.content), world.settled) == ([0], [entry.content])
    assert len(world.asked()) == 2


async def test_the_first_settled_answer_throws_unsettled_bytes_away(world: World) -> None:
    entry = world.put("f", pattern(20 * MIB), settled=False)
    async with world.start() as downloads:
        shared = downloads.open(entry)
        await read(shared, 0, 4 * KIB)
        await wait_all_tasks_blocked()
        world.clock.advance(10)
        await read(shared, 10 * MIB, 4 * KIB)
        assert shared.stored.gap(0, 1) == (0, 1)
        assert await read(shared, 0, 4 * KIB) == world.share.content("f")[: 4 * KIB]
        assert world.settled == [entry.content]
        shared.close()


async def test_fetch_brings_a_whole_content_and_gives_way_to_readers(world: World) -> None:
    entries = [world.put(f"f{number}", pattern(9 * MIB, number)) for number in range(6)]
    async with world.start() as downloads:
        async with trio.open_nursery() as nursery:
            for entry in entries:
                nursery.start_soon(downloads.fetch, entry)
            shared = downloads.open(entries[-1])
            assert await read(shared, 5 * MIB, 4 * KIB) == world.share.content("f5")[5 * MIB : 5 * MIB + 4 * KIB]
            shared.close()
        await world.blocks.flush()
        assert [world.home.known(entry.content) for entry in entries] == [[0, 1, 2]] * 6
    assert world.received == 6 * 9 * MIB


async def test_fetch_of_more_than_the_cache_holds_ends(tmp_path: Path) -> None:
    world = World(tmp_path, limit=2 * BLOCK_SIZE)
    entry = world.put("f", pattern(10 * BLOCK_SIZE))
    async with world.start() as downloads:
        await downloads.fetch(entry)
        await world.blocks.flush()
        assert world.blocks.used() <= 2 * BLOCK_SIZE
    assert world.received == entry.size


async def test_a_large_file_is_read_through_a_small_cache(tmp_path: Path) -> None:
    world = World(tmp_path, limit=2 * BLOCK_SIZE)
    entry = world.put("f", pattern(15 * BLOCK_SIZE))
    async with world.start() as downloads:
        shared = downloads.open(entry)
        assert await read_all(shared) == world.share.content("f")
        await world.blocks.flush()
        assert world.blocks.used() <= 3 * BLOCK_SIZE
        shared.close()
    assert world.received <= entry.size + 2 * BLOCK_SIZE


async def test_transfers_tell_what_comes_in(world: World) -> None:
    entry = world.put("f", pattern(8 * MIB))
    world.limits.down.rate = 64 * KIB
    async with world.start() as downloads:
        shared = downloads.open(entry)
        await read(shared, 0, 64 * KIB)
        await wait_all_tasks_blocked()
        (transfer,) = downloads.transfers()
        assert (transfer.inode, transfer.done, transfer.total) == (entry.inode, 64 * KIB, 8 * MIB)
        assert transfer.rate > 0
        shared.close()


async def test_a_cancelled_reader_leaves_nothing_behind(world: World) -> None:
    entry = world.put("f", pattern(20 * MIB))
    gate = trio.Event()
    world.remote.decide = lambda call: Fault(until=gate)
    async with world.start() as downloads:
        shared = downloads.open(entry)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(shared.read, 0, 100)
            nursery.start_soon(shared.read, 5 * MIB, 100)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        gate.set()
        assert await read(shared, 0, 100) == world.share.content("f")[:100]
        shared.close()
        await wait_all_tasks_blocked()
        assert world.limits.interactive.borrowed_tokens == 0


async def test_a_full_disk_serves_reads_without_keeping(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = world.put("f", pattern(80 * MIB))
    async with world.start() as downloads:
        disk = os.stat(world.home.folder).st_dev
        real = os.pwrite

        def full(fd: int, piece: memoryview, offset: int) -> int:
            if os.fstat(fd).st_dev == disk:
                raise OSError(errno.ENOSPC, "no space")
            return real(fd, piece, offset)

        monkeypatch.setattr(os, "pwrite", full)
        shared = downloads.open(entry)
        assert await read_all(shared) == world.share.content("f")
        assert shared.stored.bytes_here() <= 64 * MIB
        shared.close()
        await world.blocks.flush()
        assert (world.home.known(entry.content), world.blocks.used()) == ([], 0)
    assert world.received == entry.size


async def test_without_ranges_a_link_that_always_breaks_is_an_error_in_the_end(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    world = World(tmp_path, Options(ranges=False))
    entry = world.put("f", pattern(4 * MIB))
    world.remote.decide = lambda call: Fault(cut=MIB)
    async with world.start() as downloads:
        shared = downloads.open(entry)
        before = trio.current_time()
        with pytest.raises(Unreachable):
            await shared.read(2 * MIB, 100)
        assert trio.current_time() - before <= 31
        assert await read(shared, 0, MIB) == world.share.content("f")[:MIB]
        shared.close()


async def test_a_cancelled_fetch_stops_and_keeps_what_came(world: World) -> None:
    entry = world.put("f", pattern(8 * MIB))
    world.remote.decide = lambda call: Fault(cut=MIB) if call.number == 1 else Fault(until=trio.Event())
    async with world.start() as downloads:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(downloads.fetch, entry)
            while len(world.remote.calls) < 2:
                await trio.sleep(0.001)
            nursery.cancel_scope.cancel()
        assert downloads.transfers() == []
        assert world.limits.background.borrowed_tokens == 0
        await world.blocks.flush()
        assert world.home.index.blocks(entry.content)[FIRST].extents == ((0, MIB),)
