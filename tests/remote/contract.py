"""What every remote must do, whatever stands behind it. `test_contract.py` runs it over all of them.

Where servers differ, the test asserts what the remote's capabilities claim: no case is left out for any of them.
"""

from __future__ import annotations

import unicodedata

import pytest
import trio

from drivefs.errors import BadAnswer, NotFound, VersionMismatch
from drivefs.model import Kind, Listing, Observation, Ref, Version
from drivefs.remote.base import Remote
from tests.remote.worlds import OLD, World

CONTENT = bytes(range(256)) * 1000
ODD_NAMES = (
    "a%41b",
    "100%25",
    "%2F",
    "50 %",
    "hash # mark",
    "question?mark",
    "semi;colon & plus+ colon: equals= comma, at@ dollar$",
    "back\\slash",
    "star * pipe | quote \" ' less < more >",
    " leading and trailing ",
    "trailing dot.",
    unicodedata.normalize("NFC", "café"),
    unicodedata.normalize("NFD", "café"),
    "CASE",
    "case",
    "😀 emoji",
    "日本語",
    "[brackets] {braces} ~tilde ^caret `tick` !",
    "x" * 255,
    "ä" * 127,
)


async def read_all(remote: Remote, ref: Ref, version: Version, offset: int = 0, length: int | None = None) -> bytes:
    """The bytes from `offset`, also of a remote that starts earlier or goes on further."""
    received = bytearray()
    async with remote.read(ref, version=version, offset=offset, length=length) as stream:
        assert stream.offset <= offset or stream.offset == stream.observed.version.size
        start = stream.offset
        while piece := await stream.receive():
            received += piece
        assert await stream.receive() == b""
    wanted = received[max(0, offset - start) :]
    return bytes(wanted if length is None else wanted[:length])


def by_name(listing: Listing) -> dict[str, Observation]:
    return {child.name: child for child in listing.children}


