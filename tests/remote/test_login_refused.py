"""What was refused is not sent again: not by others at the same time, and not for a while."""

from __future__ import annotations

import httpx
import pytest
import trio

from drivefs.errors import NotPermitted, Unauthorized, Unreachable
from drivefs.model import Ref
from drivefs.remote import retry
from drivefs.remote.webdav.login import FIRST_PAUSE, Login
from tests.remote.logins import ANN, BASIC, HOME, asking, opened, proofs, share
from tests.support.digests import DigestShare
from tests.support.scripted import HANGUP, http


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
