"""What must never be taken for a deletion, and deletions that are too many to be believed."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from pathlib import Path

import pytest
import trio

from drivefs.errors import BadAnswer, NotFound, RemoteError, ServerBusy, Unauthorized, Unreachable
from drivefs.model import ROOT, ContentId, Inode, Listing, Observation, Ref
from drivefs.remote.memory import MemoryRemote, Options, ServerClock
from drivefs.store.db import Database
from drivefs.store.trash import Trash
from tests.sync.world import share, world


class Lying(MemoryRemote):
    """A server whose listings leave names out although the entries are there, and that can fail at will."""

    def __init__(self) -> None:
        self.clock = ServerClock()
        super().__init__(Options(), now=self.clock)
        self.left_out: set[str] = set()
        self.fail_list: dict[str, RemoteError] = {}
        self.fail_stat: dict[str, RemoteError] = {}

    def with_files(self, names: Iterable[str]) -> Lying:
        for name in names:
            self.put(name, name.encode())
        self.clock.advance(10)
        return self

    async def list(self, ref: Ref) -> Listing:
        if str(ref) in self.fail_list:
            await trio.lowlevel.checkpoint()
            raise self.fail_list[str(ref)]
        listing = await super().list(ref)
        return Listing(listing.directory, [c for c in listing.children if c.name not in self.left_out], listing.hidden)

    async def stat(self, ref: Ref) -> Observation:
        if str(ref) in self.fail_stat:
            await trio.lowlevel.checkpoint()
            raise self.fail_stat[str(ref)]
        return await super().stat(ref)


async def test_what_a_listing_leaves_out_but_exists_stays(tmp_path: Path) -> None:
    remote = Lying().with_files(["a", "b", "folder/c"])
    async with world(tmp_path, remote) as made:
        remote.left_out = {"a", "folder"}
        outcome = await made.engine.sync()
        assert outcome.removed == 0
        assert made.paths() == {"a", "b", "folder", "folder/c"}


@pytest.mark.parametrize(
    "answer",
    [Unreachable("no"), ServerBusy("later"), BadAnswer("html"), Unauthorized("who?")],
    ids=lambda error: type(error).__name__,
)
async def test_no_other_answer_than_not_found_removes(tmp_path: Path, answer: RemoteError) -> None:
    remote = Lying().with_files(["a", "b", "folder/c"])
    async with world(tmp_path, remote) as made:
        remote.delete("a")
        remote.fail_stat["/a"] = answer
        await made.engine.sync()
        assert made.has("a")
        del remote.fail_stat["/a"]
        await made.engine.sync()
        assert not made.has("a")


@pytest.mark.parametrize(
    "answer", [Unreachable("no"), BadAnswer("cut"), ServerBusy("later")], ids=lambda e: type(e).__name__
)
async def test_a_listing_that_fails_says_nothing(tmp_path: Path, answer: RemoteError) -> None:
    remote = Lying().with_files(["a", "folder/c", "folder/d"])
    async with world(tmp_path, remote) as made:
        remote.fail_list["/folder"] = answer
        await made.engine.sync()
        assert made.paths() == {"a", "folder", "folder/c", "folder/d"}


async def test_a_child_is_not_gone_while_its_folder_does_not_answer(tmp_path: Path) -> None:
    remote = Lying().with_files(["folder/a", "folder/b", *(f"other{n}" for n in range(20))])
    async with world(tmp_path, remote) as made:
        remote.left_out = {"a"}
        remote.fail_stat["/folder/a"] = NotFound("as if")
        remote.fail_stat["/folder"] = NotFound("as if")
        await made.engine.sync()
        assert made.has("folder/a")


async def test_an_empty_root_removes_nothing_until_it_is_accepted(tmp_path: Path) -> None:
    remote = Lying().with_files(["a", "b"])
    async with world(tmp_path, remote) as made:
        remote.delete("a")
        remote.delete("b")
        outcome = await made.engine.sync()
        assert (outcome.held, outcome.removed) == (2, 0)
        assert made.paths() == {"a", "b"}
        assert len(made.engine.held) == 2
        outcome = await made.engine.sync(accept_deletes=True)
        assert (outcome.held, outcome.removed) == (0, 2)
        assert made.paths() == set()


async def test_another_root_removes_nothing(tmp_path: Path) -> None:
    remote = share({f"file{n}": b"x" for n in range(30)}, file_ids=True)
    async with world(tmp_path, remote) as made:
        remote._root.file_id = "another folder altogether"
        remote.delete("file1")
        outcome = await made.engine.sync()
        assert made.engine.other_root
        assert (outcome.held, outcome.removed) == (1, 0)


@pytest.mark.parametrize(("files", "gone", "held"), [(20, 10, 0), (20, 11, 11), (12, 9, 0), (12, 10, 10)])
async def test_mass_deletion_is_held(tmp_path: Path, files: int, gone: int, held: int) -> None:
    remote = Lying().with_files(f"file{n}" for n in range(files))
    async with world(tmp_path, remote) as made:
        for number in range(gone):
            remote.delete(f"file{number}")
        outcome = await made.engine.sync()
        assert outcome.held == held
        assert len(made.paths()) == (files if held else files - gone)


async def test_deletes_within_an_hour_add_up_and_the_rest_goes_on(tmp_path: Path) -> None:
    remote = Lying().with_files(f"file{n}" for n in range(40))
    async with world(tmp_path, remote) as made:
        for number in range(20):
            remote.delete(f"file{number}")
        assert (await made.engine.sync()).removed == 20
        remote.delete("file20")
        remote.put("new", b"")
        outcome = await made.engine.sync()
        assert (outcome.held, outcome.removed, outcome.appeared) == (1, 0, 1)
        assert made.has("new")


async def test_only_what_was_shown_is_accepted(tmp_path: Path) -> None:
    remote = Lying().with_files(f"file{n}" for n in range(40))
    async with world(tmp_path, remote) as made:
        for number in range(25):
            remote.delete(f"file{number}")
        assert (await made.engine.sync()).held == 25
        remote.delete("file30")
        outcome = await made.engine.sync(accept_deletes=True)
        assert (outcome.removed, outcome.held) == (25, 1)
        assert made.has("file30")


@pytest.mark.parametrize(("limit", "removed"), [("3", 0), ("4", 4), ("10%", 0), ("20%", 4)])
async def test_the_users_own_limit(tmp_path: Path, limit: str, removed: int) -> None:
    remote = Lying().with_files(f"file{n}" for n in range(20))
    async with world(tmp_path, remote, max_delete=limit) as made:
        for number in range(4):
            remote.delete(f"file{number}")
        assert (await made.engine.sync()).removed == removed


async def test_dotfiles_that_a_server_hides_are_asked_for(tmp_path: Path) -> None:
    remote = share({"folder/.hidden": b"1", "folder/shown": b"2", **{f"other{n}": b"" for n in range(20)}})
    async with world(tmp_path, remote) as made:
        remote.options = Options(hides_dotfiles=True)
        outcome = await made.engine.sync()
        assert outcome.removed == 0
        assert made.has("folder/.hidden")


async def test_a_young_drive_counts_from_its_first_sync_on(tmp_path: Path) -> None:
    remote = Lying().with_files(f"file{n}" for n in range(100))
    async with world(tmp_path, remote, max_delete="20%") as made:
        for number in range(20):
            remote.delete(f"file{number}")
        assert (await made.engine.sync()).removed == 20
        remote.delete("file20")
        assert (await made.engine.sync()).held == 1


async def test_an_entry_that_comes_back_while_its_bytes_are_kept_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = share({"file": b"old", **{f"other{n}": b"" for n in range(20)}})
    async with world(tmp_path, remote) as made:
        await made.cache("file", b"old")
        export = made.blocks.export

        async def while_it_comes_back(inode: Inode, content: ContentId, size: int, destination: Path) -> bool:
            remote.put("file", b"new and longer")
            made.lister.look(ROOT)
            with trio.fail_after(5):
                while made.find("file").size != len(b"new and longer"):
                    await trio.sleep(0.01)
            return await export(inode, content, size, destination)

        monkeypatch.setattr(made.blocks, "export", while_it_comes_back)
        remote.delete("file")
        assert (await made.engine.sync()).removed == 0
        assert made.find("file").size == len(b"new and longer")


async def test_what_the_trash_cannot_take_stays_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected_warnings: list[str]
) -> None:
    def full(file: str) -> None:
        raise OSError(errno.ENOSPC, "no room")

    expected_warnings.append("the trash cannot take it")
    remote = share({"file": b"content", **{f"other{n}": b"" for n in range(20)}})
    async with world(tmp_path, remote) as made:
        await made.cache("file", b"content")
        remote.delete("file")
        with monkeypatch.context() as patch:
            patch.setattr(made.trash, "finish", full)
            assert (await made.engine.sync()).removed == 0
        assert made.find("file").cached == len(b"content")
        assert (await made.engine.sync()).removed == 1
        (kept,) = made.trash.list()
        assert (made.trash.folder / kept.file).read_bytes() == b"content"


def test_a_crash_leaves_whole_files_recovered_and_parts_gone(tmp_path: Path) -> None:
    folder = tmp_path / "trash"
    folder.mkdir()
    (folder / "0123456789abcdef").write_bytes(b"whole")
    (folder / "aa.tmp").write_bytes(b"part")
    (folder / "bb.tmp.draft").write_bytes(b"part")
    trash = Trash(Database(tmp_path / "drive.db"), folder)
    assert [kept.path for kept in trash.list()] == ["recovered-0123456789abcdef"]
    assert [path.name for path in folder.iterdir()] == ["0123456789abcdef"]
