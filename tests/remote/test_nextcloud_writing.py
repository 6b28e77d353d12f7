"""Writing to a Nextcloud and an ownCloud: small files by one PUT, large ones in chunks, and all that may go wrong."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import pytest
import trio
from trio.testing import MockClock

from drivefs.errors import (
    NotFound,
    NotPermitted,
    QuotaExceeded,
    ServerBusy,
    StoreError,
    Unreachable,
)
from drivefs.model import Observation, Ref, Version
from drivefs.remote.content import BytesContent
from drivefs.remote.open import open_remote
from drivefs.remote.webdav.auth import Credentials
from drivefs.remote.webdav.chunks import Part, chunk_names, chunk_size, upload_of
from drivefs.remote.webdav.cloudwrite import CloudWriter
from drivefs.remote.webdav.owncloud import MIB, write_capabilities
from drivefs.remote.webdav.paths import parse_base
from drivefs.remote.writing import Conflict, Done, Later, NewFile, Outcome, Refused, Staged, Unknown
from tests.support.nextcloud import EXPIRY_SECONDS, NEXTCLOUD, OWNCLOUD, PASSWORD, USER, Cloud, Product, nextcloud

FILE = Ref(("folder", "file"))
MTIME = 1_600_000_000
SMALL = BytesContent(b"some bytes", MTIME * 10**9 + 123)
CHUNK = 1000
LARGE = BytesContent(bytes(range(250)) * 14, MTIME * 10**9)
"""3,500 bytes: three whole chunks, and half of one."""
PRODUCTS = {"nextcloud": NEXTCLOUD, "owncloud": OWNCLOUD}


class Notes:
    """A journal in memory. `all` has what was ever noted."""

    def __init__(self) -> None:
        self.open: dict[Ref, Staged] = {}
        self.all: list[Staged] = []

    async def begin(self, staged: Staged) -> None:
        await trio.lowlevel.checkpoint()
        self.open[staged.place] = staged
        self.all.append(staged)

    async def end(self, staged: Staged) -> None:
        await trio.lowlevel.checkpoint()
        self.open.pop(staged.place, None)


class Writing:
    """A writer, its journal, and the server that it writes to. Another `Writing` is the same after a restart."""

    def __init__(self, cloud: Cloud, notes: Notes | None = None) -> None:
        self.cloud = cloud
        self.notes = notes or Notes()
        self.remote = open_remote(cloud.url, credentials=Credentials(USER, PASSWORD))
        self.writer = CloudWriter(self.remote._session, parse_base(cloud.url), chunk=CHUNK)

    async def connect(self) -> None:
        await self.remote.connect()
        self.cloud.forget()

    async def write(self, content: BytesContent, expected: Version | None = None, ref: Ref = FILE) -> Outcome:
        return await self.writer.write(ref, content, expected=expected, journal=self.notes)

    def theirs(self, content: bytes = b"theirs, of another size") -> Version:
        return self.cloud.storage.put(FILE, content)

    async def now(self, ref: Ref = FILE) -> Version:
        observed = await self.writer.look(ref)
        assert observed is not None
        return observed.version

    @property
    def content(self) -> bytes:
        return self.cloud.storage.content(FILE)

    def nothing_left(self) -> bool:
        return not self.cloud.uploads and not self.notes.open


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


def done(outcome: Outcome) -> Observation:
    assert isinstance(outcome, Done), outcome
    assert outcome.observed is not None
    return outcome.observed


def left(outcome: Outcome) -> Staged:
    assert isinstance(outcome, Conflict | Later | Unknown), outcome
    assert outcome.staged is not None
    return outcome.staged


# Small files


async def test_a_small_file_is_one_put_and_one_question(cloud: Cloud, at: Writing) -> None:
    observed = done(await at.write(SMALL))
    assert cloud.sent() == [f"PUT files/{USER}/folder/file", f"PROPFIND files/{USER}/folder/file"]
    put = cloud.requests[0].headers
    assert (put["if-none-match"], put["x-oc-mtime"], put["content-length"]) == ("*", str(MTIME), "10")
    assert put["oc-checksum"] == "SHA1:" + hashlib.sha1(SMALL.data).hexdigest()
    assert (at.content, observed.version) == (SMALL.data, await at.now())
    assert (observed.version.mtime_ns, observed.checksum) == (MTIME * 10**9, put["oc-checksum"])
    assert at.notes.all == []


async def test_a_file_is_replaced_in_place_and_keeps_its_id(cloud: Cloud, at: Writing) -> None:
    at.theirs()
    before = await at.now()
    after = done(await at.write(SMALL, before)).version
    assert cloud.requests[-2].headers["if-match"] == f'"{before.etag}"'
    assert (after.file_id, at.content) == (before.file_id, SMALL.data)
    assert cloud.sent("MOVE", "DELETE") == []


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
async def test_another_version_is_never_replaced(at: Writing, content: BytesContent) -> None:
    at.theirs(b"first")
    old = await at.now()
    at.theirs(b"second")
    for expected in (old, None):
        outcome = await at.write(content, expected)
        assert outcome == Conflict(await at.writer.look(FILE))
        assert at.content == b"second"
    at.cloud.storage.delete(FILE)
    assert await at.write(content, old) == Conflict(None)
    assert at.nothing_left()


async def test_a_version_without_an_etag_is_compared_before(at: Writing) -> None:
    at.theirs()
    seen = await at.now()
    known = Version(size=seen.size, mtime_ns=seen.mtime_ns)
    assert isinstance(await at.write(SMALL, Version(size=1, mtime_ns=seen.mtime_ns)), Conflict)
    done(await at.write(SMALL, known))


async def test_what_may_not_be_is_refused(cloud: Cloud, at: Writing) -> None:
    cloud.storage.put("shown/file", b"1")
    cloud.permissions = {("shown",): "SG", ("shown", "file"): "SG"}
    for content in (SMALL, LARGE):
        for name, expected in (("file", await at.now(Ref(("shown", "file")))), ("new", None)):
            outcome = await at.write(content, expected, Ref(("shown", name)))
            assert isinstance(outcome, Refused)
            assert isinstance(outcome.error, NotPermitted)
        for name in (".htaccess", "download.part", "back\\slash", "x" * 251):
            assert isinstance(await at.write(content, None, Ref(("folder", name))), Refused)
    assert at.nothing_left()
    assert cloud.sent("MKCOL") == []


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
async def test_without_a_folder_there_is_no_file(at: Writing, content: BytesContent) -> None:
    assert isinstance(await at.write(content, None, Ref(("no folder", "file"))), Refused)
    assert at.nothing_left()


async def test_a_full_share_is_told_as_such(cloud: Cloud, at: Writing) -> None:
    cloud.available = 5
    for content in (SMALL, LARGE):
        with pytest.raises(QuotaExceeded):
            await at.write(content)
    assert at.nothing_left()
    assert cloud.sent("MKCOL") == []


async def test_names_get_the_form_that_the_server_gives_them(cloud: Cloud, at: Writing) -> None:
    for number, content in enumerate((SMALL, LARGE)):
        name = unicodedata.normalize("NFD", f"é{number}")
        observed = done(await at.write(content, None, Ref(("folder", name))))
        assert observed.name == unicodedata.normalize("NFC", name)
        assert observed.name in cloud.storage.names("folder")


async def test_a_lost_answer_is_looked_up(cloud: Cloud, at: Writing) -> None:
    cloud.fail("PUT")
    done(await at.write(SMALL))
    assert len(cloud.sent("PUT")) == 1
    cloud.fail("PUT")
    done(await at.write(BytesContent(b"more"), await at.now()))
    assert (len(cloud.sent("PUT")), at.content) == (2, b"more")


async def test_a_lost_answer_is_read_back_where_no_checksum_is_stored(cloud: Cloud, at: Writing) -> None:
    cloud.stores_checksums = False
    cloud.fail("PUT")
    done(await at.write(SMALL))
    assert len(cloud.sent("GET")) == 1


@pytest.mark.parametrize("checksums", [True, False])
async def test_somebody_elses_file_of_the_same_size_and_time_is_not_taken_for_ours(
    cloud: Cloud, at: Writing, checksums: bool
) -> None:
    cloud.stores_checksums = checksums
    cloud.fail("PUT")
    theirs = b"some other"
    with during(cloud, "/file PROPFIND", lambda: cloud.storage.put(FILE, theirs, mtime_ns=MTIME * 10**9)):
        outcome = await at.write(SMALL)
    assert outcome == Conflict(await at.writer.look(FILE))
    assert (len(theirs), at.content) == (SMALL.size, theirs)


async def test_a_request_that_did_not_arrive_is_sent_again(
    cloud: Cloud, at: Writing, autojump_clock: MockClock
) -> None:
    cloud.fail("PUT", status=503)
    cloud.fail("PUT", status=423)
    cloud.fail("PUT", after=3)
    done(await at.write(SMALL))
    assert len(cloud.sent("PUT")) == 4


async def test_a_server_that_stays_busy_is_told_as_such(cloud: Cloud, at: Writing, autojump_clock: MockClock) -> None:
    cloud.fail("PUT", status=423, times=100)
    with pytest.raises(ServerBusy):
        await at.write(SMALL)


async def test_nothing_is_known_when_looking_fails_too(cloud: Cloud, at: Writing, autojump_clock: MockClock) -> None:
    cloud.fail("PUT")
    cloud.fail("PROPFIND", times=100)
    outcome = await at.write(SMALL)
    assert isinstance(outcome, Unknown)
    assert isinstance(outcome.error, Unreachable)


async def test_a_cut_file_that_the_server_kept_is_a_conflict(cloud: Cloud, at: Writing) -> None:
    """Nextcloud's issue 62321. It cannot be told from a file of another client, so it is not written over. ownCloud
    finds that the checksum is not that of what arrived."""
    cloud.fail("PUT", after=4).keeps = True
    outcome = await at.write(SMALL)
    if cloud.product.compares_checksums:
        assert at.content == SMALL.data
        return
    assert isinstance(outcome, Conflict)
    assert outcome.observed is not None
    assert outcome.observed.version.size == 4


async def test_what_was_stored_wrong_by_our_own_request_is_sent_again(cloud: Cloud, at: Writing) -> None:
    cloud.damage = 1
    done(await at.write(SMALL))
    assert (at.content, len(cloud.sent("PUT"))) == (SMALL.data, 2)
    cloud.damage = 9
    assert isinstance(await at.write(BytesContent(b"1234"), await at.now()), Unknown)


async def test_content_that_changes_its_length_is_not_sent(cloud: Cloud, at: Writing) -> None:
    class Liar(BytesContent, frozen=True):
        @property
        def size(self) -> int:
            return len(self.data) + 1

    with pytest.raises(StoreError):
        await at.write(Liar(b"12345"))
    assert cloud.sent() == []


# Many small files


def batch(count: int) -> list[NewFile]:
    return [NewFile(f"new {number}", BytesContent(b"%d" % number, MTIME * 10**9)) for number in range(count)]


async def test_a_batch_is_one_put_each_and_one_listing(cloud: Cloud, at: Writing) -> None:
    outcomes = await at.writer.create(Ref(("folder",)), batch(20), at.notes)
    assert [done(outcome).name for outcome in outcomes] == [f"new {number}" for number in range(20)]
    assert (len(cloud.sent("PUT")), len(cloud.requests)) == (20, 21)


async def test_each_of_a_batch_has_its_own_outcome(cloud: Cloud, at: Writing, autojump_clock: MockClock) -> None:
    taken = cloud.storage.put("folder/new 0", b"theirs")
    cloud.fail("PUT", "new%201")
    cloud.fail("PUT", "new%202", status=423)
    cloud.fail("PUT", "new%203", status=503, times=100)
    files = [*batch(8), NewFile("x.part", SMALL), NewFile("large", LARGE)]
    first, *others = await at.writer.create(Ref(("folder",)), files, at.notes)
    assert isinstance(first, Conflict)
    assert first.observed is not None
    assert first.observed.version.etag == taken.etag
    assert [type(outcome) for outcome in others] == [Done, Done, Later, *[Done] * 4, Refused, Done]
    assert cloud.storage.content("folder/large") == LARGE.data
    assert len([path for path in cloud.sent("PUT") if path.endswith("new 1")]) == 1
    assert at.nothing_left()


# Large files


async def test_a_large_file_goes_in_chunks(cloud: Cloud, at: Writing) -> None:
    observed = done(await at.write(LARGE))
    (staged,) = at.notes.all
    upload = f"uploads/{USER}/{staged.place.name}"
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
    assert list(at.notes.open.values()) == [staged]

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


async def test_an_upload_is_discarded_also_twice(at: Writing) -> None:
    with during(at.cloud, "/00002 PUT", lambda: at.theirs(b"meanwhile")):
        staged = left(await at.write(LARGE))
    for _ in range(2):
        await at.writer.discard(staged, at.notes)
        assert at.nothing_left()
    outcome = await at.writer.commit(staged, FILE, expected=await at.now(), journal=at.notes)
    assert isinstance(outcome, Refused)
    assert isinstance(outcome.error, NotFound)
    assert at.content == b"meanwhile"


async def test_an_interrupted_upload_goes_on_after_a_restart(
    cloud: Cloud, at: Writing, autojump_clock: MockClock
) -> None:
    cloud.fail("PUT", "/00003", status=503, times=100)
    staged = left(await at.write(LARGE))
    assert at.notes.open == {staged.place: staged}
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
    assert (at.content, len(at.notes.all)) == (other.data, 2)
    assert at.nothing_left()


async def test_an_upload_that_the_server_gave_up_is_sent_anew(
    cloud: Cloud, at: Writing, autojump_clock: MockClock
) -> None:
    cloud.fail("PUT", "/00003", status=503, times=100)
    staged = left(await at.write(LARGE))
    cloud.faults.clear()
    cloud.clock.advance(EXPIRY_SECONDS + 1)
    done(await at.writer.write(FILE, LARGE, expected=None, journal=at.notes, resume=staged))
    assert (at.content, len(at.notes.all)) == (LARGE.data, 2)
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
    cloud.assembly_seconds = 300.0
    if status:
        cloud.gateway = (60.0, status)
    done(await at.write(LARGE, expected))
    assert at.content == LARGE.data
    assert 300 <= trio.current_time() < 330
    assert len(cloud.sent("MOVE")) > 2
    assert at.nothing_left()


async def test_an_assembly_without_end_is_unknown(cloud: Cloud, at: Writing, autojump_clock: MockClock) -> None:
    cloud.assembly_seconds = 3600.0
    outcome = await at.write(LARGE)
    assert isinstance(outcome, Unknown)
    assert left(outcome).place in at.notes.open


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


async def test_a_cancelled_upload_is_in_the_journal(cloud: Cloud, at: Writing) -> None:
    with trio.CancelScope() as scope, during(cloud, "/00003 PUT", scope.cancel):
        await at.write(LARGE)
    assert scope.cancelled_caught
    (staged,) = at.notes.open.values()
    done(await at.writer.write(FILE, LARGE, expected=None, journal=at.notes, resume=staged))
    assert at.nothing_left()


@contextmanager
def during(cloud: Cloud, where: str, act: Callable[[], object]) -> Iterator[None]:
    """Does something when the request has arrived that ends so, as in `path METHOD`."""
    cloud.on_arrival[where] = act
    yield
    assert where not in cloud.on_arrival, "that request never came"


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
async def test_what_the_window_is_said_to_be_is_all_that_gets_through(
    cloud: Cloud, at: Writing, content: BytesContent
) -> None:
    """The server checks when a request begins: what comes in that moment is lost here, and a version on a real one."""
    at.theirs()
    seen = await at.now()
    last = "/file PUT" if content is SMALL else "/.file MOVE"
    with during(cloud, last, lambda: at.theirs(b"before the check")):
        assert isinstance(await at.write(content, seen), Conflict)
    seen = await at.now()
    with during(cloud, last, lambda: setattr(cloud, "meanwhile", lambda: at.theirs(b"after the check"))):
        done(await at.write(content, seen))
    assert at.content == content.data
    assert "in the moment it is replaced" in at.writer.capabilities.window


# Arithmetic


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
