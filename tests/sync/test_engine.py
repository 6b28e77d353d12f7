"""When the engine does what: intervals, restarts, being offline, settling, and being asked."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from drivefs.errors import BadAnswer, Offline, RemoteError, Unauthorized, Unreachable
from drivefs.model import Listing, Ref, Space
from drivefs.remote.memory import MemoryRemote, Options, ServerClock
from tests.sync.test_guards import Lying
from tests.sync.world import INTERVAL, World, share, world


async def until(made: World, condition: str) -> None:
    """Until `condition` is there as a path; a lost wake-up ends in the mock clock's deadlock detection."""
    with trio.fail_after(10 * INTERVAL):
        while not made.has(condition):
            await trio.sleep(0.1)


async def test_changes_appear_by_themselves_within_the_interval(tmp_path: Path, autojump_clock: MockClock) -> None:
    remote = share({"a": b"1"})
    async with world(tmp_path, remote) as made:
        remote.put("b", b"2")
        started = trio.current_time()
        await until(made, "b")
        assert trio.current_time() - started <= INTERVAL + 1


async def test_a_restart_within_the_interval_lists_nothing(tmp_path: Path, autojump_clock: MockClock) -> None:
    remote = share({"a/b": b"1", "c": b"2"})
    async with world(tmp_path, remote):
        pass
    remote.requests.clear()
    made = World(tmp_path, remote)
    async with trio.open_nursery() as nursery:
        await nursery.start(made.blocks.run)
        await nursery.start(made.lister.run)
        await nursery.start(made.engine.run)
        await trio.sleep(1)
        assert made.paths() == {"a", "a/b", "c"}
        assert remote.requests == []
        nursery.cancel_scope.cancel()
    made.db.close()


async def test_a_first_sync_that_was_cut_goes_on_where_it_was(tmp_path: Path) -> None:
    remote = Lying().with_files(f"folder{n}/file" for n in range(20))
    remote.fail_list = {f"/folder{n}": Unreachable("cut") for n in range(10, 20)}
    async with world(tmp_path, remote, sync=False) as made:
        assert isinstance((await made.engine.sync()).error, Unreachable)
        assert not made.engine.initial_sync_done
        listed = [row for row in made.tree.directories() if made.tree.get(row).listed is not None]
    remote.fail_list.clear()
    remote.requests.clear()
    async with world(tmp_path, remote, sync=False) as made:
        if not made.engine.initial_sync_done:
            await made.engine.wait_synced()
        again = [request.path for request in remote.requests if request.method == "list"]
        assert len(again) == 21 - len(listed)
        assert len(made.paths()) == 40


async def test_known_to_be_offline_nothing_waits(tmp_path: Path, autojump_clock: MockClock) -> None:
    remote = Lying().with_files(["a/b"])
    async with world(tmp_path, remote, sync=False) as made:
        folder = made.find("a").inode
        remote.fail_list["/a"] = Unreachable("cable cut")
        with pytest.raises(Unreachable):
            await made.lister.ensure(folder)
        assert made.link.offline
        started = trio.current_time()
        with pytest.raises(Offline):
            await made.lister.ensure(folder)
        assert trio.current_time() == started
        assert made.lister.refresh(folder) is None


async def test_back_online_it_goes_on_by_itself(tmp_path: Path, autojump_clock: MockClock) -> None:
    remote = Lying().with_files(["a"])
    async with world(tmp_path, remote) as made:
        remote.fail_stat["/"] = Unreachable("cable cut")
        assert isinstance((await made.engine.sync()).error, Unreachable)
        assert made.link.offline
        remote.put("b", b"")
        await trio.sleep(600)
        assert not made.has("b")
        del remote.fail_stat["/"]
        await until(made, "b")
        assert not made.link.offline


async def test_a_transfer_in_trouble_has_the_link_looked_at_at_once(tmp_path: Path, autojump_clock: MockClock) -> None:
    remote = Lying().with_files(["a"])
    async with world(tmp_path, remote) as made:
        made.engine.doubt()
        await trio.sleep(1)
        assert not made.link.offline
        remote.fail_stat["/"] = Unreachable("cable cut")
        made.engine.doubt()
        await trio.sleep(1)
        assert made.link.offline


