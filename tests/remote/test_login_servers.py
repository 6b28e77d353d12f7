"""Logging in to real servers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial

import pytest
import trio

from drivefs.errors import NotPermitted, Unauthorized
from drivefs.model import Ref
from drivefs.remote.open import open_remote
from drivefs.remote.webdav.auth import Credentials
from drivefs.remote.webdav.body import SentBytes
from tests.support.servers import Server, apache, rclone, wsgidav

ANN = Credentials("ann", "s3cret ü")
USERS = {ANN.user: ANN.password}
NAMES = ("f", "a%41b", "ä ö", "q?x=1&y", 'quote"', "hash#", "semi;colon,comma")
"""The path is a part of what Digest proves: odd names show whether both sides take it the same way."""

SERVERS: dict[str, Callable[[], AbstractContextManager[Server]]] = {
    "apache basic": partial(apache, users=USERS),
    "apache basic tls": partial(apache, users=USERS, tls=True),
    "apache digest": partial(apache, users=USERS, digest=300),
    "apache digest tls": partial(apache, users=USERS, digest=300, tls=True),
    "apache digest, next nonce told": partial(apache, users=USERS, digest=20),
    "wsgidav basic": partial(wsgidav, users=USERS),
    "wsgidav digest": partial(wsgidav, users=USERS, digest=True),
    "rclone basic": partial(rclone, users=USERS),
}


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with SERVERS[request.param]() as server:
        yield server


async def test_all_is_there_for_who_knows_the_password(server: Server) -> None:
    for name in NAMES:
        (server.data / name).write_bytes(name.encode())
    events = Counter[str]()
    remote = open_remote(
        server.url, credentials=ANN, ca_cert=server.ca_cert, hook=lambda event, *_: events.update([event])
    )
    await remote.connect()
    listing = await remote.list(Ref())
    assert {child.name for child in listing.children} == set(NAMES)

    async def read(name: str) -> None:
        version = (await remote.stat(Ref((name,)))).version
        async with remote.read(Ref((name,)), version=version) as stream:
            assert await stream.receive() == name.encode()

    async with trio.open_nursery() as nursery:
        for name in NAMES:
            nursery.start_soon(read, name)
    await remote.aclose()
    # Asked once, for all that followed. rclone answers OPTIONS to strangers, so what comes next has the password.
    assert events["401"] == (0 if server.name == "rclone" else 1)


async def test_who_does_not_is_told_so_after_one_attempt(server: Server) -> None:
    events = Counter[str]()
    wrong = Credentials("ann", "wrong")
    remote = open_remote(
        server.url, credentials=wrong, ca_cert=server.ca_cert, hook=lambda event, *_: events.update([event])
    )
    for _ in range(3):
        with pytest.raises(Unauthorized):
            await remote.stat(Ref(("f",)))
    await remote.aclose()
    assert events["401"] == 2  # the question, and the answer to the wrong password


async def test_apaches_nonces_for_one_request_each() -> None:
    with apache(users=USERS, digest=0) as server:
        remote = open_remote(server.url, credentials=ANN)
        for _ in range(5):
            await remote.connect()
        await remote.aclose()
        statuses = Counter(request.status for request in server.requests(at_least=11))
        assert (statuses[200], statuses[207]) == (5, 5)


async def test_apaches_nonces_that_became_stale() -> None:
    with apache(users=USERS, digest=1) as server:
        remote = open_remote(server.url, credentials=ANN)
        await remote.connect()
        await trio.sleep(2.1)  # their clock is the system's
        await remote.connect()
        await remote.aclose()
        assert Counter(request.status for request in server.requests(at_least=5))[401] == 2


@pytest.mark.parametrize("digest", [None, 300])
async def test_apache_answers_401_for_a_folder_of_somebody_else(digest: int | None) -> None:
    private = "<Location /private>\nRequire user bob\n</Location>"
    with apache(users=USERS, digest=digest, extra=private) as server:
        (server.data / "private").mkdir()
        (server.data / "f").touch()
        remote = open_remote(server.url, credentials=ANN)
        await remote.connect()
        with pytest.raises(NotPermitted):
            await remote.list(Ref(("private",)))
        await remote.stat(Ref(("f",)))
        await remote.aclose()


@pytest.mark.parametrize("start", [lambda: apache(users=USERS, digest=0), lambda: wsgidav(users=USERS, digest=True)])
async def test_an_upload_is_sent_again_whole_after_a_stale_nonce(
    start: Callable[[], AbstractContextManager[Server]],
) -> None:
    content = bytes(range(256)) * 4000
    with start() as server:
        remote = open_remote(server.url, credentials=ANN)
        for name in ("a", "b", "c"):  # the first without any nonce, on Apache the others with used ones
            headers = {"Content-Length": str(len(content))}
            session = remote._session
            url = f"{server.url}{name}"
            async with session.exchange(
                session.content, "PUT", url, headers=headers, content=SentBytes(content)
            ) as answer:
                assert answer.status_code == 201
            assert (server.data / name).read_bytes() == content
        await remote.aclose()
