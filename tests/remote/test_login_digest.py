"""Digest with servers that are strict with their nonces, in one way or another."""

from __future__ import annotations

import re

import httpx
import pytest
import trio

from drivefs.errors import Unauthorized
from drivefs.model import Ref
from drivefs.remote.webdav.body import SentBytes
from drivefs.remote.webdav.keys import Nonce
from drivefs.remote.webdav.login import Login
from tests.remote.logins import ANN, HOME, opened, share, stat_all
from tests.support.digests import DigestShare


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
