"""The block store: keeping, finding again, letting go."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from drivefs.model import ContentId, Inode
from drivefs.store.index import BLOCK_SIZE
from tests.store.block_helpers import (
    FIRST,
    MIB,
    Home,
    data_now,
    data_of,
    open_content,
    open_files,
    pattern,
    put,
    read_back,
)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


async def test_a_written_content_is_read_back_from_memory_and_from_a_thread(home: Home) -> None:
    data = pattern(BLOCK_SIZE + 5000)
    async with home.start() as store:
        stored = open_content(store, 1, len(data))
        stored.write(0, data)
        assert data_now(stored, BLOCK_SIZE - 10, 100) == data[BLOCK_SIZE - 10 : BLOCK_SIZE + 90]
        assert await data_of(stored, 0, len(data)) == data
        await store.flush()
        assert await data_of(stored, 0, len(data)) == data
        assert (home.known(1), store.used()) == ([0, 1], len(data))
        store.close(stored)


async def test_missing_bytes_are_told_and_never_read(home: Home) -> None:
    async with home.start() as store:
        stored = open_content(store, 1, 3 * BLOCK_SIZE)
        stored.write(100, b"x" * 100)
        stored.write(2 * BLOCK_SIZE + 50, b"y" * 10)
        assert stored.gap(0, stored.size) == (0, 100)
        assert stored.gap(100, stored.size) == (200, 2 * BLOCK_SIZE + 50)
        assert stored.gap(100, 200) is None
        assert stored.gap(2 * BLOCK_SIZE + 60, stored.size) == (2 * BLOCK_SIZE + 60, stored.size)
        assert stored.read_now(100, 101) is None
        assert await stored.read(99, 10) is None
        store.close(stored)


async def test_a_restart_finds_the_same_content(home: Home) -> None:
    data = pattern(2 * BLOCK_SIZE)
    async with home.start() as store:
        await put(store, 1, data)
    async with home.start() as store:
        assert await read_back(store, 1, len(data)) == data
        assert store.used() == len(data)
    assert home.syncs == 2


async def test_a_block_that_is_not_complete_is_kept_at_the_last_close_and_continued(home: Home) -> None:
    data = pattern(BLOCK_SIZE)
    async with home.start() as store:
        stored = open_content(store, 1, len(data))
        stored.write(MIB, data[MIB : 2 * MIB])
        store.close(stored)
        await store.flush()
        assert home.index.blocks(ContentId(1))[FIRST].extents == ((MIB, 2 * MIB),)
        assert store.used() == MIB
    async with home.start() as store:
        stored = open_content(store, 1, len(data))
        assert stored.gap(MIB, len(data)) == (2 * MIB, len(data))
        stored.write(0, data)
        await store.flush()
        assert home.index.blocks(ContentId(1))[FIRST].extents is None
        assert await data_of(stored, 0, len(data)) == data
        store.close(stored)
        assert (store.used(), len(home.block_files())) == (BLOCK_SIZE, 1)


async def test_bytes_that_are_here_are_never_written_again(home: Home) -> None:
    async with home.start() as store:
        stored = open_content(store, 1, 100)
        stored.write(10, b"a" * 10)
        stored.write(0, b"b" * 100)
        assert data_now(stored, 0, 100) == b"b" * 10 + b"a" * 10 + b"b" * 80
        store.close(stored)


async def test_reopening_before_the_adoption_is_done_loses_nothing(home: Home) -> None:
    async with home.start() as store:
        first = open_content(store, 1, 2 * BLOCK_SIZE)
        first.write(0, b"x" * 1000)
        store.close(first)
        second = open_content(store, 1, 2 * BLOCK_SIZE)
        second.write(1000, b"y" * 1000)
        await store.flush()
        assert await data_of(second, 0, 2000) == b"x" * 1000 + b"y" * 1000
        store.close(second)
        await store.flush()
        assert home.index.blocks(ContentId(1))[FIRST].extents == ((0, 2000),)


async def test_what_is_not_final_is_gone_at_the_last_close(home: Home) -> None:
    async with home.start() as store:
        stored = open_content(store, 1, 1000)
        stored.final = False
        stored.write(0, b"x" * 1000)
        await store.flush()
        assert data_now(stored, 0, 1000) == b"x" * 1000
        store.close(stored)
        await store.flush()
        assert (home.known(1), home.block_files(), store.used()) == ([], [], 0)
        assert list((home.folder / "incoming").iterdir()) == []


async def test_a_missing_file_is_a_miss_and_its_row_goes(home: Home) -> None:
    data = pattern(2 * BLOCK_SIZE)
    async with home.start() as store:
        await put(store, 1, data)
    home.block_files()[0].unlink()
    async with home.start() as store:
        assert await read_back(store, 1, len(data)) is None
        assert len(home.known(1)) == 1
        await put(store, 1, data)
        assert await read_back(store, 1, len(data)) == data


async def test_a_file_that_was_cut_short_is_a_miss(home: Home) -> None:
    data = pattern(1000)
    async with home.start() as store:
        await put(store, 1, data)
        os.truncate(home.block_files()[0], 500)
        assert await read_back(store, 1, 1000) is None
        assert home.known(1) == []


async def test_a_cache_folder_emptied_while_running_goes_on_working(home: Home) -> None:
    data = pattern(BLOCK_SIZE + 100)
    async with home.start() as store:
        await put(store, 1, data)
        filling = open_content(store, 2, BLOCK_SIZE)
        filling.write(0, b"x" * 100)
        for child in home.folder.iterdir():
            shutil.rmtree(child) if child.is_dir() else child.unlink()
        store.close(filling)
        await store.flush()
        for _ in range(2):  # the first may find the database gone, and keeps nothing
            await put(store, 3, data)
            await put(store, 3, data)
        assert await read_back(store, 3, len(data)) == data


async def test_a_cache_folder_emptied_between_two_runs_is_an_empty_cache(home: Home) -> None:
    async with home.start() as store:
        await put(store, 1, b"x" * 1000)
    shutil.rmtree(home.folder)
    async with home.start() as store:
        assert home.known(1) == []
        assert await read_back(store, 1, 1000) is None
        assert store.used() == 0


async def test_drop_removes_every_block_and_an_open_content_misses_them(home: Home) -> None:
    data = pattern(BLOCK_SIZE + 100)
    async with home.start() as store:
        stored = open_content(store, 1, len(data))
        stored.write(0, data)
        await store.flush()
        store.drop(Inode(101), ContentId(1))
        assert stored.gap(0, len(data)) == (0, len(data))
        stored.write(0, data[:100])
        await store.flush()
        assert (home.known(1), home.block_files()) == ([], [])
        assert data_now(stored, 0, 100) == data[:100]
        store.close(stored)


@pytest.mark.parametrize("size", [0, 1000, BLOCK_SIZE + 1000])
async def test_export_gives_the_whole_file_or_nothing(home: Home, tmp_path: Path, size: int) -> None:
    data = pattern(size)
    async with home.start() as store:
        await put(store, 1, data)
        assert await store.export(Inode(101), ContentId(1), size, tmp_path / "out")
        assert (tmp_path / "out").read_bytes() == data
        if size:
            home.block_files()[-1].unlink()
            assert not await store.export(Inode(101), ContentId(1), size, tmp_path / "other")
        assert not (tmp_path / "other").exists()
        assert not await store.export(Inode(101), ContentId(1), size + 1, tmp_path / "other")


async def test_no_descriptor_is_left_when_the_store_ends(home: Home) -> None:
    async with home.start() as store:
        await put(store, 9, b"x")
    before = open_files()
    async with home.start() as store:
        stored = open_content(store, 1, 300 * BLOCK_SIZE)
        for number in range(300):
            stored.write(number * BLOCK_SIZE, b"x")
        assert open_files() - before <= 256 + 20
        assert data_now(stored, 0, 1) == b"x"
    assert open_files() <= before + 3, "only the database of the cache in idle worker threads"
