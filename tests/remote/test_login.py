"""How the client logs in: by what the server asks for, once for all; and where a secret never goes."""

from __future__ import annotations

import httpx
import pytest
import trio

from drivefs.errors import BadAnswer, Unauthorized
from drivefs.remote.webdav.auth import Scheme
from drivefs.remote.webdav.login import Login
from drivefs.remote.webdav.session import Cookies
from tests.remote.logins import ANN, BASIC, HOME, TOKEN, NoHome, asking, opened, proofs, share, stat_all
from tests.support.digests import DigestShare
from tests.support.names import hosts
from tests.support.scripted import Asked, Parts, http, scripted


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
