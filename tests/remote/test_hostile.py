"""The WebDAV client against servers that lie, cut, stall, or are something else altogether."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from drivefs.errors import (
    BadAnswer,
    NotAShare,
    NotFound,
    ServerBusy,
    TlsError,
    Unauthorized,
    Unreachable,
    UsageError,
    VersionMismatch,
)
from drivefs.model import Ref, Version
from drivefs.remote.webdav.auth import Credentials
from drivefs.remote.webdav.client import WebDavRemote
from drivefs.remote.webdav.xml import Limits
from tests.support.scripted import HANGUP, Asked, Parts, Scripted, file, folder, http, multistatus, scripted

DATE = "Tue, 14 Nov 2023 22:13:20 GMT"
VERSION = Version("e1", 10, 1_700_000_000_000_000_000)
CONTENT = b"0123456789"
FILE = Ref(("f",))
LOGIN = http(200, b"<!DOCTYPE html><html>Please log in</html>", Content_Type="text/html")


class Share:
    """A well-behaved share with one file `f`; `get` and `propfind` replace parts of its behaviour."""

    def __init__(self, *, get: Callable[[Asked], Parts] | None = None, propfind: Parts | None = None) -> None:
        self.get = get or whole
        self.propfind = propfind

    def __call__(self, asked: Asked) -> Parts:
        if asked.method == "OPTIONS":
            return http(200, DAV="1, 2")
        if asked.method != "PROPFIND":
            return self.get(asked)
        if self.propfind is not None:
            return self.propfind
        if asked.target == "/f":
            return http(207, multistatus(file("/f")))
        return http(207, multistatus(folder("/"), file("/f")), Server="scripted", Date=DATE)


def whole(asked: Asked) -> bytes:
    return http(200, CONTENT, ETag='"e1"', Last_Modified=DATE)


@asynccontextmanager
async def share(
    answer: Callable[[Asked], Parts], *, limits: Limits | None = None, credentials: Credentials | None = None
) -> AsyncIterator[tuple[WebDavRemote, Scripted]]:
    async with scripted(answer) as server:
        remote = WebDavRemote(server.url, limits=limits, credentials=credentials)
        yield remote, server
        await remote.aclose()


async def read(remote: WebDavRemote, offset: int = 0, length: int | None = None) -> tuple[int, bytes]:
    received = b""
    async with remote.read(FILE, version=VERSION, offset=offset, length=length) as stream:
        while piece := await stream.receive():
            received += piece
        return stream.offset, received


# What is not a share


@pytest.mark.parametrize(
    "answer",
    [
        LOGIN,
        http(404),
        http(405),
        http(501),
        http(207, b"<html/>"),
        http(207, multistatus()),
        http(207, multistatus(folder("/elsewhere/"))),
        http(207, multistatus(file("/"))),
        http(207, multistatus(folder("/")), Content_Encoding="br"),
        http(302, Location="http://other.example/"),
        http(302, Location="https://127.0.0.1@evil.example/"),
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    ],
)
async def test_connect_to_what_is_no_share(answer: Parts) -> None:
    async with share(Share(propfind=answer)) as (remote, _):
        with pytest.raises(NotAShare):
            await remote.connect()


async def test_connect_to_another_protocol() -> None:
    async with share(lambda asked: [b"SSH-2.0-OpenSSH_9.2\r\n\r\n", HANGUP]) as (remote, _):
        with pytest.raises(NotAShare, match="not a valid HTTP answer"):
            await remote.connect()


async def test_a_redirect_never_leads_to_another_server() -> None:
    async with scripted(whole) as other:
        elsewhere = http(307, Location=f"{other.url.replace('127.0.0.1', 'localhost')}f")
        async with share(lambda asked: elsewhere, credentials=Credentials("ann", "s3cret")) as (remote, _):
            with pytest.raises(BadAnswer):
                await remote.stat(FILE)
            with pytest.raises(NotAShare):
                await remote.connect()
        assert other.connections == 0


async def test_a_redirect_without_end_is_left() -> None:
    async with share(lambda asked: http(302, Location=asked.target + "x")) as (remote, server):
        with pytest.raises(BadAnswer):
            await remote.stat(FILE)
        assert len(server.requests) == 6


async def test_a_share_that_moved_for_good_is_followed_and_told(expected_warnings: list[str]) -> None:
    def answer(asked: Asked) -> bytes:
        if not asked.target.startswith("/new/"):
            return http(301, Location="/new/")
        return http(207, multistatus(folder("/new/"), file("/new/f")))

    async with share(answer) as (remote, server):
        await remote.connect()
        assert (await remote.list(Ref())).children[0].name == "f"
        expected_warnings.append(f"change its address to {server.url}new/")


async def test_a_password_is_sent_when_asked_for_and_a_wrong_one_only_once() -> None:
    async with share(lambda asked: http(401), credentials=Credentials("ann", "s3cret")) as (remote, server):
        with pytest.raises(Unauthorized) as caught:
            await remote.connect()
        assert [asked.headers.get("authorization") for asked in server.requests] == [None, "Basic YW5uOnMzY3JldA=="]
        assert "s3cret" not in str(caught.value)


def test_a_password_is_not_sent_unencrypted() -> None:
    with pytest.raises(UsageError):
        WebDavRemote("http://192.0.2.1/", credentials=Credentials("ann", "s3cret"), auth="basic")


async def test_nobody_there_is_unreachable(autojump_clock: MockClock) -> None:
    async with scripted(whole) as server:
        url = server.url
    remote = WebDavRemote(url)
    with pytest.raises(Unreachable):
        await remote.connect()
    await remote.aclose()


async def test_no_tls_there_is_a_tls_error() -> None:
    async with scripted(whole) as server:
        remote = WebDavRemote(server.url.replace("http:", "https:"))
        with pytest.raises(TlsError):
            await remote.connect()
        await remote.aclose()


# Listings


LISTING = multistatus(folder("/"), file("/f"))


@pytest.mark.parametrize(
    "answer",
    [
        LOGIN,
        http(207, LISTING[:-20]),
        http(207, LISTING + b"more"),
        http(207, gzip.compress(LISTING)[:-10], Content_Encoding="gzip"),
        http(207, multistatus(file("/f"))),
        http(207),
        http(200, LISTING),
    ],
)
async def test_half_a_listing_is_none(answer: bytes) -> None:
    async with share(lambda asked: answer) as (remote, _):
        with pytest.raises(BadAnswer):
            await remote.list(Ref())


async def test_a_listing_whose_connection_is_lost_is_asked_for_again(autojump_clock: MockClock) -> None:
    answers: list[Parts] = [[http(207, LISTING, length=9999), HANGUP], http(503), http(207, LISTING)]
    async with share(lambda asked: answers.pop(0)) as (remote, server):
        assert len((await remote.list(Ref())).children) == 1
        assert len(server.requests) == 3


async def test_a_listing_may_be_compressed() -> None:
    async with share(lambda asked: http(207, gzip.compress(LISTING), Content_Encoding="gzip")) as (remote, server):
        assert len((await remote.list(Ref())).children) == 1
        assert server.requests[0].headers["accept-encoding"] == "gzip"


async def test_a_compressed_listing_without_end_is_left_early() -> None:
    bomb = gzip.compress(LISTING.replace(b"</D:multistatus>", b" " * 30_000_000))
    async with share(lambda asked: http(207, bomb, Content_Encoding="gzip"), limits=Limits(total_bytes=10_000)) as (
        remote,
        _,
    ):
        with pytest.raises(BadAnswer, match="longer than"):
            await remote.list(Ref())


async def test_propfind_names_what_it_wants() -> None:
    async with share(Share()) as (remote, server):
        await remote.list(Ref())
        await remote.stat(FILE)
    listing, single = server.requests
    assert (listing.headers["depth"], single.headers["depth"]) == ("1", "0")
    assert listing.headers["content-type"] == "application/xml; charset=utf-8"
    assert b"getetag" in listing.body
    assert b"allprop" not in listing.body


async def test_a_server_that_stalls_is_left(autojump_clock: MockClock) -> None:
    # With the jumping clock any real traffic looks late; so the connection itself is never accepted here.
    listener = await trio.open_tcp_listeners(0, host="127.0.0.1")
    remote = WebDavRemote(f"http://127.0.0.1:{listener[0].socket.getsockname()[1]}/")
    start = trio.current_time()
    with pytest.raises(Unreachable, match="in time"):
        await remote.stat(FILE)
    assert trio.current_time() - start <= 45
    await remote.aclose()
    await listener[0].aclose()


async def test_a_server_that_asks_to_wait_too_long_is_believed() -> None:
    async with share(lambda asked: http(503, Retry_After="600")) as (remote, server):
        with pytest.raises(ServerBusy) as caught:
            await remote.stat(FILE)
        assert (caught.value.retry_after, len(server.requests)) == (600.0, 1)


# Content


def part(first: int, last: int, total: str = "10", *, etag: str = '"e1"', modified: str = DATE) -> bytes:
    piece, place = CONTENT[first : last + 1], f"bytes {first}-{last}/{total}"
    return http(206, piece, Content_Range=place, ETag=etag, Last_Modified=modified)


async def test_a_range_is_asked_for_with_the_version_as_condition() -> None:
    async with share(Share(get=lambda asked: part(2, 5))) as (remote, server):
        assert await read(remote, 2, 4) == (2, b"2345")
        headers = server.requests[0].headers
        assert (headers["range"], headers["if-match"], headers["accept-encoding"]) == ("bytes=2-5", '"e1"', "identity")


async def test_a_server_that_ignores_ranges_gives_the_whole_file_and_is_known_for_it() -> None:
    async with share(Share()) as (remote, _):
        assert remote.capabilities.ranges
        assert await read(remote, 2, 4) == (0, CONTENT)
        assert not remote.capabilities.ranges


@pytest.mark.parametrize(
    "answer",
    [
        part(3, 5),
        part(2, 4),
        part(2, 5).replace(b"bytes 2-5/10", b"bytes 2-5/5"),
        part(2, 5).replace(b"bytes 2-5/10", b"bytes 5-2/10"),
        part(2, 5).replace(b"bytes 2-5/10", b"nonsense"),
        part(2, 5).replace(b"Content-Length: 4", b"Content-Length: 3"),
        part(2, 5).replace(b"Content-Range", b"X-Range"),
        part(2, 5, etag='"other"'),
        part(2, 5, modified="Tue, 14 Nov 2023 22:13:21 GMT"),
        part(2, 5, "11"),
        http(200, b"x" * 12),
        LOGIN,
        http(200, CONTENT, Transfer_Encoding="chunked").replace(CONTENT, b"a\r\n0123456789\r\n0\r\n\r\n"),
        http(200, gzip.compress(CONTENT), Content_Encoding="gzip", ETag='"e1"'),
        http(204),
        http(302, Location="http://other.example/f"),
        http(404),
        http(412),
        http(416),
    ],
)
async def test_what_does_not_show_the_version_is_no_content(answer: bytes) -> None:
    """PROPFIND goes on telling the same version, so the answer is wrong, not the version."""
    async with share(Share(get=lambda asked: answer)) as (remote, _):
        with pytest.raises(BadAnswer):
            await read(remote, 2, 4)


@pytest.mark.parametrize("answer", [part(2, 5, etag='"e2"'), http(412), http(404), LOGIN, http(200, b"x" * 12)])
async def test_a_changed_file_is_a_version_mismatch_as_propfind_shows_it(answer: bytes) -> None:
    changed = http(207, multistatus(file("/f", etag='"e2"', size=12)))
    async with share(Share(get=lambda asked: answer, propfind=changed)) as (remote, _):
        with pytest.raises(VersionMismatch) as caught:
            await read(remote, 2, 4)
        assert caught.value.observed is not None
        assert (caught.value.observed.version.etag, caught.value.observed.version.size) == ("e2", 12)


async def test_an_etag_that_fits_in_no_header_is_compared_but_not_sent() -> None:
    version = Version("é\n", 10)
    async with share(Share(get=lambda asked: http(200, CONTENT))) as (remote, server):
        async with remote.read(FILE, version=version) as stream:
            assert await stream.receive() == CONTENT
        assert "if-match" not in server.requests[0].headers


async def test_a_stream_that_broke_off_never_ends() -> None:
    cut = [http(200, ETag='"e1"', Transfer_Encoding="chunked") + b"5\r\n01234\r\n", HANGUP]
    async with share(Share(get=lambda asked: cut)) as (remote, _):
        async with remote.read(FILE, version=Version("e1")) as stream:
            assert await stream.receive() == b"01234"
            for _ in range(3):
                with pytest.raises(Unreachable):
                    await stream.receive()


async def test_a_lost_file_is_not_found() -> None:
    async with share(Share(get=lambda asked: http(404), propfind=http(404))) as (remote, _):
        with pytest.raises(NotFound):
            await read(remote)


async def test_a_proxy_with_its_own_conditions_is_read_without_them() -> None:
    def get(asked: Asked) -> bytes:
        return http(412) if "if-match" in asked.headers else whole(asked)

    async with share(Share(get=get)) as (remote, server):
        assert await read(remote) == (0, CONTENT)
        assert await read(remote) == (0, CONTENT)
        assert [asked.method for asked in server.requests] == ["GET", "PROPFIND", "GET", "GET"]


@pytest.mark.parametrize("etag", ["W/'x'", '"e1-gzip"', 'W/"e1"', ""])
async def test_etags_are_compared_by_what_they_mean(etag: str) -> None:
    async with share(Share(get=lambda asked: part(2, 5, etag=etag))) as (remote, _):
        if etag == "W/'x'":
            with pytest.raises(BadAnswer):
                await read(remote, 2, 4)
        else:
            assert await read(remote, 2, 4) == (2, b"2345")


@pytest.mark.parametrize("sent", [0, 1, 9])
async def test_content_that_ends_early_is_an_error_never_an_end(sent: int) -> None:
    cut = [http(200, CONTENT[:sent], length=10, ETag='"e1"'), HANGUP]
    async with share(Share(get=lambda asked: cut)) as (remote, _):
        with pytest.raises(Unreachable):
            await read(remote)


async def test_content_without_a_length_is_held_to_the_versions_size() -> None:
    for body, error in ((CONTENT, None), (CONTENT[:9], Unreachable), (CONTENT + b"x", BadAnswer)):
        chunked = http(200, ETag='"e1"', Transfer_Encoding="chunked") + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        async with share(Share(get=lambda asked, chunked=chunked: chunked)) as (remote, _):  # type: ignore[misc]
            if error is None:
                assert await read(remote) == (0, CONTENT)
            else:
                with pytest.raises(error):
                    await read(remote)


async def test_a_file_that_is_stored_compressed_comes_as_it_is() -> None:
    get = http(200, CONTENT, ETag='"e1"', Content_Encoding="gzip")
    async with share(Share(get=lambda asked: get)) as (remote, _):
        assert await read(remote) == (0, CONTENT)


async def test_the_server_may_close_between_requests() -> None:
    """Answers one request per connection, and hangs up when a second one arrives: the keep-alive race."""
    seen: set[int] = set()

    def get(asked: Asked) -> Parts:
        if asked.connection in seen:
            return HANGUP
        seen.add(asked.connection)
        return whole(asked)

    async with share(Share(get=get)) as (remote, server):
        for _ in range(4):
            assert await read(remote) == (0, CONTENT)
        assert server.connections == 4


async def test_cookies_are_kept() -> None:
    async with share(Share(get=lambda asked: http(200, CONTENT, ETag='"e1"', Set_Cookie="a=b"))) as (remote, server):
        await read(remote)
        await read(remote)
        assert [asked.headers.get("cookie") for asked in server.requests] == [None, "a=b"]


async def test_the_hook_and_the_counters_tell_of_each_request() -> None:
    events: list[tuple[str, str, str]] = []
    async with scripted(Share()) as server:
        remote = WebDavRemote(server.url, hook=lambda *event: events.append(event))
        await read(remote)
        await remote.aclose()
    assert events == [("request", "GET", "/f"), ("200", "GET", "/f")]
    assert (remote.traffic.requests, remote.traffic.failed, remote.traffic.down_bytes) == (1, 0, 10)


async def test_metadata_does_not_wait_behind_content() -> None:
    async with scripted(Share()) as server:
        remote = WebDavRemote(server.url, content_connections=1)
        async with remote.read(FILE, version=VERSION):
            with trio.fail_after(5):
                assert (await remote.stat(FILE)).version == VERSION
            with trio.move_on_after(0.05) as scope:
                await read(remote)
            assert scope.cancelled_caught
        assert await read(remote) == (0, CONTENT)
        await remote.aclose()
