"""Reading from a server that is busy, stalls, or closes connections at the worst moment. Every outcome is bounded."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate

import pytest
import trio

from drivefs.errors import RemoteError, ServerBusy, Unreachable
from drivefs.model import Ref, Version
from drivefs.remote import retry
from drivefs.remote.retry import METADATA
from drivefs.remote.webdav import session
from drivefs.remote.webdav.client import WebDavRemote
from drivefs.remote.webdav.errors import LONGEST_RETRY_AFTER
from tests.support.names import hosts
from tests.support.scripted import HANGUP, STALL, Asked, Parts, Scripted, file, folder, http, multistatus, scripted
from tests.support.servers import apache

FILE = Ref(("f",))
VERSION = Version("e1", 10)
DATE = "Tue, 14 Nov 2023 22:13:20 GMT"
NOW = 1_700_000_000

Operation = Callable[[WebDavRemote], Awaitable[None]]


def good(asked: Asked) -> bytes:
    if asked.method == "GET":
        return http(200, b"0123456789", ETag='"e1"')
    if asked.method == "OPTIONS":
        return http(200, DAV="1")
    return http(207, multistatus(file("/f") if asked.target == "/f" else folder(asked.target)))


async def read(remote: WebDavRemote) -> None:
    async with remote.read(FILE, version=VERSION) as stream:
        assert await stream.receive() == b"0123456789"


async def stat(remote: WebDavRemote) -> None:
    await remote.stat(FILE)


async def listing(remote: WebDavRemote) -> None:
    await remote.list(Ref())


OPERATIONS = pytest.mark.parametrize("operation", [read, stat, listing])


@asynccontextmanager
async def share(answer: Callable[[Asked], Parts]) -> AsyncIterator[tuple[WebDavRemote, Scripted]]:
    async with scripted(answer) as server:
        remote = WebDavRemote(server.url)
        yield remote, server
        await remote.aclose()
        assert (remote._session.metadata.borrowed_tokens, remote._session.content.borrowed_tokens) == (0, 0)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were waited between attempts; none of them passes."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        await trio.lowlevel.checkpoint()

    class Trio:
        current_time = staticmethod(trio.current_time)

    Trio.sleep = staticmethod(sleep)  # type: ignore[attr-defined]
    monkeypatch.setattr(retry, "trio", Trio)
    return waited


class Sometimes:
    """Answers as given, one after the other, then well. `bad` may hold anything that an answer may."""

    def __init__(self, *bad: Parts) -> None:
        self.bad = list(bad)

    def __call__(self, asked: Asked) -> Parts:
        return self.bad.pop(0) if self.bad else good(asked)


# Busy


@OPERATIONS
@pytest.mark.parametrize("status", [408, 423, 425, 429, 502, 503, 504, 509])
async def test_a_busy_server_is_asked_again(operation: Operation, status: int, waits: list[float]) -> None:
    async with share(Sometimes(http(status), http(status))) as (remote, _):
        await operation(remote)
    assert len(waits) == 2
    assert 0 < waits[0] < waits[1] < 1


@OPERATIONS
@pytest.mark.parametrize("status", [423, 429, 503])
@pytest.mark.parametrize("date", [False, True], ids=["seconds", "date"])
async def test_a_server_that_names_a_time_is_given_it(
    operation: Operation, status: int, date: bool, waits: list[float]
) -> None:
    """A date counts from the server's own clock, which may be any."""
    after = formatdate(NOW + 3, usegmt=True) if date else "3"
    async with share(Sometimes(http(status, Retry_After=after, Date=DATE))) as (remote, _):
        await operation(remote)
    assert waits == [3.0]


@OPERATIONS
@pytest.mark.parametrize("after", ["9999999999", formatdate(NOW + 10**8, usegmt=True)])
async def test_a_time_that_is_too_long_goes_to_the_caller_within_bounds(
    operation: Operation, after: str, waits: list[float]
) -> None:
    async with share(lambda asked: http(503, Retry_After=after, Date=DATE)) as (remote, server):
        with pytest.raises(ServerBusy) as caught:
            await operation(remote)
        assert caught.value.retry_after == LONGEST_RETRY_AFTER
        assert (len(server.requests), waits) == (1, [])


@pytest.mark.parametrize("after", ["soon", "-5", "", "Tue, 14 Nov 2023 22:13:10 GMT"])
async def test_a_time_that_is_none_is_no_time(after: str, waits: list[float]) -> None:
    async with share(Sometimes(http(503, Retry_After=after, Date=DATE))) as (remote, _):
        await stat(remote)
    assert len(waits) == 1
    assert waits[0] <= 0.25


@OPERATIONS
async def test_a_server_that_stays_busy_is_left(operation: Operation, waits: list[float]) -> None:
    async with share(lambda asked: http(503)) as (remote, server):
        with pytest.raises(ServerBusy):
            await operation(remote)
        assert len(server.requests) == len(waits) + 1 <= 7


