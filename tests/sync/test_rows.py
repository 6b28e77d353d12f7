"""Rows 1 to 4 of the table, with no local change: what the remote did appears here, as one test each."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivefs.model import ROOT, Changed, Kind
from drivefs.store.takeover import FIRST_CONTENT
from tests.sync.world import World, share, world

OLD, NEW = b"old content", b"new and longer content"


def changed_names(made: World) -> set[tuple[int, str | None]]:
    return {(change.inode, change.name) for change in made.changes}


async def test_the_first_sync_brings_every_entry(tmp_path: Path) -> None:
    remote = share({"a/b/c.txt": OLD, "a/d.txt": b"", "e.txt": NEW})
    async with world(tmp_path, remote) as made:
        assert made.paths() == {"a", "a/b", "a/b/c.txt", "a/d.txt", "e.txt"}
        assert made.find("a/b").kind is Kind.DIRECTORY
        assert made.find("e.txt").size == len(NEW)
        assert made.engine.initial_sync_done


async def test_row_1_a_remote_create_appears(tmp_path: Path) -> None:
    remote = share({"a/old": OLD})
    async with world(tmp_path, remote) as made:
        folder = made.find("a").inode
        made.references.remember(folder)
        remote.put("a/new", NEW)
        remote.put("a/deep/er/file", NEW)
        outcome = await made.engine.sync()
        assert made.paths() == {"a", "a/old", "a/new", "a/deep", "a/deep/er", "a/deep/er/file"}
        assert outcome.appeared == 4
        assert {(folder, "new"), (folder, "deep")} <= changed_names(made), "the kernel may know that it was not there"


async def test_row_2_a_new_version_keeps_the_inode_when_nobody_has_it_open(tmp_path: Path) -> None:
    remote = share({"file": OLD})
    async with world(tmp_path, remote) as made:
        before = made.find("file")
        made.references.remember(before.inode)
        await made.cache("file", OLD)
        remote.put("file", NEW)
        await made.engine.sync()
        after = made.find("file")
        assert after.inode == before.inode
        assert (after.size, after.cached) == (len(NEW), 0), "no byte of the old version may stand for the new one"
        assert after.content >= FIRST_CONTENT
        assert after.content != before.content
        assert Changed(before.inode) in made.changes


async def test_row_2_a_rewrite_with_the_same_size_and_time_drops_the_kernels_pages(tmp_path: Path) -> None:
    remote = share({"file": b"1111"})
    async with world(tmp_path, remote) as made:
        before = made.find("file")
        made.references.remember(before.inode)
        remote.put("file", b"2222", mtime_ns=before.mtime_ns)
        await made.engine.sync()
        assert Changed(before.inode, content=True) in made.changes
        assert made.find("file").content != before.content


async def test_row_2_an_open_file_lives_on_and_the_name_moves_to_a_new_inode(tmp_path: Path) -> None:
    remote = share({"a/file": OLD})
    async with world(tmp_path, remote) as made:
        folder, before = made.find("a").inode, made.find("a/file")
        for inode in (folder, before.inode):
            made.references.remember(inode)
        made.references.opened(before.inode)
        remote.put("a/file", NEW)
        await made.engine.sync()
        after = made.find("a/file")
        assert after.inode != before.inode
        assert after.size == len(NEW)
        lives = made.tree.get(before.inode)
        assert (lives.nlink, lives.size, lives.content) == (0, len(OLD), before.content)
        assert {(folder, "file"), (before.inode, None)} <= changed_names(made)
        made.references.released(before.inode)
        assert not made.tree.exists(before.inode)


async def test_row_3_a_removed_file_goes_and_its_bytes_are_in_the_trash(tmp_path: Path) -> None:
    remote = share({"a/whole": OLD, "a/never read": NEW, **{f"other{n}": b"" for n in range(20)}})
    async with world(tmp_path, remote) as made:
        folder = made.find("a").inode
        made.references.remember(folder)
        await made.cache("a/whole", OLD)
        remote.delete("a/whole")
        remote.delete("a/never read")
        outcome = await made.engine.sync()
        assert (outcome.removed, made.has("a/whole"), made.has("a/never read")) == (2, False, False)
        (kept,) = made.trash.list()
        assert (kept.path, kept.size) == ("a/whole", len(OLD))
        assert (made.trash.folder / kept.file).read_bytes() == OLD
        assert (folder, "whole") in changed_names(made)


async def test_row_3_a_removed_folder_takes_what_is_below_with_it(tmp_path: Path) -> None:
    remote = share({"a/b/one": OLD, "a/b/c/two": NEW, **{f"other{n}": b"" for n in range(20)}})
    async with world(tmp_path, remote) as made:
        await made.cache("a/b/one", OLD)
        await made.cache("a/b/c/two", NEW)
        asked = len(remote.requests)
        remote.delete("a")
        outcome = await made.engine.sync()
        assert outcome.removed == 5
        assert not made.has("a")
        assert {kept.path for kept in made.trash.list()} == {"a/b/one", "a/b/c/two"}
        asked_for = [request.path for request in remote.requests[asked:] if request.method == "stat"]
        assert "/a" in asked_for, "the topmost missing entry itself was asked for"


async def test_row_3_an_open_file_stays_readable_without_a_name(tmp_path: Path) -> None:
    remote = share({"file": OLD, "other": b""})
    async with world(tmp_path, remote) as made:
        before = made.find("file")
        made.references.opened(before.inode)
        remote.delete("file")
        await made.engine.sync()
        assert not made.has("file")
        assert made.tree.get(before.inode).nlink == 0


async def test_row_4_by_file_id_a_renamed_folder_keeps_inodes_and_cache(tmp_path: Path) -> None:
    remote = share({"a/b/file": OLD, "x/other": b""}, file_ids=True)
    async with world(tmp_path, remote) as made:
        await made.cache("a/b/file", OLD)
        folder, file = made.find("a/b"), made.find("a/b/file")
        remote.move("a/b", "x/moved")
        asked = len(remote.requests)
        await made.engine.sync()
        assert made.paths() == {"a", "x", "x/other", "x/moved", "x/moved/file"}
        assert made.find("x/moved").inode == folder.inode
        after = made.find("x/moved/file")
        assert (after.inode, after.content, after.cached) == (file.inode, file.content, len(OLD))
        assert made.trash.count() == 0
        assert not [request for request in remote.requests[asked:] if request.method == "read"]


async def test_row_4_by_file_id_a_rename_and_a_change_in_one_sync(tmp_path: Path) -> None:
    remote = share({"a": OLD}, file_ids=True)
    async with world(tmp_path, remote) as made:
        before = made.find("a")
        remote.move("a", "b")
        remote.put("b", NEW)
        await made.engine.sync()
        after = made.find("b")
        assert (after.inode, after.size) == (before.inode, len(NEW))
        assert after.content != before.content


async def test_row_4_by_file_id_folders_that_trade_places_never_make_a_circle(tmp_path: Path) -> None:
    remote = share({"x/y/file": OLD}, file_ids=True)
    async with world(tmp_path, remote) as made:
        remote.move("x/y", "y")
        remote.move("x", "y/x")
        for _ in range(3):
            await made.engine.sync()
        assert made.paths() == {"y", "y/x", "y/file"}


async def test_row_4_by_guess_a_renamed_file_keeps_inode_and_cache(tmp_path: Path) -> None:
    remote = share({"a/file": OLD, "b/other": b""})
    async with world(tmp_path, remote) as made:
        await made.cache("a/file", OLD)
        before = made.find("a/file")
        remote.move("a/file", "b/renamed")
        outcome = await made.engine.sync()
        after = made.find("b/renamed")
        assert (after.inode, after.content, after.cached) == (before.inode, before.content, len(OLD))
        assert (outcome.renamed, outcome.removed, made.trash.count()) == (1, 0, 0)


@pytest.mark.parametrize("options", [{"strong_etags": False}, {}], ids=["no etag", "etag on a third entry"])
async def test_row_4_no_guess_without_proof(tmp_path: Path, options: dict[str, bool]) -> None:
    remote = share({"file": OLD, **{f"other{n}": b"" for n in range(20)}}, **options)
    async with world(tmp_path, remote) as made:
        await made.cache("file", OLD)
        before = made.find("file")
        if options:
            remote.move("file", "renamed")
        else:
            remote.delete("file")
            for name in ("one", "two"):
                remote.put(name, OLD, mtime_ns=before.mtime_ns)
        await made.engine.sync()
        assert made.tree.find(ROOT, "file") is None
        assert [kept.path for kept in made.trash.list()] == ["file"], "without proof it is a delete and a create"


async def test_a_file_that_became_a_folder_is_replaced_in_one_sync(tmp_path: Path) -> None:
    remote = share({"thing": OLD, "other": b""})
    async with world(tmp_path, remote) as made:
        await made.cache("thing", OLD)
        remote.delete("thing")
        remote.put("thing/inside", NEW)
        await made.engine.sync()
        assert made.find("thing").kind is Kind.DIRECTORY
        assert [kept.path for kept in made.trash.list()] == ["thing"]
        await made.engine.sync()
        assert made.has("thing/inside")


async def test_a_sync_without_changes_changes_nothing(tmp_path: Path) -> None:
    remote = share({"a/b/c.txt": OLD, "e.txt": NEW})
    async with world(tmp_path, remote) as made:

        def rows() -> list[object]:
            return made.db.execute("SELECT * FROM entry ORDER BY inode").fetchall()

        before, told = rows(), len(made.changes)
        outcome = await made.engine.sync()
        assert (outcome.appeared, outcome.changed, outcome.removed) == (0, 0, 0)
        assert rows() == before
        assert len(made.changes) == told


async def test_names_that_cannot_exist_here_are_left_out_and_counted(tmp_path: Path) -> None:
    remote = share({"good": OLD})
    remote.put(("..",), b"out of the mount")
    remote.put(("a/b",), b"")
    remote.put(("x" * 256,), b"")
    async with world(tmp_path, remote) as made:
        assert made.paths() == {"good"}
        (hidden,) = made.db.execute("SELECT hidden FROM entry WHERE inode = 1").fetchone()
        assert hidden == 3
