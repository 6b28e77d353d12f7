"""How the client logs in: by what the server asks for, once for all, never twice with what was refused."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
import trio

from drivefs.errors import BadAnswer, NotPermitted, Unauthorized, Unreachable
from drivefs.model import Ref
from drivefs.remote import retry
from drivefs.remote.open import open_remote
from drivefs.remote.webdav.auth import Credentials, Scheme
from drivefs.remote.webdav.body import SentBytes
from drivefs.remote.webdav.client import WebDavRemote
from drivefs.remote.webdav.keys import Nonce
from drivefs.remote.webdav.login import FIRST_PAUSE, Login
from drivefs.remote.webdav.session import Cookies
from tests.support.digests import DigestShare
from tests.support.names import hosts
from tests.support.scripted import HANGUP, Asked, Parts, Scripted, folder, http, multistatus, scripted

ANN = Credentials("ann", "s3cret ü")
BASIC = "Basic YW5uOnMzY3JldCDDvA=="
TOKEN = Credentials("", "t0ken-abc")


class NoHome:
    """For logins that are never in doubt."""

    method, url = "PROPFIND", "https://h/home/"

    async def ask(self, proof: bytes) -> int:
        raise AssertionError


HOME = NoHome()


def share(asked: Asked) -> bytes:
    return http(207, multistatus(folder(asked.target))) if asked.method == "PROPFIND" else http(200, DAV="1")


def asking(challenge: str, right: str) -> Callable[[Asked], bytes]:
    """A share that wants this very Authorization."""
    return lambda asked: (
        share(asked) if asked.headers.get("authorization") == right else http(401, WWW_Authenticate=challenge)
    )


@asynccontextmanager
async def opened(
    answer: Callable[[Asked], Parts],
    credentials: Credentials | None = ANN,
    auth: Scheme = "auto",
    *,
    host: str = "127.0.0.1",
    insecure: bool = False,
) -> AsyncIterator[tuple[WebDavRemote, Scripted]]:
    async with scripted(answer) as server:
        with hosts({"cloud.example": "127.0.0.1"}):
            url = server.url.replace("127.0.0.1", host)
            remote = open_remote(url, credentials=credentials, auth=auth, allow_insecure_auth=insecure)
            yield remote, server
            await remote.aclose()


async def stat_all(remote: WebDavRemote, count: int) -> None:
    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(remote.stat, Ref((f"d{number}",)))


def proofs(server: Scripted) -> list[str | None]:
    return [asked.headers.get("authorization") for asked in server.requests]


# What the server asks for


async def test_basic_is_given_when_it_is_asked_for_and_then_with_each_request() -> None:
    async with opened(asking('Basic realm="r"', BASIC)) as (remote, server):
        await remote.connect()
        await stat_all(remote, 3)
        assert proofs(server) == [None, BASIC, BASIC, BASIC, BASIC, BASIC]


@pytest.mark.parametrize("auth", ["basic", "bearer"])
async def test_a_scheme_that_was_chosen_is_used_at_once(auth: Scheme) -> None:
    credentials, proof = (ANN, BASIC) if auth == "basic" else (TOKEN, "Bearer t0ken-abc")
    async with opened(asking("Other", proof), credentials, auth) as (remote, server):
        await remote.connect()
        assert proofs(server) == [proof, proof]


async def test_a_token_that_is_not_accepted_is_told() -> None:
    async with opened(asking('Bearer error="invalid_token"', "Bearer new"), TOKEN, "bearer") as (remote, _):
        with pytest.raises(Unauthorized, match="the token was not accepted"):
            await remote.connect()


async def test_a_server_that_asks_for_a_token_is_told_how_to_get_it() -> None:
    async with opened(asking("Bearer", "Bearer x")) as (remote, server):
        with pytest.raises(Unauthorized, match="--auth bearer"):
            await remote.connect()
        assert proofs(server) == [None]


async def test_a_server_that_asks_for_nobody_shows_us_what_is_ours() -> None:
    """It may show less to strangers: the later requests come with the password all the same."""
    async with opened(share) as (remote, server):
        await remote.connect()
        assert proofs(server) == [None, BASIC]


async def test_without_a_user_the_error_says_what_to_give() -> None:
    async with opened(asking("Basic realm=r", BASIC), None) as (remote, _):
        with pytest.raises(Unauthorized, match="--user NAME"):
            await remote.connect()


# Digest


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
async def test_digest(algorithm: str) -> None:
    digests = DigestShare(share, ANN.password, algorithm=algorithm)
    async with opened(digests) as (remote, _):
        await remote.connect()
        await stat_all(remote, 20)
    assert digests.answers == {"asked": 1, "right": 22}


async def test_many_at_once_ask_once() -> None:
    digests = DigestShare(share, ANN.password)
    async with opened(digests) as (remote, _):
        await stat_all(remote, 20)
    assert digests.answers == {"asked": 1, "right": 20}


@pytest.mark.parametrize(
    ("says_stale", "answers"),
    [(True, {"asked": 1, "stale": 3, "right": 20}), (False, {"asked": 1, "stale": 4, "right": 24})],
)
async def test_a_nonce_that_is_used_up_is_replaced(says_stale: bool, answers: dict[str, int]) -> None:
    """A server that does not say so may mean that only this folder is not for us: the root is asked to tell."""
    digests = DigestShare(share, ANN.password, uses=5, says_stale=says_stale)
    async with opened(digests) as (remote, _):
        for number in range(20):
            await remote.stat(Ref((f"d{number}",)))
        assert digests.answers == answers


async def test_nonces_for_one_use_are_no_trouble_for_many_at_once() -> None:
    digests = DigestShare(share, ANN.password, uses=1)
    async with opened(digests) as (remote, _):
        await remote.connect()
        await stat_all(remote, 20)
    assert digests.answers["right"] == 22
    assert digests.answers["wrong"] == 0
    assert digests.answers["stale"] <= 21


async def test_the_nonce_that_the_server_names_next_is_used() -> None:
    digests = DigestShare(share, ANN.password, uses=1, names_next=True)
    async with opened(digests) as (remote, _):
        for number in range(10):
            await remote.stat(Ref((f"d{number}",)))
    assert digests.answers == {"asked": 1, "right": 10}


async def test_a_server_that_finds_every_nonce_stale_is_left() -> None:
    digests = DigestShare(share, ANN.password, uses=0)
    async with opened(digests) as (remote, server):
        with pytest.raises(Unauthorized, match="every fresh nonce"):
            await remote.connect()
        assert len(server.requests) == 4


async def test_a_body_is_sent_again_whole() -> None:
    digests = DigestShare(share, ANN.password, uses=1)
    async with opened(digests) as (remote, server):
        session = remote._session
        for _ in range(2):
            headers = {"Content-Length": "7"}
            put = session.exchange(session.content, "PUT", server.url, headers=headers, content=SentBytes(b"content"))
            async with put as response:
                assert response.status_code == 200
        assert [asked.body for asked in server.requests] == [b"content"] * 4
        assert "transfer-encoding" not in server.requests[-1].headers


# Who may listen


async def test_digest_goes_before_basic_where_others_may_listen() -> None:
    digests = DigestShare(share, ANN.password)

    def basic_too(asked: Asked) -> Parts:
        parts = digests(asked)
        assert isinstance(parts, bytes)
        return parts.replace(b"\r\n", b'\r\nWWW-Authenticate: Basic realm="b"\r\n', 1)

    async with opened(basic_too, host="cloud.example") as (remote, _):
        await remote.connect()
    assert digests.answers == {"asked": 1, "right": 2}


async def test_a_password_is_never_sent_unencrypted_unasked() -> None:
    async with opened(asking('Basic realm="r"', BASIC), host="cloud.example") as (remote, server):
        with pytest.raises(Unauthorized, match="--insecure-auth"):
            await remote.connect()
        assert proofs(server) == [None]


async def test_a_password_is_sent_unencrypted_when_that_was_allowed() -> None:
    async with opened(asking('Basic realm="r"', BASIC), host="cloud.example", insecure=True) as (remote, server):
        await remote.connect()
        assert proofs(server) == [None, BASIC, BASIC]


async def test_what_was_learned_over_https_is_not_sent_over_http() -> None:
    """A server that redirects to https is asked over http first, each time anew."""
    login = Login(ANN)
    sent: list[tuple[str, bytes | None]] = []

    async def ask(url: str) -> None:
        async def send(proof: bytes | None) -> httpx.Response:
            await trio.lowlevel.checkpoint()
            sent.append((url[:5], proof))
            asked = url.startswith("https") and proof is None
            return httpx.Response(401 if asked else 200, headers={"WWW-Authenticate": "Basic realm=r"})

        await login.request("GET", url, send, HOME)

    for url in ("http://h/", "https://h/", "http://h/", "https://h/"):
        await ask(url)
    proof = BASIC.encode()
    assert sent == [("http:", None), ("https", None), ("https", proof), ("http:", None), ("https", proof)]


async def test_in_doubt_nothing_is_sent_over_http_either() -> None:
    """The root is asked when a folder refuses us; but not where it is an http address that redirects to https."""

    class OpenHome(NoHome):
        url = "http://h/"

    login, statuses = Login(ANN), iter((401, 200, 401))

    async def send(proof: bytes | None) -> httpx.Response:
        await trio.lowlevel.checkpoint()
        return httpx.Response(next(statuses), headers={"WWW-Authenticate": "Basic realm=r"})

    await login.request("GET", "https://h/f", send, OpenHome())
    with pytest.raises(Unauthorized):
        await login.request("GET", "https://h/private", send, OpenHome())


@pytest.mark.parametrize("host", ["127.0.0.2", "other.example"])
async def test_nothing_of_ours_goes_to_where_a_redirect_leads(host: str) -> None:
    async with scripted(share) as other:
        led_on = http(307, Location=other.url.replace("127.0.0.1", host), Set_Cookie="session=1")
        with hosts({"other.example": "127.0.0.1"}):
            async with opened(lambda asked: led_on, auth="basic") as (remote, server):
                session = remote._session
                with pytest.raises(BadAnswer):
                    async with session.exchange(session.content, "GET", server.url + "f", headers={}):
                        raise AssertionError
        assert other.connections == 0


def test_a_cookie_that_came_over_https_does_not_go_over_http() -> None:
    client = httpx.Client(cookies=Cookies())
    for url, name in (("https://h/", "secret"), ("http://h/", "open")):
        answer = httpx.Response(200, headers={"Set-Cookie": f"{name}=1"}, request=httpx.Request("GET", url))
        client.cookies.extract_cookies(answer)
    assert client.build_request("GET", "https://h/").headers["cookie"] == "secret=1; open=1"
    assert client.build_request("GET", "http://h/").headers["cookie"] == "open=1"
    assert "cookie" not in client.build_request("GET", "https://other/").headers
    client.close()


# What was refused


async def test_a_wrong_password_is_tried_once_by_all_together() -> None:
    async with opened(asking("Basic realm=r", "Basic other")) as (remote, server):
        refused = 0

        async def stat() -> None:
            nonlocal refused
            with pytest.raises(Unauthorized, match="check the user name and the password"):
                await remote.stat(Ref(("f",)))
            refused += 1

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(stat)
        assert refused == 20
        assert proofs(server) == [None, BASIC]


@pytest.mark.parametrize("uses", [1000, 0])
async def test_a_wrong_password_is_tried_once_by_digest(uses: int) -> None:
    digests = DigestShare(share, "another password", uses=uses)
    async with opened(digests) as (remote, _):
        for _ in range(5):
            with pytest.raises(Unauthorized):
                await remote.stat(Ref(("f",)))
    assert digests.answers == {"asked": 1, "wrong": 1}


@pytest.mark.parametrize(("path", "together"), [((), 1), (("f",), 1), (("f",), 5)])
async def test_a_password_that_is_changed_meanwhile_is_noticed_soon(path: tuple[str, ...], together: int) -> None:
    """It is tried once more, with a fresh nonce or at the root. What is under way by then cannot be called back."""
    digests = DigestShare(share, ANN.password)
    async with opened(digests) as (remote, _):
        await remote.connect()
        digests.password = "changed"

        async def stat() -> None:
            with pytest.raises(Unauthorized):
                await remote.stat(Ref(path))

        async with trio.open_nursery() as nursery:
            for _ in range(together):
                nursery.start_soon(stat)
        for _ in range(5):
            with pytest.raises(Unauthorized):
                await remote.stat(Ref(("f",)))
    assert digests.answers == {"asked": 1, "right": 2, "wrong": together + 1}


async def test_a_folder_that_is_not_for_us_is_not_taken_for_a_wrong_password() -> None:
    right = asking("Basic realm=r", BASIC)
    async with opened(lambda asked: http(401) if asked.target == "/private" else right(asked)) as (remote, server):
        await remote.connect()
        before = len(server.requests)
        for _ in range(3):
            with pytest.raises(NotPermitted, match="not for this user"):
                await remote.stat(Ref(("private",)))
            await remote.stat(Ref(("public",)))
        assert len(server.requests) - before == 9


async def test_after_a_refusal_nothing_is_sent_until_somebody_asks() -> None:
    right = asking("Basic realm=r", BASIC)
    locked = True
    async with opened(lambda asked: http(401) if locked else right(asked), auth="basic") as (remote, server):
        with pytest.raises(Unauthorized):
            await remote.connect()
        for _ in range(10):
            with pytest.raises(Unauthorized, match="not tried again for now"):
                await remote.stat(Ref(("f",)))
        assert len(server.requests) == 1
        with pytest.raises(Unauthorized):
            await remote.stat(Ref())  # a person asks, in vain
        assert len(server.requests) == 2
        locked = False
        await remote.connect()
        await remote.stat(Ref(("f",)))


async def test_the_pause_after_a_refusal_grows_and_ends(autojump_clock: trio.testing.MockClock) -> None:
    login, times = Login(ANN, "basic"), list[float]()
    start = trio.current_time()

    async def refuse(proof: bytes | None) -> httpx.Response:
        await trio.lowlevel.checkpoint()
        times.append(round((trio.current_time() - start) / FIRST_PAUSE))
        return httpx.Response(401)

    while trio.current_time() - start < 130 * FIRST_PAUSE:
        with pytest.raises(Unauthorized):
            await login.request("GET", "https://h/", refuse, HOME)
        await trio.sleep(1)
    assert times[:7] == [0, 1, 3, 7, 15, 31, 63]
    assert times[7] == 123  # an hour at most


async def test_who_waits_for_a_login_gets_its_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the one request that finds out cannot reach the server, the others do not stand in line for the same."""
    monkeypatch.setattr(retry, "delay_before", lambda *_: 0.0)
    async with opened(lambda asked: HANGUP, auth="basic") as (remote, server):

        async def stat() -> None:
            with pytest.raises(Unreachable):
                await remote.stat(Ref(("f",)))

        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                for _ in range(5):
                    nursery.start_soon(stat)
        assert len(server.requests) <= 5 * 6


