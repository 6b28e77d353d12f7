"""Connections that break while real servers change something: what is told is what is there, and nothing is left."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from drivefs.errors import RemoteError, ServerBusy
from drivefs.model import Ref
from drivefs.names import is_own
from drivefs.remote.content import BytesContent
from drivefs.remote.webdav.writable import WritableWebDav
from drivefs.remote.writing import NOTHING, Done, Later, NewFile
from tests.remote.journal import MemoryJournal
from tests.remote.writing_contract import FILE, LARGE, OTHER, done, version_of
from tests.remote.writing_worlds import WritableFarm, WritableServerWorld
from tests.support.cutting import LOST_REPLY, Cut, CuttingProxy, cutting, once

SERVERS = ("wsgidav", "apache", "apache-nolock", "nginx", "lighttpd", "rclone", "sabre")
"""Those that speak plain HTTP, which the proxy can cut."""


class Scene:
    """A remote behind a proxy that cuts, and the world behind it."""

    def __init__(self, world: WritableServerWorld, proxy: CuttingProxy, remote: WritableWebDav) -> None:
        self.world = world
        self.proxy = proxy
        self.remote = remote
        self.journal = MemoryJournal()

    async def check_clean(self) -> None:
        """Nothing of ours is on the share or in the journal, and nothing is locked: another client may write."""
        self.proxy.cut = lambda method, target: None
        assert self.proxy.cuts > 0
        for staged in list(self.journal.left.values()):  # what might have appeared late
            await self.remote.discard(staged, self.journal)
        assert {name for name in self.world.names() if is_own(name)} == set()
        assert self.journal.left == {}
        other = self.world.open_writable()
        await other.connect()
        await other.prepare(self.journal)
        for name in sorted(self.world.names()):
            ref = Ref((name,))
            if self.world.place((name,)).is_file():
                content = BytesContent(b"another client")
                done(await other.write(ref, content, expected=await version_of(other, ref), journal=self.journal))
        await other.aclose()


@asynccontextmanager
async def scene_on(world: WritableServerWorld) -> AsyncIterator[Scene]:
    async with cutting(world.server.url) as proxy:
        remote = world.open_writable(url=proxy.url)
        scene = Scene(world, proxy, remote)
        await remote.connect()
        await remote.prepare(scene.journal)
        yield scene
        await remote.aclose()


@pytest.fixture(params=SERVERS)
async def scene(request: pytest.FixtureRequest, writable_farm: WritableFarm) -> AsyncIterator[Scene]:
    name: str = request.param
    async with scene_on(writable_farm.world(name)) as scene:
        yield scene


async def test_a_new_file_is_there_though_the_answers_were_lost(scene: Scene) -> None:
    for number, method in enumerate(("PUT", "MOVE", "PROPFIND")):
        if method == "MOVE" and scene.remote.write_capabilities.put_creates:
            continue
        ref = Ref((f"new {number}",))
        scene.proxy.cut = once(method, LOST_REPLY)
        observed = done(await scene.remote.write(ref, BytesContent(LARGE), expected=NOTHING, journal=scene.journal))
        assert observed.version.same(await version_of(scene.remote, ref))
        assert scene.world.content(ref.path) == LARGE
    await scene.check_clean()


@pytest.mark.parametrize("method", ["PUT", "PROPFIND", "MOVE", "UNLOCK"])
async def test_a_file_is_replaced_though_an_answer_was_lost(scene: Scene, method: str) -> None:
    scene.world.put(("file",), b"old")
    before = await version_of(scene.remote, FILE)
    scene.proxy.cut = once(method, LOST_REPLY)
    done(await scene.remote.write(FILE, BytesContent(LARGE), expected=before, journal=scene.journal))
    assert scene.world.content(("file",)) == LARGE
    scene.proxy.cuts += 1  # not every server is asked in every way
    await scene.check_clean()


async def test_a_lock_whose_answer_was_lost_is_released_or_waited_for(scene: Scene) -> None:
    """Some servers tell nobody who holds a lock: then the bytes wait until it ends by itself."""
    scene.world.put(("file",), b"old")
    before = await version_of(scene.remote, FILE)
    scene.proxy.cut = once("LOCK", LOST_REPLY)
    outcome = await scene.remote.write(FILE, BytesContent(LARGE), expected=before, journal=scene.journal)
    if scene.proxy.cuts == 0 or scene.remote.write_capabilities.finds_locks:
        done(outcome)
        scene.proxy.cuts += 1  # there are servers where no lock is needed
        await scene.check_clean()
        return
    assert isinstance(outcome, Later)
    assert isinstance(outcome.error, ServerBusy)
    assert outcome.staged is not None
    assert scene.world.content(("file",)) == b"old"
    await scene.remote.discard(outcome.staged, scene.journal)
    assert (scene.world.names(), scene.journal.left) == ({"file"}, {})


@pytest.mark.parametrize("at", [0, 1_000_000])
async def test_an_upload_that_breaks_off_is_sent_again(scene: Scene, at: int) -> None:
    scene.world.put(("file",), b"old")
    before = await version_of(scene.remote, FILE)
    for ref, expected in ((FILE, before), (OTHER, NOTHING)):
        scene.proxy.cut = once("PUT", Cut(request=at))
        done(await scene.remote.write(ref, BytesContent(LARGE), expected=expected, journal=scene.journal))
        assert scene.world.content(ref.path) == LARGE
    await scene.check_clean()


async def test_a_folder_is_made_though_the_answer_was_lost(scene: Scene) -> None:
    scene.proxy.cut = once("MKCOL", LOST_REPLY)
    assert done(await scene.remote.mkdir(Ref(("folder",)))).name == "folder"
    await scene.check_clean()


async def test_a_file_is_gone_though_the_answer_was_lost(scene: Scene) -> None:
    scene.world.put(("file",), b"old")
    scene.proxy.cut = once("DELETE", LOST_REPLY)
    assert await scene.remote.delete(FILE, expected=await version_of(scene.remote, FILE)) == Done()
    await scene.check_clean()


async def test_an_entry_is_moved_though_the_answer_was_lost(scene: Scene) -> None:
    scene.world.put(("file",), b"old")
    scene.world.put(("folder", "inside"), b"old")
    for source, target in ((FILE, OTHER), (Ref(("folder",)), Ref(("moved",)))):
        scene.proxy.cut = once("MOVE", LOST_REPLY)
        done(await scene.remote.move(source, target, expected=await version_of(scene.remote, source)))
    assert scene.world.names() == {"other", "moved"}
    await scene.check_clean()


async def test_a_file_is_copied_though_the_answer_was_lost(scene: Scene) -> None:
    scene.world.put(("file",), LARGE)
    scene.proxy.cut = once("COPY", LOST_REPLY)
    done(await scene.remote.copy(FILE, OTHER, expected=await version_of(scene.remote, FILE)))
    assert scene.world.content(("other",)) == LARGE
    await scene.check_clean()


async def test_a_batch_is_told_right_though_answers_were_lost(scene: Scene) -> None:
    files = [NewFile(f"{number}", BytesContent(bytes(100 + number))) for number in range(8)]
    for method in ("PUT", "PROPFIND"):
        folder = Ref((method,))
        scene.world.mkdir(folder.path)
        scene.proxy.cut = once(method, LOST_REPLY, skip=3 if method == "PUT" else 0)
        for outcome in await scene.remote.create(folder, files, scene.journal):
            done(outcome)
        assert scene.world.names(folder.path) == {file.name for file in files}
    await scene.check_clean()


async def test_a_listing_that_is_cut_is_none(writable_farm: WritableFarm) -> None:
    world = writable_farm.world("apache")
    for number in range(50):
        world.put((f"{number}",), b"")
    async with scene_on(world) as scene:
        scene.proxy.cut = lambda method, target: Cut(reply=1000)
        with pytest.raises(RemoteError):
            await scene.remote.list(Ref())
        scene.proxy.cut = once("PROPFIND", Cut(reply=5000))
        assert len((await scene.remote.list(Ref())).children) == 50
