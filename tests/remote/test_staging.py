"""What is left on a share is known before it is there: staging names and locks are in the journal first."""

from __future__ import annotations

import pytest

from drivefs.errors import StoreError
from drivefs.model import Ref
from drivefs.names import is_own
from drivefs.remote.content import BytesContent
from drivefs.remote.writing import NOTHING, Staged
from tests.remote.journal import MemoryJournal
from tests.remote.writing_contract import FILE, done, version_of
from tests.remote.writing_worlds import WritableFarm

STAGED_ON = ("wsgidav", "nginx", "rclone", "sabre")


class Chronicle(MemoryJournal):
    """A journal and a hook in one: what happened, in its order."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[str] = []

    async def begin(self, staged: Staged) -> None:
        assert is_own(staged.place.name)
        self.events.append("begin with token" if staged.token else "begin")
        await super().begin(staged)

    async def end(self, staged: Staged) -> None:
        self.events.append("end")
        await super().end(staged)

    def note(self, event: str, method: str, path: str) -> None:
        if event == "request":
            self.events.append(method)


class FullDisk(MemoryJournal):
    async def begin(self, staged: Staged) -> None:
        raise StoreError("no room for the journal")


@pytest.mark.parametrize("name", STAGED_ON)
async def test_a_staging_name_is_journalled_before_it_is_sent(writable_farm: WritableFarm, name: str) -> None:
    world, chronicle = writable_farm.world(name), Chronicle()
    remote = world.open_writable(hook=chronicle.note)
    await remote.connect()
    await remote.prepare(chronicle)
    assert chronicle.left == {}
    chronicle.events.clear()
    done(await remote.write(FILE, BytesContent(b"1"), expected=NOTHING, journal=chronicle))
    assert chronicle.events == ["begin", "PUT", "PROPFIND", "MOVE", "PROPFIND", "end"]
    before = await version_of(remote, FILE)
    chronicle.events.clear()
    done(await remote.write(FILE, BytesContent(b"22"), expected=before, journal=chronicle))
    assert chronicle.events == [
        "begin", "PUT", "PROPFIND",  # the bytes are there
        "PROPFIND", "LOCK", "begin with token", "PROPFIND", "MOVE", "PROPFIND", "UNLOCK", "end",
    ]  # fmt: skip
    await remote.aclose()


@pytest.mark.parametrize("name", STAGED_ON)
async def test_without_a_journal_nothing_is_sent(writable_farm: WritableFarm, name: str) -> None:
    world, chronicle = writable_farm.world(name), Chronicle()
    remote = world.open_writable(hook=chronicle.note)
    await remote.connect()
    await remote.prepare(chronicle)
    chronicle.events.clear()
    with pytest.raises(StoreError):
        await remote.write(Ref(("new",)), BytesContent(b"1"), expected=NOTHING, journal=FullDisk())
    assert (chronicle.events, world.names()) == ([], set())
    await remote.aclose()
