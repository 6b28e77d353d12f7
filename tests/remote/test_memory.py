"""What only the memory remote does: its options, and the world behind our back."""

from __future__ import annotations

import pytest

from drivefs.errors import BadAnswer, NotFound, VersionMismatch
from drivefs.model import Kind, Ref, Space, Version
from drivefs.remote.base import Remote
from drivefs.remote.memory import MemoryRemote, Options, Request, ServerClock


def as_remote(remote: Remote) -> Remote:
    """Only typed: mypy proves that the memory remote keeps the port."""
    return remote


async def test_requests_are_logged_as_a_server_would() -> None:
    remote = MemoryRemote()
    version = remote.put("a/b", b"12345")
    await as_remote(remote).list(Ref(("a",)))
    async with remote.read(Ref(("a", "b")), version=version, offset=1, length=2) as stream:
        assert (stream.offset, await stream.receive(), await stream.receive()) == (1, b"23", b"")
    assert remote.requests == [Request("list", "/a"), Request("read", "/a/b", 1, 2)]
    assert (remote.traffic.requests, remote.traffic.down_bytes) == (2, 2)


async def test_a_stream_goes_on_with_the_version_it_was_opened_at() -> None:
    remote = MemoryRemote(Options(piece_bytes=1), now=ServerClock())
    version = remote.put("f", b"old")
    async with remote.read(Ref(("f",)), version=version) as stream:
        first = await stream.receive()
        remote.put("f", b"new")
        assert first + await stream.receive() + await stream.receive() == b"old"
    with pytest.raises(VersionMismatch) as caught:
        async with remote.read(Ref(("f",)), version=version):
            pass
    assert caught.value.observed == await remote.stat(Ref(("f",)))


async def test_without_ranges_a_read_starts_at_zero() -> None:
    remote = MemoryRemote(Options(ranges=False))
    version = remote.put("f", b"0123456789")
    async with remote.read(Ref(("f",)), version=version, offset=4, length=2) as stream:
        assert (stream.offset, await stream.receive()) == (0, b"0123456789")


async def test_move_keeps_identity_and_version() -> None:
    remote = MemoryRemote(Options(file_ids=True))
    version = remote.put("a", b"x")
    remote.mkdir("d")
    remote.move("a", "d/b")
    assert (await remote.stat(Ref(("d", "b")))).version == version
    with pytest.raises(NotFound):
        await remote.stat(Ref(("a",)))


async def test_folder_versions_move_for_direct_children_and_tree_etags_up_to_the_root() -> None:
    for options, root_moves in ((Options(folder_versions=True), False), (Options(tree_etags=True), True)):
        remote = MemoryRemote(options)
        remote.mkdir("d")
        root, directory = await remote.stat(Ref()), await remote.stat(Ref(("d",)))
        remote.put("d/f", b"x")
        assert not (await remote.stat(Ref(("d",)))).version.same(directory.version)
        assert (await remote.stat(Ref())).version.same(root.version) is not root_moves


async def test_times_are_the_servers_and_cut_to_seconds_on_wish() -> None:
    clock = ServerClock(1000.75)
    remote = MemoryRemote(Options(whole_seconds=True, strong_etags=False), now=clock)
    assert remote.put("f", b"x") == Version(size=1, mtime_ns=1_000_000_000_000)
    clock.advance(5)
    observed = await remote.stat(Ref(("f",)))
    assert (observed.at, observed.kind, observed.settled()) == (1005.75, Kind.FILE, True)


async def test_names_that_cannot_exist_here_are_counted_and_dotfiles_can_hide() -> None:
    remote = MemoryRemote(Options(hides_dotfiles=True))
    for name in ("", "..", "a/b", "n\0l", "x" * 256, ".dot", "ok"):
        remote.put((name,), b"")
    listing = await remote.list(Ref())
    assert ([child.name for child in listing.children], listing.hidden) == (["ok"], 4)


async def test_a_file_cannot_be_listed_and_a_directory_not_read() -> None:
    remote = MemoryRemote(Options(total_bytes=10))
    remote.put("f", b"123")
    with pytest.raises(BadAnswer):
        await remote.list(Ref(("f",)))
    with pytest.raises(BadAnswer):
        async with remote.read(Ref(), version=Version()):
            pass
    assert await remote.space() == Space(used=3, available=7)
