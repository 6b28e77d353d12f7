"""Large files to a Nextcloud and an ownCloud: in chunks, over broken links, restarts and slow assemblies."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio
from trio.testing import MockClock

from drivefs.errors import NotFound, QuotaExceeded
from drivefs.model import Ref, Version
from drivefs.remote.content import BytesContent
from drivefs.remote.webdav.chunks import Part, chunk_names, chunk_size, upload_of
from drivefs.remote.webdav.owncloud import MIB, write_capabilities
from drivefs.remote.webdav.paths import parse_base
from drivefs.remote.writing import Conflict, Later, Refused, Staged, Unknown
from tests.remote.cloud_writing import CHUNK, FILE, LARGE, MTIME, PRODUCTS, Writing, done, during, left
from tests.remote.test_cancellation import CancelAtStep
from tests.support.nextcloud import EXPIRY_SECONDS, NEXTCLOUD, USER, Cloud, Product, nextcloud


@pytest.fixture(params=list(PRODUCTS))
def product(request: pytest.FixtureRequest) -> Product:
    return PRODUCTS[request.param]


@pytest.fixture
async def cloud(product: Product) -> AsyncIterator[Cloud]:
    async with nextcloud(product) as cloud:
        cloud.storage.mkdir("folder")
        cloud.minimum_chunk = CHUNK if product is NEXTCLOUD else 0
        yield cloud


@pytest.fixture
async def at(cloud: Cloud) -> AsyncIterator[Writing]:
    writing = Writing(cloud)
    await writing.connect()
    yield writing
    await writing.remote.aclose()


async def test_a_large_file_goes_in_chunks(cloud: Cloud, at: Writing) -> None:
    observed = done(await at.write(LARGE))
    upload = cloud.sent("MKCOL")[0].removeprefix("MKCOL ").rstrip("/")
    assert upload.startswith(f"uploads/{USER}/.~drivefs-")
    assert cloud.sent("MKCOL", "PUT", "MOVE", "DELETE") == [
        f"MKCOL {upload}/",
        *(f"PUT {upload}/0000{number}" for number in (1, 2, 3, 4)),
        f"MOVE {upload}/.file",
    ]
    move = cloud.requests[-3].headers
    assert (move["overwrite"], move["oc-total-length"], move["x-oc-mtime"]) == ("F", "3500", str(MTIME))
    assert (at.content, observed.version.mtime_ns) == (LARGE.data, MTIME * 10**9)
    assert at.nothing_left()
    assert at.remote.traffic.up_bytes == 3500
    # Version 2 of Nextcloud would write into the target's own object.
    assert all("destination" not in asked.headers for asked in cloud.requests if asked.method != "MOVE")


async def test_a_large_file_replaces_in_place_at_its_version(cloud: Cloud, at: Writing) -> None:
    at.theirs()
    before = await at.now()
    after = done(await at.write(LARGE, before)).version
    assert (at.content, after.file_id) == (LARGE.data, before.file_id)
    move = cloud.requests[-3].headers
    assert move["if"].startswith(f'<{cloud.url}folder/file> (["{before.etag}"])')
    assert "if-match" not in move


@pytest.mark.parametrize("exists", [True, False])
async def test_a_change_during_the_upload_is_a_conflict_and_the_upload_waits(at: Writing, exists: bool) -> None:
    expected = at.theirs(b"before") and await at.now() if exists else None
    with during(at.cloud, "/00002 PUT", lambda: at.theirs(b"meanwhile")):
        outcome = await at.write(LARGE, expected)
    staged = left(outcome)
    assert isinstance(outcome, Conflict)
    assert outcome.observed == await at.writer.look(FILE)
    assert at.content == b"meanwhile"
    assert list(at.notes.left.values()) == [staged]

    other = Ref(("folder", "another name"))
    done(await at.writer.commit(staged, other, expected=None, journal=at.notes))
    assert (at.content, at.cloud.storage.content(other)) == (b"meanwhile", LARGE.data)
    assert at.nothing_left()


async def test_an_upload_that_waited_can_still_replace(at: Writing) -> None:
    with during(at.cloud, "/00002 PUT", lambda: at.theirs(b"meanwhile")):
        staged = left(await at.write(LARGE))
    assert isinstance(await at.writer.commit(staged, FILE, expected=None, journal=at.notes), Conflict)
    done(await at.writer.commit(staged, FILE, expected=await at.now(), journal=at.notes))
    assert at.content == LARGE.data
    assert at.nothing_left()


async def test_no_upload_replaces_a_file_without_a_condition(cloud: Cloud, at: Writing) -> None:
    with during(cloud, "/00002 PUT", lambda: at.theirs(b"meanwhile")):
        staged = left(await at.write(LARGE))
    seen = await at.now()
    other, same = Version(size=seen.size, mtime_ns=1), Version(size=seen.size, mtime_ns=seen.mtime_ns)
    assert left(await at.writer.commit(staged, FILE, expected=other, journal=at.notes)) == staged
    assert at.content == b"meanwhile"
    done(await at.writer.commit(staged, FILE, expected=same, journal=at.notes))
    moves = [asked.headers for asked in cloud.requests if asked.method == "MOVE"]
    assert all(headers["overwrite"] == "F" or "if" in headers for headers in moves)


async def test_an_upload_is_discarded_also_twice(at: Writing) -> None:
    with during(at.cloud, "/00002 PUT", lambda: at.theirs(b"meanwhile")):
        staged = left(await at.write(LARGE))
    for _ in range(2):
        await at.writer.discard(staged, at.notes)
        assert at.nothing_left()
        await at.notes.begin(staged)
    outcome = await at.writer.commit(staged, FILE, expected=await at.now(), journal=at.notes)
    assert isinstance(outcome, Refused)
    assert isinstance(outcome.error, NotFound)
    assert at.content == b"meanwhile"


async def test_an_interrupted_upload_goes_on_after_a_restart(
    cloud: Cloud, at: Writing, autojump_clock: MockClock
) -> None:
    cloud.fail("PUT", "/00003", status=503, times=100)
    staged = left(await at.write(LARGE))
    assert at.notes.left == {staged.place: staged}
    cloud.faults.clear()
    cloud.uploads[staged.place.name].chunks["00001"] = b"cut short"

    again = Writing(cloud, at.notes)
    await again.connect()
    outcome = await again.writer.write(FILE, LARGE, expected=None, journal=again.notes, resume=staged)
    await again.remote.aclose()
    done(outcome)
    assert [path[-5:] for path in cloud.sent("PUT")] == ["00001", "00003", "00004"]
    assert cloud.sent("MKCOL") == []
    assert at.content == LARGE.data
    assert at.nothing_left()


async def test_half_an_upload_is_no_file(cloud: Cloud, at: Writing, autojump_clock: MockClock) -> None:
    cloud.fail("PUT", "/00003", status=503, times=100)
    staged = left(await at.write(LARGE))
    outcome = await at.writer.commit(staged, FILE, expected=None, journal=at.notes)
    assert isinstance(outcome, Later)
    assert outcome.staged is None
    assert cloud.storage.names("folder") == set()
    assert at.nothing_left()


async def test_other_content_does_not_go_on_with_an_upload(
    cloud: Cloud, at: Writing, autojump_clock: MockClock
) -> None:
    cloud.fail("PUT", "/00003", status=503, times=100)
    staged = left(await at.write(LARGE))
    cloud.faults.clear()
    other = BytesContent(LARGE.data[::-1], LARGE.mtime_ns)
    done(await at.writer.write(FILE, other, expected=None, journal=at.notes, resume=staged))
    assert (at.content, at.notes.begun) == (other.data, 2)
    assert at.nothing_left()


async def test_an_upload_that_the_server_gave_up_is_sent_anew(
    cloud: Cloud, at: Writing, autojump_clock: MockClock
) -> None:
    cloud.fail("PUT", "/00003", status=503, times=100)
    staged = left(await at.write(LARGE))
    cloud.faults.clear()
    cloud.clock.advance(EXPIRY_SECONDS + 1)
    done(await at.writer.write(FILE, LARGE, expected=None, journal=at.notes, resume=staged))
    assert (at.content, at.notes.begun) == (LARGE.data, 2)
    assert at.nothing_left()


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("checksums", [True, False])
async def test_the_lost_answer_of_the_last_request_is_looked_up(
    cloud: Cloud, at: Writing, exists: bool, checksums: bool
) -> None:
    cloud.stores_checksums = checksums
    expected = at.theirs() and await at.now() if exists else None
    cloud.fail("MOVE")
    done(await at.write(LARGE, expected))
    assert (at.content, len(cloud.sent("MOVE"))) == (LARGE.data, 1)
    assert at.nothing_left()


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("status", [504, 502, 0])
async def test_there_are_minutes_of_patience_for_a_slow_assembly(
    cloud: Cloud, at: Writing, exists: bool, status: int, autojump_clock: MockClock
) -> None:
    """A proxy gives up, or we do; the server works on, and answers 423 to each further try."""
    expected = at.theirs() and await at.now() if exists else None
    cloud.assembly_seconds = 400.0
    if status:
        cloud.gateway = (60.0, status)
    done(await at.write(LARGE, expected))
    assert at.content == LARGE.data
    assert 400 <= trio.current_time() < 430
    assert len(cloud.sent("MOVE")) > 2
    assert at.nothing_left()


async def test_an_assembly_without_end_is_unknown(cloud: Cloud, at: Writing, autojump_clock: MockClock) -> None:
    cloud.assembly_seconds = 3600.0
    outcome = await at.write(LARGE)
    assert isinstance(outcome, Unknown)
    assert left(outcome).place in at.notes.left


async def test_a_target_that_stays_locked_is_for_later(cloud: Cloud, at: Writing, autojump_clock: MockClock) -> None:
    cloud.fail("MOVE", status=423, times=1000)
    outcome = await at.write(LARGE)
    assert isinstance(outcome, Later)
    cloud.faults.clear()
    done(await at.writer.commit(left(outcome), FILE, expected=None, journal=at.notes))
    assert at.nothing_left()


async def test_a_share_that_got_full_meanwhile_keeps_the_upload(cloud: Cloud, at: Writing) -> None:
    def fill() -> None:
        cloud.available = 10

    with during(cloud, "/00004 PUT", fill):
        outcome = await at.write(LARGE)
    assert isinstance(outcome, Later)
    assert isinstance(outcome.error, QuotaExceeded)
    cloud.available = -3
    done(await at.writer.commit(left(outcome), FILE, expected=None, journal=at.notes))


async def test_a_broken_link_during_a_chunk_costs_that_chunk(
    cloud: Cloud, at: Writing, autojump_clock: MockClock
) -> None:
    cloud.fail("PUT", "/00002", after=500)
    cloud.fail("PUT", "/00003")
    done(await at.write(LARGE))
    assert [path[-5:] for path in cloud.sent("PUT")] == ["00001", "00002", "00002", "00003", "00003", "00004"]
    assert at.content == LARGE.data


async def test_chunks_that_are_too_large_for_the_way_are_refused_and_removed(cloud: Cloud, at: Writing) -> None:
    cloud.fail("PUT", "/00001", status=413)
    assert isinstance(await at.write(LARGE), Refused)
    assert at.nothing_left()


async def test_a_lost_answer_to_the_first_request_is_looked_up(cloud: Cloud, at: Writing) -> None:
    cloud.fail("MKCOL")
    done(await at.write(LARGE))
    assert len(cloud.sent("MKCOL")) == 1


async def test_a_server_without_uploads_gets_one_put(cloud: Cloud, at: Writing) -> None:
    cloud.fail("MKCOL", status=405)
    done(await at.write(LARGE))
    assert cloud.sent("PUT") == [f"PUT files/{USER}/folder/file"]
    assert at.nothing_left()


async def test_an_upload_that_is_cancelled_anywhere_is_in_the_journal_and_goes_on(cloud: Cloud) -> None:
    content = BytesContent(LARGE.data[: CHUNK + 1], LARGE.mtime_ns)
    cancelled = 0
    for step in range(1, 1000):
        at = Writing(cloud)
        cut = CancelAtStep(step)
        trio.lowlevel.add_instrument(cut)
        with cut.scope:
            await at.write(content)
        trio.lowlevel.remove_instrument(cut)
        if cut.left > 0:
            break  # it ended before this step
        cancelled += cut.scope.cancelled_caught
        assert set(cloud.uploads) <= {staged.place.name for staged in at.notes.left.values()}
        made = cloud.storage.look(FILE)
        assert made is None or at.content == content.data
        expected = None if made is None else await at.now()
        staged = next(iter(at.notes.left.values()), None)
        with trio.fail_after(5):
            done(await at.writer.write(FILE, content, expected=expected, journal=at.notes, resume=staged))
        await at.remote.aclose()
        assert at.nothing_left()
        cloud.storage.delete(FILE)
    await at.remote.aclose()
    assert cancelled > 20


async def test_a_cancelled_upload_is_in_the_journal(cloud: Cloud, at: Writing) -> None:
    with trio.CancelScope() as scope, during(cloud, "/00003 PUT", scope.cancel):
        await at.write(LARGE)
    assert scope.cancelled_caught
    (staged,) = at.notes.left.values()
    done(await at.writer.write(FILE, LARGE, expected=None, journal=at.notes, resume=staged))
    assert at.nothing_left()


@pytest.mark.parametrize(
    ("size", "chunk"), [(11 * MIB, 10 * MIB), (100_000 * MIB, 10 * MIB), (100_001 * MIB, 11 * MIB), (2**42, 420 * MIB)]
)
def test_there_are_never_more_than_ten_thousand_chunks(size: int, chunk: int) -> None:
    assert chunk_size(size, 10 * MIB) == chunk
    assert -(-size // chunk) <= 10_000


def test_chunks_are_named_in_their_order_and_cover_the_file() -> None:
    assert chunk_names(2500, 1000) == {"00001": (0, 1000), "00002": (1000, 1000), "00003": (2000, 500)}
    assert list(chunk_names(2000, 1000)) == ["00001", "00002"]


async def test_a_part_has_just_its_bytes() -> None:
    whole = BytesContent(bytes(range(256)) * 1000)
    for start, size, offset in ((0, 70_000, 0), (100_000, 1, 0), (255_990, 10, 3), (5, 100_000, 99_999)):
        received = b""
        async with Part(whole, start, size).open(offset) as pieces:
            while piece := await pieces.receive():
                received += piece
            assert await pieces.receive() == b""
        assert received == whole.data[start + offset : start + size]


def test_only_the_address_with_the_user_leads_to_uploads() -> None:
    def chunks(url: str) -> bool:
        return write_capabilities(parse_base(url)).chunks > 0

    assert chunks("https://h/remote.php/dav/files/ann/")
    assert chunks("https://h/cloud/remote.php/dav/files/ann/a/b")
    assert not chunks("https://h/remote.php/webdav/")
    assert not chunks("https://h/remote.php/dav/files")


async def test_the_journal_tells_all_that_is_needed(at: Writing) -> None:
    with during(at.cloud, "/00002 PUT", lambda: at.theirs(b"meanwhile")):
        staged = left(await at.write(LARGE))
    upload = upload_of(staged)
    assert upload is not None
    assert (upload.chunk, upload.mark.size, upload.mark.mtime) == (CHUNK, 3500, MTIME)
    assert upload_of(Staged(staged.place, staged.target, 1)) is None
