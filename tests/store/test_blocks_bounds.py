"""The block store keeps within its bounds, and says what a crash left."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import diskcache
import pytest
import trio

from drivefs.errors import NoSpace
from drivefs.model import ContentId, Inode
from drivefs.store import keeper
from drivefs.store.blockcache import Adoption, BlockCache, Goal, block_key, parse_key
from drivefs.store.index import BLOCK_SIZE, BlockNumber
from tests.store.block_helpers import MIB, Home, data_now, data_of, open_content, pattern, put, read_back

SMALL = 100_000


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path, limit=10 * SMALL)


async def test_least_recently_used_blocks_go_first(home: Home) -> None:
    async with home.start() as store:
        for number in range(1, 11):
            await put(store, number, pattern(SMALL, number))
        assert await read_back(store, 1, SMALL) is not None
        for number in range(11, 16):
            await put(store, number, pattern(SMALL, number))
        assert [number for number in range(1, 16) if home.known(number)] == [1, 7, 8, 9, 10, 11, 12, 13, 14, 15]
        assert store.used() == 10 * SMALL
        assert len(home.block_files()) == 10


async def test_order_of_use_survives_a_restart(home: Home) -> None:
    async with home.start() as store:
        for number in range(1, 11):
            await put(store, number, pattern(SMALL, number))
        assert await read_back(store, 1, SMALL) is not None
    async with home.start() as store:
        await put(store, 11, pattern(SMALL, 11))
        assert [number for number in range(1, 12) if home.known(number)] == [1, 3, 4, 5, 6, 7, 8, 9, 10, 11]


async def test_the_limit_holds_under_load_within_a_block(tmp_path: Path) -> None:
    home = Home(tmp_path, limit=4 * BLOCK_SIZE)
    async with home.start() as store:
        stored = open_content(store, 1, 40 * BLOCK_SIZE)
        for offset in range(0, stored.size, MIB):
            stored.write(offset, bytes(MIB))
            assert stored.read_now(offset, MIB) is not None
            await trio.lowlevel.checkpoint()
            if offset % BLOCK_SIZE == 0:
                await store.flush()
            assert store.used() <= 5 * BLOCK_SIZE
        store.close(stored)
        await store.flush()
        assert store.used() <= 4 * BLOCK_SIZE
        assert sum(path.stat().st_size for path in home.block_files()) == store.used()


async def test_open_contents_are_evicted_last_and_unread_blocks_not_at_all(home: Home) -> None:
    async with home.start() as store:
        read = open_content(store, 1, SMALL)
        unread = open_content(store, 2, SMALL)
        for stored in (read, unread):
            stored.write(0, pattern(SMALL))
        await store.flush()
        assert read.read_now(0, 1) is not None
        for number in range(3, 20):
            await put(store, number, pattern(SMALL))
        assert (home.known(1), home.known(2)) == ([0], [0])
        home.limit = store.limit = 0
        await store.make_room()
        assert (home.known(1), home.known(2)) == ([], [0])
        assert read.gap(0, SMALL) == (0, SMALL)
        assert data_now(unread, 0, SMALL) == pattern(SMALL)
        store.close(read)
        store.close(unread)


async def test_a_block_that_is_continued_is_not_evicted(home: Home) -> None:
    async with home.start() as store:
        stored = open_content(store, 1, SMALL)
        stored.write(0, b"x" * 10)
        store.close(stored)
        await store.flush()
        stored = open_content(store, 1, SMALL)
        store.limit = 0
        await store.make_room()
        assert stored.gap(0, 10) is None
        store.close(stored)
        await store.make_room()
        assert home.known(1) == []


async def test_min_free_makes_room_on_the_disk(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs

    class Disk:
        """100 blocks of room, less what the cache holds."""

        f_frsize = SMALL

        @property
        def f_bavail(self) -> int:
            return 9 - len(home.block_files())

    async with home.start() as store:
        store.min_free = 4 * SMALL
        monkeypatch.setattr(os, "statvfs", lambda path: Disk() if str(path).endswith("blocks") else real(path))
        for number in range(1, 9):
            await put(store, number, pattern(SMALL, number))
        assert [number for number in range(1, 9) if home.known(number)] == [4, 5, 6, 7, 8]


async def test_a_full_disk_is_told_and_the_bytes_can_live_in_memory(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pattern(SMALL)
    async with home.start() as store:
        stored = open_content(store, 1, SMALL)
        stored.write(0, data[:1000])
        real = os.pwrite
        disk = os.stat(home.folder).st_dev

        def full(fd: int, piece: memoryview, offset: int) -> int:
            if os.fstat(fd).st_dev == disk:
                raise OSError(errno.ENOSPC, "no space")
            return real(fd, piece, offset)

        monkeypatch.setattr(os, "pwrite", full)
        with pytest.raises(NoSpace):
            stored.write(1000, data[1000:])
        assert stored.gap(0, SMALL) == (1000, SMALL)
        stored.write(1000, data[1000:], in_memory=True)
        assert await data_of(stored, 0, SMALL) == data
        await store.flush()
        store.close(stored)
        assert (home.known(1), store.used()) == ([], 0)


async def test_a_killed_process_loses_no_block_that_was_indexed(home: Home) -> None:
    async with home.start() as store:
        await put(store, 1, pattern(SMALL))
    home.killed()
    orphan = home.folder / "blocks" / "aa" / "bb" / "1-1-7"
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"left by the killed one")
    (home.folder / "incoming" / "half").write_bytes(b"half")
    async with home.start() as store:
        assert await read_back(store, 1, SMALL) == pattern(SMALL)
        assert not orphan.exists()
        assert list((home.folder / "incoming").iterdir()) == []


async def test_a_power_cut_costs_what_was_stored_since_the_last_clean_end(home: Home) -> None:
    async with home.start() as store:
        await put(store, 1, pattern(SMALL))
    async with home.start() as store:
        await put(store, 2, pattern(SMALL))
    home.killed()
    async with home.start() as store:  # goes on with the session that the kill left
        await put(store, 3, pattern(SMALL))
    home.power_cut()
    async with home.start() as store:
        assert await read_back(store, 1, SMALL) == pattern(SMALL)
        assert (home.known(2), home.known(3)) == ([], [])
        assert await read_back(store, 2, SMALL) is None
        assert store.used() == SMALL


async def test_a_checkpoint_saves_what_was_stored_before_it(home: Home) -> None:
    async with home.start() as store:
        await put(store, 1, pattern(SMALL))
        await store.checkpoint()
        await put(store, 2, pattern(SMALL))
    home.power_cut()
    async with home.start() as store:
        assert await read_back(store, 1, SMALL) == pattern(SMALL)
        assert await read_back(store, 2, SMALL) is None


async def test_an_end_that_the_disk_is_too_slow_for_is_not_marked_clean(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow_disk(paths: list[Path]) -> None:
        while True:
            trio.from_thread.check_cancelled()
            time.sleep(0.01)

    monkeypatch.setattr(keeper, "SYNC_SECONDS", 0.2)
    monkeypatch.setattr(home, "sync", slow_disk)
    async with home.start() as store:
        await put(store, 1, pattern(SMALL))
    assert b'"clean":false' in (home.folder / "session").read_bytes()
    home.boot += "+"
    async with home.start() as store:
        assert await read_back(store, 1, SMALL) is None


async def test_the_session_is_marked_unclean_while_it_runs(home: Home) -> None:
    marker = home.folder / "session"
    async with home.start():
        assert b'"clean":false' in marker.read_bytes()
    assert b'"clean":true' in marker.read_bytes()


def test_keys_tell_their_block() -> None:
    key = block_key(Inode(300), ContentId(70000), BlockNumber(5))
    assert parse_key(key) == (300, 70000, 5)
    assert [len(part) for part in key.split("/")[:2]] == [2, 2]


def test_the_private_parts_of_diskcache_are_as_we_know_them(tmp_path: Path) -> None:
    assert diskcache.__version__ == "5.6.3"
    cache = BlockCache(tmp_path / "blocks")
    source = tmp_path / "source"
    source.write_bytes(b"x" * 10)
    key = block_key(Inode(1), ContentId(1), BlockNumber(0))
    cache.adopt([Adoption(key, source, 10)])
    assert (tmp_path / "blocks" / key).read_bytes() == b"x" * 10
    assert not source.exists()
    cache.adopt([Adoption(key, None, 20)])
    assert cache.usage().used == 20, "diskcache keeps the total over updates"
    with cache.get(key, read=True) as file:
        assert file.read() == b"x" * 10
    columns = {row[1] for row in cache._sql("PRAGMA table_info(Cache)").fetchall()}
    assert {"key", "raw", "access_time", "tag", "size"} <= columns
    assert cache.evict(Goal(limit=0, min_free=0)) == [key]
    assert (cache.usage().used, list((tmp_path / "blocks").glob("??/??/*"))) == (0, [])
    cache.close()
