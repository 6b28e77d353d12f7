"""Small files to a Nextcloud and an ownCloud: one PUT in place, and what may go wrong with it."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import AsyncIterator

import pytest
from trio.testing import MockClock

from drivefs.errors import NotPermitted, QuotaExceeded, ServerBusy, StoreError, Unreachable
from drivefs.model import Ref, Version
from drivefs.remote.content import BytesContent
from drivefs.remote.writing import Conflict, Done, Later, NewFile, Refused, Unknown
from tests.remote.cloud_writing import CHUNK, FILE, LARGE, MTIME, PRODUCTS, SMALL, Writing, done, during
from tests.support.nextcloud import NEXTCLOUD, USER, Cloud, Product, nextcloud


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


async def test_a_small_file_is_one_put_and_one_question(cloud: Cloud, at: Writing) -> None:
    observed = done(await at.write(SMALL))
    assert cloud.sent() == [f"PUT files/{USER}/folder/file", f"PROPFIND files/{USER}/folder/file"]
    put = cloud.requests[0].headers
    assert (put["if-none-match"], put["x-oc-mtime"], put["content-length"]) == ("*", str(MTIME), "10")
    assert put["oc-checksum"] == "SHA1:" + hashlib.sha1(SMALL.data).hexdigest()
    assert (at.content, observed.version) == (SMALL.data, await at.now())
    assert (observed.version.mtime_ns, observed.checksum) == (MTIME * 10**9, put["oc-checksum"])
    assert at.notes.begun == 0


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