async def test_a_cancelled_login_lets_the_next_one_try() -> None:
    login, entered, proofs = Login(ANN, "basic"), trio.Event(), list[bytes | None]()
    hanging = trio.CancelScope()

    async def hang(proof: bytes | None) -> httpx.Response:
        entered.set()
        await trio.sleep_forever()
        raise AssertionError

    async def succeed(proof: bytes | None) -> httpx.Response:
        await trio.lowlevel.checkpoint()
        proofs.append(proof)
        return httpx.Response(200)

    async def first() -> None:
        with hanging:
            await login.request("GET", "https://h/", hang, HOME)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(first)
        await entered.wait()
        nursery.start_soon(login.request, "GET", "https://h/", succeed, HOME)
        await trio.testing.wait_all_tasks_blocked()
        assert proofs == []
        hanging.cancel()
    assert proofs == [BASIC.encode()]


async def test_a_nonce_for_one_use_is_not_lost_to_a_faster_request() -> None:
    """The worst order of events: whatever nonce is shared, another request uses it up first."""
    login, used, count = Login(ANN), set[str](), 0

    async def send(proof: bytes | None) -> httpx.Response:
        nonlocal count
        await trio.lowlevel.checkpoint()
        count += 1
        if isinstance(login._key, Nonce):
            used.add(login._key.question.nonce)
        ours = re.search(rb' nonce="(\d+)"', proof or b"")
        if ours and ours[1].decode() not in used:
            return httpx.Response(200)
        challenge = f'Digest realm="r", qop="auth", nonce="{count}", stale=true'
        return httpx.Response(401, headers={"WWW-Authenticate": challenge})

    await login.request("GET", "https://h/", send, HOME)
    assert count == 4
