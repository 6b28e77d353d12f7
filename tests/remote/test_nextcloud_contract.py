"""The contract of changes over a Nextcloud and an ownCloud."""

from __future__ import annotations

import unicodedata
from collections.abc import AsyncIterator

import pytest

from drivefs.model import Ref
from drivefs.remote.base import RequestHook
from drivefs.remote.content import BytesContent
from drivefs.remote.webdav.auth import Credentials
from drivefs.remote.webdav.writable import WritableWebDav
from drivefs.remote.writing import NOTHING, Conflict, Done, WritableRemote
from tests.remote import writing_contract
from tests.remote.journal import MemoryJournal
from tests.remote.test_nextcloud_reading import CloudWorld, nfc
from tests.remote.writing_contract import FILE, NAMES, WritingContract, done, refused, version_of
from tests.remote.writing_worlds import WritableWorld
from tests.support.nextcloud import NEXTCLOUD, OWNCLOUD, PASSWORD, USER, Cloud, Product, nextcloud


class WritableCloudWorld(CloudWorld):
    def open_writable(self, hook: RequestHook | None = None) -> WritableWebDav:
        return WritableWebDav(self.cloud.url, credentials=Credentials(USER, PASSWORD), hook=hook)

    def content(self, path: tuple[str, ...]) -> bytes:
        return self.cloud.storage.content(nfc(path))

    def names(self, path: tuple[str, ...] = ()) -> set[str]:
        return self.cloud.storage.names(nfc(path))


@pytest.fixture(params=[NEXTCLOUD, OWNCLOUD], ids=lambda product: product.name)
def product(request: pytest.FixtureRequest) -> Product:
    product: Product = request.param
    return product


@pytest.fixture
async def cloud(product: Product) -> AsyncIterator[Cloud]:
    async with nextcloud(product) as cloud:
        yield cloud


@pytest.fixture
def world(cloud: Cloud) -> WritableCloudWorld:
    return WritableCloudWorld(cloud)


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


@pytest.fixture
async def writable(world: WritableCloudWorld, journal: MemoryJournal) -> AsyncIterator[WritableRemote]:
    remote = world.open_writable()
    await remote.connect()
    await remote.prepare(journal)
    assert journal.left == {}
    yield remote
    await remote.aclose()


KEPT = tuple(sorted({name for name in nfc(NAMES) if "\\" not in name and len(name.encode()) <= 250}))
"""The names of the contract that these servers take, in the form that they keep."""


class TestWritingContract(WritingContract):
    """All of the contract; where these servers promise less, or more, what they promise."""

    async def test_bytes_that_wait_are_committed_without_a_second_upload(
        self, writable: WritableRemote, world: WritableWorld, journal: MemoryJournal
    ) -> None:
        """A small file is one PUT in place, so that it keeps its id: nothing of it can wait. (Large ones: chunks.)"""
        assert writable.write_capabilities.file_ids_stay
        world.put(("file",), b"theirs")
        outcome = await writable.write(FILE, BytesContent(b"mine"), expected=NOTHING, journal=journal)
        assert outcome == Conflict(await writable.stat(FILE))

    async def test_odd_names_are_written_moved_and_deleted(
        self, writable: WritableRemote, world: WritableWorld, journal: MemoryJournal
    ) -> None:
        await writable.mkdir(Ref(("names",)))
        for name in nfc(NAMES):
            ref, moved = Ref(("names", name)), Ref(("names", name[:60] + "→"))
            outcome = await writable.write(ref, BytesContent(name.encode()), expected=NOTHING, journal=journal)
            if name not in KEPT:
                refused(outcome)
            elif name not in world.names(("names",)) or isinstance(outcome, Done):
                observed = done(await writable.move(ref, moved, expected=done(outcome).version))
                done(await writable.move(moved, ref, expected=observed.version))
        assert world.names(("names",)) == set(KEPT)
        for name in KEPT:
            ref = Ref(("names", name))
            assert await writable.delete(ref, expected=await version_of(writable, ref)) == Done()
        assert (world.names(("names",)), journal.left) == (set(), {})

    async def test_names_get_the_form_that_the_server_keeps(
        self, writable: WritableRemote, world: WritableWorld, journal: MemoryJournal
    ) -> None:
        assert writable.capabilities.composes_names
        sent, kept = unicodedata.normalize("NFD", "é"), "é"
        file = done(await writable.write(Ref((sent,)), BytesContent(b"1"), expected=NOTHING, journal=journal))
        folder = done(await writable.mkdir(Ref((sent + "1",))))
        moved = done(await writable.move(Ref((sent,)), Ref((sent + "2",)), expected=file.version))
        copied = done(await writable.copy(Ref((moved.name,)), Ref((sent + "3",)), expected=moved.version))
        assert [file.name, folder.name, moved.name, copied.name] == [kept, kept + "1", kept + "2", kept + "3"]
        assert world.names() == {folder.name, moved.name, copied.name}

    async def test_folders_may_have_odd_names_and_change_them(
        self, writable: WritableRemote, world: WritableWorld
    ) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(writing_contract, "NAMES", KEPT)
            await super().test_folders_may_have_odd_names_and_change_them(writable, world)
