"""Each await of a change on a real server is cancelled in turn: nothing of ours is left there, nothing is locked, no
connection is lost, and every file is whole, as it was or as it was to be."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio

from drivefs.errors import NotFound
from drivefs.model import Ref
from drivefs.names import is_own
from drivefs.remote.content import BytesContent
from drivefs.remote.webdav.writable import WritableWebDav
from drivefs.remote.writing import NOTHING, Done, WritableRemote
from tests.remote.journal import MemoryJournal
from tests.remote.test_cancellation import CancelAtStep
from tests.remote.writing_contract import FILE, OTHER, done
from tests.remote.writing_worlds import WritableFarm, WritableServerWorld

OLD_CONTENT, NEW_CONTENT = b"old", b"new content" * 20_000


class Scene:
    """A file, a client with one connection for each purpose, and another client that wants to write, too."""

    def __init__(self, world: WritableServerWorld) -> None:
        self.world = world
        self.journal = MemoryJournal()
        url = f"{world.server.url}{world.folder}/"
        self.remote = WritableWebDav(url, metadata_connections=1, content_connections=1)
        self.other = WritableWebDav(url)

    async def open(self) -> None:
        for remote in (self.remote, self.other):
            await remote.connect()
            await remote.prepare(self.journal)

    async def aclose(self) -> None:
        await self.remote.aclose()
        await self.other.aclose()

    async def start(self) -> None:
        """The same picture before each step: one file, and nothing else."""
        for name in self.world.names():
            self.world.delete((name,))
        self.world.put(FILE.path, OLD_CONTENT)

    async def check(self) -> None:
        with trio.fail_after(8):  # less than the patience with a lock that somebody holds
            for staged in list(self.journal.left.values()):  # what might have appeared late
                await self.remote.discard(staged, self.journal)
            assert self.journal.left == {}
            assert [name for name in self.world.names() if is_own(name)] == []
            for name in self.world.names():
                assert self.world.content((name,)) in (OLD_CONTENT, NEW_CONTENT)
                await self._write_as_another(Ref((name,)))

    async def _write_as_another(self, ref: Ref) -> None:
        try:
            version = (await self.other.stat(ref)).version
        except NotFound:
            return
        done(await self.other.write(ref, BytesContent(b"theirs"), expected=version, journal=self.journal))


async def create(remote: WritableRemote, journal: MemoryJournal) -> None:
    done(await remote.write(OTHER, BytesContent(NEW_CONTENT), expected=NOTHING, journal=journal))


async def replace(remote: WritableRemote, journal: MemoryJournal) -> None:
    version = (await remote.stat(FILE)).version
    done(await remote.write(FILE, BytesContent(NEW_CONTENT), expected=version, journal=journal))


async def move(remote: WritableRemote, journal: MemoryJournal) -> None:
    done(await remote.move(FILE, OTHER, expected=(await remote.stat(FILE)).version))


async def delete(remote: WritableRemote, journal: MemoryJournal) -> None:
    assert await remote.delete(FILE, expected=(await remote.stat(FILE)).version) == Done()


Change = Callable[[WritableRemote, MemoryJournal], Awaitable[None]]


async def cancel_each_await(scene: Scene, change: Change) -> int:
    """How many steps were cancelled."""
    for step in range(1, 1000):
        await scene.start()
        cut = CancelAtStep(step)
        trio.lowlevel.add_instrument(cut)
        try:
            with cut.scope:
                await change(scene.remote, scene.journal)
        finally:
            trio.lowlevel.remove_instrument(cut)
        await scene.check()
        if cut.left > 0:
            return step - 1  # it ended before this step
    raise AssertionError("the change never ends")


async def hold(farm: WritableFarm, name: str, change: Change) -> None:
    scene = Scene(farm.world(name))
    await scene.open()
    assert await cancel_each_await(scene, change) > 10
    await scene.aclose()


@pytest.mark.parametrize("change", [create, replace, move, delete])
@pytest.mark.parametrize("name", ["apache", "lighttpd"])
async def test_cancelled_anywhere(writable_farm: WritableFarm, name: str, change: Change) -> None:
    await hold(writable_farm, name, change)


@pytest.mark.slow
@pytest.mark.parametrize("change", [create, replace, move, delete])
@pytest.mark.parametrize("name", ["wsgidav", "nginx", "rclone", "sabre", "apache-nolock"])
async def test_cancelled_anywhere_on_other_servers(writable_farm: WritableFarm, name: str, change: Change) -> None:
    await hold(writable_farm, name, change)