async def test_wrong_credentials_are_not_tried_again_unasked(tmp_path: Path, autojump_clock: MockClock) -> None:
    remote = Lying().with_files(["a"])
    async with world(tmp_path, remote) as made:
        remote.fail_stat["/"] = Unauthorized("who are you?")
        assert isinstance((await made.engine.sync()).error, Unauthorized)
        asked = len(remote.requests)
        await trio.sleep(3600)
        assert len(remote.requests) == asked
        del remote.fail_stat["/"]
        assert (await made.engine.sync()).error is None
        assert made.engine.blocked is None


async def test_a_sync_that_is_asked_for_begins_after_the_running_one(tmp_path: Path) -> None:
    remote = share({"a": b"1"})
    async with world(tmp_path, remote) as made:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(made.engine.sync)
            await trio.testing.wait_all_tasks_blocked()
            remote.put("b", b"2")
            await made.engine.sync()
            assert made.has("b")


async def test_an_unsettled_version_is_looked_at_again_soon(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Two rewrites of one size within a second look alike on a server with one-second times."""
    clock = ServerClock()
    remote = MemoryRemote(Options(strong_etags=False, whole_seconds=True), now=clock)
    remote.put("file", b"first.")
    async with world(tmp_path, remote) as made:
        assert not made.find("file").settled
        clock.advance(3)
        started = trio.current_time()
        with trio.fail_after(INTERVAL / 2):
            while not made.find("file").settled:
                await trio.sleep(0.1)
        assert trio.current_time() - started < 5


async def test_an_mtime_in_the_future_settles_all_the_same(tmp_path: Path, autojump_clock: MockClock) -> None:
    clock = ServerClock()
    remote = MemoryRemote(Options(), now=clock)
    remote.put("file", b"from tomorrow", mtime_ns=int((clock() + 86400) * 1e9))
    async with world(tmp_path, remote) as made:
        assert not made.find("file").settled
        clock.advance(3)
        await made.engine.sync()
        assert made.find("file").settled


async def test_a_folder_that_may_not_be_listed_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    remote = Lying().with_files(["open/a", "closed/b"])
    remote.fail_list["/closed"] = RemoteError("403: not permitted")
    async with world(tmp_path, remote) as made:
        assert made.has("open/a")
        (problem,) = made.engine.problems.values()
        assert (problem.path, problem.reason) == ("closed", "403: not permitted")
        remote.fail_list.clear()
        await made.engine.sync()
        assert not made.engine.problems
        assert made.has("closed/b")


async def test_a_listing_on_demand_that_misses_an_entry_has_it_removed_soon(tmp_path: Path) -> None:
    remote = Lying().with_files(["folder/a", "folder/b", *(f"other{n}" for n in range(20))])
    async with world(tmp_path, remote) as made:
        remote.delete("folder/a")
        made.lister.look(made.find("folder").inode)
        with trio.fail_after(5):
            while made.has("folder/a"):
                await trio.sleep(0.01)


async def test_one_listing_serves_all_who_wait_for_it(tmp_path: Path) -> None:
    remote = Lying().with_files(["folder/a"])
    async with world(tmp_path, remote, sync=False) as made:
        folder = made.find("folder").inode
        remote.requests.clear()
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(made.lister.ensure, folder)
        assert [request.path for request in remote.requests if request.path == "/folder"] == ["/folder"]


async def test_a_folder_never_listed_fails_in_bounded_time(tmp_path: Path, autojump_clock: MockClock) -> None:
    class Stalling(Lying):
        async def list(self, ref: Ref) -> Listing:
            if ref.path:
                await trio.sleep(3600)
            return await super().list(ref)

    remote = Stalling()
    remote.with_files(["folder/a"])
    async with world(tmp_path, remote, sync=False) as made:
        started = trio.current_time()
        with pytest.raises(Unreachable):
            await made.lister.ensure(made.find("folder").inode)
        assert trio.current_time() - started <= 10


async def test_a_server_that_does_not_tell_its_room_has_not_failed_the_sync(tmp_path: Path) -> None:
    class Secretive(Lying):
        async def space(self) -> Space:
            await trio.lowlevel.checkpoint()
            raise BadAnswer("no quota here")

    remote = Secretive()
    remote.options = Options(total_bytes=1 << 30)
    remote.with_files(["a"])
    async with world(tmp_path, remote) as made:
        assert made.has("a")
        assert made.engine.space == Space()