# Connections that are closed


@OPERATIONS
@pytest.mark.parametrize("kept", [True, False], ids=["kept connection", "new connection"])
async def test_a_connection_closed_at_the_request_is_replaced_at_once(
    operation: Operation, kept: bool, waits: list[float]
) -> None:
    answer = Sometimes()
    async with share(answer) as (remote, server):
        if kept:
            await operation(remote)
        before = len(server.requests)
        answer.bad.append(HANGUP)
        await operation(remote)
        assert len(server.requests) - before == 2
    assert waits == []


@OPERATIONS
async def test_a_connection_closed_while_it_was_idle_costs_nothing(operation: Operation, waits: list[float]) -> None:
    """What the client sees before it sends, it need not send twice."""
    answer = Sometimes()
    async with share(answer) as (remote, server):
        answer.bad.append([good(Asked("PROPFIND", "/f", {}, b"", 0)), HANGUP])
        await stat(remote)
        await trio.testing.wait_all_tasks_blocked()
        before = len(server.requests)
        await operation(remote)
        assert (len(server.requests) - before, server.connections) == (1, 2)
    assert waits == []


async def test_a_real_server_that_closes_just_when_we_send() -> None:
    """Apache drops a connection when it was idle for 20 ms, or after 5 requests: many of these meet that moment."""
    with apache(extra="KeepAliveTimeout 20ms\nMaxKeepAliveRequests 5") as server:
        (server.data / "f").write_bytes(b"0123456789")
        remote = WebDavRemote(server.url)
        version = (await remote.stat(FILE)).version
        for number in range(100):
            await trio.sleep(0.017 + number % 10 * 0.0006)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(remote.stat, FILE)
                async with remote.read(FILE, version=version) as stream:
                    assert await stream.receive() == b"0123456789"
        await remote.aclose()


@OPERATIONS
@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nETag: ", b"HTTP/1.1 207 Multi-Status\r\n\r\n<?xml"])
async def test_a_server_that_closes_every_connection_is_left(
    operation: Operation, sent: bytes, waits: list[float]
) -> None:
    """With the beginning of an answer before it, or without."""
    async with share(lambda asked: [sent, HANGUP]) as (remote, server):
        with pytest.raises(RemoteError):
            await operation(remote)
        assert 1 <= len(server.requests) <= 9


@OPERATIONS
async def test_an_answer_cut_in_its_headers_is_asked_for_again(operation: Operation, waits: list[float]) -> None:
    async with share(Sometimes([b"HTTP/1.1 200 OK\r\nETag: ", HANGUP])) as (remote, server):
        await operation(remote)
        assert len(server.requests) == 2


async def test_a_listing_cut_anywhere_is_asked_for_again(waits: list[float]) -> None:
    whole = good(Asked("PROPFIND", "/", {}, b"", 0))
    for length in range(0, len(whole), 7):
        async with share(Sometimes([whole[:length], HANGUP])) as (remote, server):
            await listing(remote)
            assert len(server.requests) == 2


# Stalls


STALLS = [[STALL], [b"HTTP/1.1 200 OK\r\n", STALL], [http(207, length=9999), STALL]]


@pytest.mark.parametrize("stall", STALLS, ids=["no answer", "half the headers", "half the body"])
async def test_a_stall_is_left_and_the_request_sent_again(
    stall: Parts, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "STALL_SECONDS", 0.5)
    async with share(Sometimes(stall)) as (remote, server):
        await listing(remote)
        assert (len(server.requests), server.connections) == (2, 2)


async def test_content_that_stalls_is_an_error_after_what_came(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not asked for again here: the caller knows from where to go on."""
    monkeypatch.setattr(session, "STALL_SECONDS", 0.5)
    stalls = [http(200, b"01234", length=10, ETag='"e1"'), STALL]
    async with share(lambda asked: stalls) as (remote, server):
        async with remote.read(FILE, version=VERSION) as stream:
            assert await stream.receive() == b"01234"
            with pytest.raises(Unreachable, match="in time"):
                await stream.receive()
        assert len(server.requests) == 1


# No way there


async def test_what_keeps_us_from_the_server_is_one_line_with_its_address(waits: list[float]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        texts = {
            f"http://127.0.0.1:{port}/": f"127.0.0.1:{port}: connection refused (check the address and the port)",
            "https://no.example/x/": "no.example: name not found (check the address, and the network)",
            "https://later.example/": "later.example: the name cannot be looked up (check the network)",
        }
        for url, text in texts.items():
            remote = WebDavRemote(url)
            with hosts({"127.0.0.1": "127.0.0.1", "later.example": None}), pytest.raises(Unreachable) as caught:
                await remote.connect()
            assert str(caught.value) == text
            await remote.aclose()
    assert len(waits) == len(texts) * (METADATA.attempts - 1)
