"""Shares that ask who is there, and remotes that are opened on them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from drivefs.model import Ref
from drivefs.remote.open import open_remote
from drivefs.remote.webdav.auth import Credentials, Scheme
from drivefs.remote.webdav.client import WebDavRemote
from tests.support.names import hosts
from tests.support.scripted import Asked, Parts, Scripted, folder, http, multistatus, scripted

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
