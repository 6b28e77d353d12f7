"""The contract of changes over a Nextcloud and an ownCloud."""

from __future__ import annotations

import unicodedata
from collections.abc import AsyncIterator, Awaitable, Sequence

import pytest
import trio
from trio.testing import MockClock

from drivefs.model import Ref
from drivefs.remote.base import RequestHook
from drivefs.remote.content import BytesContent
from drivefs.remote.webdav.auth import Credentials
from drivefs.remote.webdav.owncloud import CHUNK_BYTES
from drivefs.remote.webdav.writable import WritableWebDav
from drivefs.remote.writing import NOTHING, Conflict, Done, Later, Outcome, WritableRemote
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


async def test_requests_per_change(cloud: Cloud, writable: WritableRemote, journal: MemoryJournal) -> None:
    async def requests(change: Awaitable[Outcome]) -> list[str]:
        cloud.forget()
        outcome = await change
        assert isinstance(outcome, Done)
        return [asked.method for asked in cloud.requests]

    folder, ref, other = Ref(("folder",)), Ref(("folder", "file")), Ref(("folder", "other"))
    assert await requests(writable.mkdir(folder)) == ["MKCOL", "PROPFIND"]
    new = writable.write(ref, BytesContent(b"1"), expected=NOTHING, journal=journal)
    assert await requests(new) == ["PUT", "PROPFIND"]
    replaced = writable.write(ref, BytesContent(b"2"), expected=await version_of(writable, ref), journal=journal)
    assert await requests(replaced) == ["PUT", "PROPFIND"]
    moved = writable.move(ref, other, expected=await version_of(writable, ref))
    assert await requests(moved) == ["MOVE", "PROPFIND"]
    assert await requests(writable.delete(other, expected=await version_of(writable, other))) == ["DELETE", "PROPFIND"]


async def test_a_file_in_chunks_of_the_usual_size(
    cloud: Cloud, writable: WritableRemote, journal: MemoryJournal
) -> None:
    """Large enough for the smallest chunk that Nextcloud takes, and seven requests beside those for the chunks."""
    content = BytesContent(bytes(2 * CHUNK_BYTES + 1))
    cloud.forget()
    done(await writable.write(FILE, content, expected=NOTHING, journal=journal))
    sent = [asked.method for asked in cloud.requests]
    assert sent == ["PROPFIND", "PROPFIND", "MKCOL", "PROPFIND", *["PUT"] * 3, "MOVE", "PROPFIND", "PROPFIND"]
    assert cloud.storage.content("file") == content.data
    assert (cloud.uploads, journal.left) == ({}, {})


async def test_an_interrupted_file_goes_on_after_a_restart(
    cloud: Cloud, world: WritableCloudWorld, journal: MemoryJournal, autojump_clock: MockClock
) -> None:
    content = BytesContent(bytes(2 * CHUNK_BYTES + 1))
    cloud.fail("PUT", "/00003", status=503, times=100)
    for restart in (False, True):
        remote = world.open_writable()
        await remote.connect()
        await remote.prepare(journal)
        cloud.forget()
        staged = next(iter(journal.left.values()), None)
        outcome = await remote.write(FILE, content, expected=NOTHING, journal=journal, resume=staged)
        assert isinstance(outcome, Done if restart else Later)
        await remote.aclose()
        cloud.faults.clear()
    assert [path.rpartition("/")[2] for path in cloud.sent("MKCOL", "PUT", "MOVE")] == ["00003", ".file"]
    assert cloud.storage.content("file") == content.data
    assert (cloud.uploads, journal.left) == ({}, {})


async def test_of_two_writers_in_a_race_one_wins_and_the_other_knows(
    cloud: Cloud, world: WritableCloudWorld, journal: MemoryJournal
) -> None:
    world.put(("file",), b"start")
    writers = [world.open_writable(), world.open_writable()]
    for remote in writers:
        await remote.connect()
        await remote.prepare(journal)
    for turn in range(200):
        contents = [BytesContent(b"%d of %d" % (turn, number)) for number in (0, 1)]
        outcomes = await race(writers, contents, journal)
        (won,) = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, Done)]
        assert cloud.storage.content("file") == contents[won].data
        assert isinstance(outcomes[1 - won], Conflict)
    for remote in writers:
        await remote.aclose()


async def race(
    writers: Sequence[WritableRemote], contents: Sequence[BytesContent], journal: MemoryJournal
) -> list[Outcome]:
    """Each writes its content over the version that all of them saw."""
    expected = await version_of(writers[0], FILE)
    outcomes: dict[int, Outcome] = {}

    async def write(number: int) -> None:
        writer, content = writers[number], contents[number]
        outcomes[number] = await writer.write(FILE, content, expected=expected, journal=journal)

    async with trio.open_nursery() as nursery:
        for number in range(len(writers)):
            nursery.start_soon(write, number)
    return [outcomes[number] for number in range(len(writers))]