class RemoteContract:
    """Each test gets a connected remote, and the world behind it: an empty share."""

    async def test_root_is_a_directory_without_name(self, remote: Remote) -> None:
        root = await remote.connect()
        assert (root.name, root.kind, root.version.size) == ("", Kind.DIRECTORY, None)
        assert (await remote.list(Ref())).children == []

    async def test_listing_tells_kind_size_and_time_of_each_child(self, remote: Remote, world: World) -> None:
        world.put(("file",), b"12345")
        world.put(("empty",), b"")
        world.put(("folder", "deep"), b"1")
        listing = await remote.list(Ref())
        children = by_name(listing)
        assert {name: (child.kind, child.version.size) for name, child in children.items()} == {
            "file": (Kind.FILE, 5),
            "empty": (Kind.FILE, 0),
            "folder": (Kind.DIRECTORY, None),
        }
        assert children["file"].version.mtime_ns == OLD * 1_000_000_000
        assert (listing.directory.kind, listing.directory.name, listing.hidden) == (Kind.DIRECTORY, "", 0)
        assert [child.name for child in (await remote.list(Ref(("folder",)))).children] == ["deep"]

    async def test_stat_tells_the_same_as_the_listing(self, remote: Remote, world: World) -> None:
        world.put(("folder", "file"), b"12345")
        for ref, child in (
            (Ref(("folder",)), by_name(await remote.list(Ref()))["folder"]),
            (Ref(("folder", "file")), by_name(await remote.list(Ref(("folder",))))["file"]),
        ):
            alone = await remote.stat(ref)
            assert (alone.name, alone.kind, alone.version) == (child.name, child.kind, child.version)

    async def test_what_is_missing_is_not_found(self, remote: Remote, world: World) -> None:
        world.put(("file",), b"1")
        version = (await remote.stat(Ref(("file",)))).version
        for ref in (Ref(("nothing",)), Ref(("no folder", "file"))):
            with pytest.raises(NotFound):
                await remote.stat(ref)
            with pytest.raises(NotFound):
                await remote.list(ref)
            with pytest.raises(NotFound):
                await read_all(remote, ref, version)

    async def test_a_file_is_not_listed_and_a_directory_not_read(self, remote: Remote, world: World) -> None:
        world.put(("file",), b"1")
        world.mkdir(("folder",))
        with pytest.raises(BadAnswer):
            await remote.list(Ref(("file",)))
        version = (await remote.stat(Ref(("file",)))).version
        for asked in (version, Version()):
            with pytest.raises((BadAnswer, VersionMismatch)):
                await read_all(remote, Ref(("folder",)), asked)

    async def test_reads_whole_files(self, remote: Remote, world: World) -> None:
        world.put(("file",), CONTENT)
        ref = Ref(("file",))
        version = (await remote.stat(ref)).version
        async with remote.read(ref, version=version) as stream:
            observed = stream.observed
        assert observed.version.same(version)
        assert (observed.name, observed.kind, observed.settled()) == ("file", Kind.FILE, True)
        assert await read_all(remote, ref, version) == CONTENT
        assert await read_all(remote, ref, Version()) == CONTENT

    @pytest.mark.parametrize(
        ("offset", "length"),
        [(0, 1), (0, 256_000), (0, 300_000), (1, None), (1000, 5), (255_999, 1), (255_990, 100), (200_000, None)],
    )
    async def test_reads_ranges(self, remote: Remote, world: World, offset: int, length: int | None) -> None:
        world.put(("file",), CONTENT)
        version = (await remote.stat(Ref(("file",)))).version
        end = None if length is None else offset + length
        assert await read_all(remote, Ref(("file",)), version, offset, length) == CONTENT[offset:end]
        async with remote.read(Ref(("file",)), version=version, offset=offset, length=length) as stream:
            assert stream.offset == (offset if remote.capabilities.ranges else 0)

    @pytest.mark.parametrize(("offset", "length"), [(256_000, None), (256_000, 10), (300_000, 10), (5, 0), (0, 0)])
    async def test_nothing_is_read_past_the_end(
        self, remote: Remote, world: World, offset: int, length: int | None
    ) -> None:
        world.put(("file",), CONTENT)
        version = (await remote.stat(Ref(("file",)))).version
        assert await read_all(remote, Ref(("file",)), version, offset, length) == b""

    async def test_an_empty_file_is_read(self, remote: Remote, world: World) -> None:
        world.put(("empty",), b"")
        version = (await remote.stat(Ref(("empty",)))).version
        for offset, length in ((0, None), (0, 10), (5, None)):
            assert await read_all(remote, Ref(("empty",)), version, offset, length) == b""

    async def test_another_version_is_never_read(self, remote: Remote, world: World) -> None:
        ref = Ref(("file",))
        world.put(("file",), b"old content", mtime=OLD)
        old = (await remote.stat(ref)).version
        world.put(("file",), b"new content", mtime=OLD + 10)
        for offset, length in ((0, None), (4, 3), (11, None)):
            with pytest.raises(VersionMismatch) as caught:
                await read_all(remote, ref, old, offset, length)
            assert caught.value.observed is not None
            assert caught.value.observed.version == (await remote.stat(ref)).version
        assert await read_all(remote, ref, (await remote.stat(ref)).version) == b"new content"

    async def test_a_stale_version_of_a_deleted_file_is_not_found(self, remote: Remote, world: World) -> None:
        world.put(("file",), b"content")
        version = (await remote.stat(Ref(("file",)))).version
        world.delete(("file",))
        with pytest.raises(NotFound):
            await read_all(remote, Ref(("file",)), version)

    async def test_names_come_back_as_exact_bytes(self, remote: Remote, world: World) -> None:
        for number, name in enumerate(ODD_NAMES):
            world.put(("names", name), name.encode(), mtime=OLD + number)
        listing = await remote.list(Ref(("names",)))
        assert sorted(child.name for child in listing.children) == sorted(ODD_NAMES)
        for child in listing.children:
            ref = Ref(("names", child.name))
            assert (await remote.stat(ref)).version.same(child.version)
            assert await read_all(remote, ref, child.version) == child.name.encode()

    async def test_folders_may_have_odd_names(self, remote: Remote, world: World) -> None:
        for name in ODD_NAMES:
            world.mkdir((name, name))
        assert sorted(by_name(await remote.list(Ref()))) == sorted(ODD_NAMES)
        for name in ODD_NAMES:
            listing = await remote.list(Ref((name,)))
            assert ([child.name for child in listing.children], listing.directory.name) == ([name], name)
            assert (await remote.stat(Ref((name, name)))).kind is Kind.DIRECTORY

    async def test_dotfiles_are_listed_unless_it_says_that_they_hide(self, remote: Remote, world: World) -> None:
        world.put((".dotfile",), b"1")
        names = set() if remote.capabilities.hides_dotfiles else {".dotfile"}
        assert set(by_name(await remote.list(Ref()))) == names
        assert (await remote.stat(Ref((".dotfile",)))).version.size == 1

    async def test_a_big_folder_is_listed_whole(self, remote: Remote, world: World) -> None:
        names = {f"file {number:04}" for number in range(world.many)}
        for name in names:
            world.put(("many", name), b"")
        listing = await remote.list(Ref(("many",)))
        assert len(listing.children) == world.many
        assert {child.name for child in listing.children} == names

    async def test_changes_are_seen(self, remote: Remote, world: World) -> None:
        world.put(("gone",), b"1")
        world.put(("changed",), b"1")
        before = by_name(await remote.list(Ref()))
        world.delete(("gone",))
        world.put(("changed",), b"2", mtime=OLD + 10)
        world.put(("new",), b"3")
        after = by_name(await remote.list(Ref()))
        assert set(after) == {"changed", "new"}
        assert not before["changed"].version.same(after["changed"].version)
        with pytest.raises(NotFound):
            await remote.stat(Ref(("gone",)))

    async def test_folder_versions_move_with_their_children_where_promised(self, remote: Remote, world: World) -> None:
        world.put(("folder", "file"), b"1")
        before = (await remote.stat(Ref(("folder",)))).version
        world.put(("folder", "other"), b"1")
        after = (await remote.stat(Ref(("folder",)))).version
        if remote.capabilities.folder_versions:
            assert not before.same(after)
        root = (await remote.stat(Ref())).version
        world.put(("folder", "other"), b"2", mtime=OLD + 10)
        if remote.capabilities.tree_etags:
            assert not (await remote.stat(Ref())).version.same(root)

    async def test_etags_and_ids_are_there_where_promised(self, remote: Remote, world: World) -> None:
        world.put(("file",), b"1")
        (child,) = (await remote.list(Ref())).children
        assert (child.version.etag is not None and not child.version.weak) is remote.capabilities.strong_etags
        assert (child.version.file_id is not None) is remote.capabilities.file_ids

    async def test_a_cancelled_call_leaves_the_remote_usable(self, remote: Remote, world: World) -> None:
        world.put(("file",), CONTENT * 8)
        ref = Ref(("file",))
        version = (await remote.stat(ref)).version
        for _ in range(12):  # more often than any limit of requests at a time
            for call in (remote.list, remote.stat):
                with trio.CancelScope() as scope:
                    scope.cancel()
                    await call(Ref())
                assert scope.cancelled_caught
            with trio.CancelScope() as scope:
                async with remote.read(ref, version=version) as stream:
                    assert await stream.receive()
                    scope.cancel()
                    await stream.receive()
            assert scope.cancelled_caught
        assert await read_all(remote, ref, version) == CONTENT * 8

    async def test_reads_left_early_leave_the_remote_usable(self, remote: Remote, world: World) -> None:
        world.put(("file",), CONTENT * 8)
        ref = Ref(("file",))
        version = (await remote.stat(ref)).version
        for _ in range(6):
            async with remote.read(ref, version=version) as stream:
                assert await stream.receive()
        assert await read_all(remote, ref, version) == CONTENT * 8

    async def test_requests_run_side_by_side(self, remote: Remote, world: World) -> None:
        for number in range(20):
            world.put((f"{number}",), CONTENT)
        observed = by_name(await remote.list(Ref()))
        read: dict[str, bytes] = {}

        async def fetch(name: str) -> None:
            read[name] = await read_all(remote, Ref((name,)), observed[name].version)

        async with trio.open_nursery() as nursery:
            for name in observed:
                nursery.start_soon(fetch, name)
        assert read == {f"{number}": CONTENT for number in range(20)}

    async def test_one_task_holds_several_streams(self, remote: Remote, world: World) -> None:
        world.put(("file",), CONTENT)
        version = (await remote.stat(Ref(("file",)))).version
        async with remote.read(Ref(("file",)), version=version) as one:
            async with remote.read(Ref(("file",)), version=version) as two:
                assert (await one.receive())[:10] == (await two.receive())[:10] == CONTENT[:10]

    async def test_space_is_told_where_promised(self, remote: Remote) -> None:
        space = await remote.space()
        assert (space.available is not None) is remote.capabilities.space
        assert space.available is None or space.available > 0
