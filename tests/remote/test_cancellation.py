"""Each await of the WebDAV client is cancelled in turn; whatever happened, the remote must go on and hold nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio

from drivefs.model import Ref, Version
from drivefs.remote.webdav.auth import Credentials
from drivefs.remote.webdav.client import WebDavRemote
from tests.support.digests import DigestShare
from tests.support.scripted import Answer, Asked, file, folder, http, multistatus, scripted

FILE = Ref(("f",))
VERSION = Version("e1", 300_000)
ANN = Credentials("ann", "s3cret")


class CancelAtStep(trio.abc.Instrument):
    """Cancels `scope` just before the task that made this takes its n-th step."""

    def __init__(self, step: int) -> None:
        self.left = step
        self.scope = trio.CancelScope()
        self.task = trio.lowlevel.current_task()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self.task:
            self.left -= 1
            if self.left == 0:
                self.scope.cancel()


def answer(asked: Asked) -> bytes:
    if asked.method == "OPTIONS":
        return http(200, DAV="1")
    if asked.method == "GET":
        return http(200, bytes(300_000), ETag='"e1"')
    if asked.target == "/f":
        return http(207, multistatus(file("/f", size=300_000)))
    if not asked.target.endswith("/"):
        return http(301, Location=asked.target + "/")
    return http(207, multistatus(folder(asked.target), *(file(f"{asked.target}{n}") for n in range(300))))


async def listing(remote: WebDavRemote) -> None:
    assert len((await remote.list(Ref())).children) == 300


async def stat_of_a_folder(remote: WebDavRemote) -> None:
    await remote.stat(Ref(("d",)))


async def content(remote: WebDavRemote) -> None:
    received = 0
    async with remote.read(FILE, version=VERSION) as stream:
        while piece := await stream.receive():
            received += len(piece)
    assert received == 300_000


async def connecting(remote: WebDavRemote) -> None:
    await remote.connect()


def assert_holds_nothing(remote: WebDavRemote) -> None:
    session = remote._session
    assert (session.metadata.borrowed_tokens, session.content.borrowed_tokens) == (0, 0)
    pool = session._client._transport._pool  # type: ignore[attr-defined]
    assert all(connection.is_idle() or connection.is_closed() for connection in pool.connections)
    assert len(pool.connections) <= 2


PLAIN = "without a login"
LOGINS: dict[str, Callable[[], Answer]] = {
    PLAIN: lambda: answer,
    "digest": lambda: DigestShare(answer, ANN.password),
    "digest, each nonce once": lambda: DigestShare(answer, ANN.password, uses=1),
}


@pytest.mark.parametrize("operation", [connecting, listing, stat_of_a_folder, content])
@pytest.mark.parametrize("fresh", [True, False], ids=["new connection", "kept connection"])
@pytest.mark.parametrize("login", LOGINS)
async def test_cancelled_anywhere(
    operation: Callable[[WebDavRemote], Awaitable[None]], fresh: bool, login: str
) -> None:
    cancelled = 0

    def opened() -> WebDavRemote:
        credentials = None if login == PLAIN else ANN
        return WebDavRemote(server.url, credentials=credentials, metadata_connections=1, content_connections=1)

    async with scripted(LOGINS[login]()) as server:
        remote = opened()
        for step in range(1, 1000):
            if fresh:
                await remote.aclose()
                remote = opened()
            cut = CancelAtStep(step)
            trio.lowlevel.add_instrument(cut)
            with cut.scope:
                await operation(remote)
            trio.lowlevel.remove_instrument(cut)
            if cut.left > 0:
                break  # it ended before this step
            cancelled += cut.scope.cancelled_caught
            assert_holds_nothing(remote)
            with trio.fail_after(5):
                await operation(remote)  # would wait for ever for a place that was not given back
        await remote.aclose()
    assert cancelled >= 3
