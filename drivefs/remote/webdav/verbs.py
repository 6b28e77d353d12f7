"""Single requests that change a share, and what their answers say; the only place that sends such requests.

Nothing is decided or repeated here. An `Answer` tells whether the server said yes, and if not, whether it is certain
that nothing was changed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import httpx
import msgspec
import trio

from drivefs.errors import BadAnswer, RemoteError, Unreachable
from drivefs.model import Ref
from drivefs.remote.webdav.errors import error_of_status
from drivefs.remote.webdav.outgoing import Outgoing
from drivefs.remote.webdav.paths import Base
from drivefs.remote.webdav.session import Session
from drivefs.remote.webdav.xml import MultistatusParser
from drivefs.remote.writing import Content

CERTAIN_5XX: Final = (501, 503, 505, 507)
"""Refusals by a server, or a proxy before it, that did not begin."""
SMALL_BODY: Final = 256 * 1024


class Answer(msgspec.Struct, frozen=True):
    """`error` is None when the server said that it did it. `certain`: with an error, surely nothing was changed.

    `headers` and `body` (of a short answer) as they came.
    """

    status: int = 0
    error: RemoteError | None = None
    certain: bool = True
    headers: httpx.Headers = httpx.Headers()
    body: bytes = b""

    @property
    def done(self) -> bool:
        return self.error is None


class Verbs:
    """The requests, by the names of HTTP. `directory` says that a place is one, whose URL ends with a slash."""

    def __init__(self, session: Session, base: Base) -> None:
        self._session = session
        self.base = base

    def url(self, ref: Ref, *, directory: bool = False) -> str:
        return self.base.url_of(ref.path, directory=directory)

    async def put(self, ref: Ref, content: Content, headers: Mapping[str, str]) -> Answer:
        async with Outgoing(content, self._session.traffic) as outgoing:
            sent = {**headers, **outgoing.headers}
            return await self._send(self._session.content, "PUT", self.url(ref), sent, outgoing)

    async def mkcol(self, ref: Ref) -> Answer:
        return await self._send(self._session.metadata, "MKCOL", self.url(ref, directory=True), {})

    async def delete(self, ref: Ref, headers: Mapping[str, str], *, directory: bool = False) -> Answer:
        return await self._send(self._session.metadata, "DELETE", self.url(ref, directory=directory), headers)

    async def move(
        self, source: Ref, target: Ref, headers: Mapping[str, str], *, replace: bool, directory: bool = False
    ) -> Answer:
        sent = {**headers, **self._destination(target, replace=replace, directory=directory)}
        return await self._send(self._session.metadata, "MOVE", self.url(source, directory=directory), sent)

    async def copy(self, source: Ref, target: Ref) -> Answer:
        """A file, to where nothing stands."""
        sent = {"Depth": "0", **self._destination(target, replace=False, directory=False)}
        return await self._send(self._session.metadata, "COPY", self.url(source), sent)

    async def lock(self, ref: Ref, body: bytes, headers: Mapping[str, str]) -> Answer:
        return await self._send(self._session.metadata, "LOCK", self.url(ref), headers, body)

    async def unlock(self, ref: Ref, token: str) -> Answer:
        return await self._send(self._session.metadata, "UNLOCK", self.url(ref), {"Lock-Token": f"<{token}>"})

    async def propfind(self, ref: Ref, body: bytes) -> Answer:
        """For properties that are no part of an observation (locks)."""
        headers = {"Depth": "0", "Content-Type": "application/xml; charset=utf-8"}
        return await self._send(self._session.metadata, "PROPFIND", self.url(ref), headers, body)

    def _destination(self, target: Ref, *, replace: bool, directory: bool) -> dict[str, str]:
        """Always explicit: the default of Overwrite is T in RFC 4918, and F in older servers built on Go."""
        return {"Destination": self.url(target, directory=directory), "Overwrite": "T" if replace else "F"}

    async def _send(
        self,
        limiter: trio.CapacityLimiter,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes | Outgoing | None = None,
    ) -> Answer:
        what = f"{method} {url}"
        headers = {"Accept-Encoding": "identity", **headers}
        exchange = self._session.exchange(limiter, method, url, headers=headers, content=content)
        try:
            async with exchange as response:
                body = await small_body(exchange.body.receive)
        except RemoteError as failure:
            return Answer(error=failure, certain=was_never_sent(failure))
        status = response.status_code
        if status == 207 and method != "PROPFIND":
            status = worst_of(body)
        if 200 <= status < 300:
            return Answer(status, headers=response.headers, body=body)
        certain = (400 <= status < 500 and status != 408) or status in CERTAIN_5XX
        error = error_of_status(status, what, response.headers)
        return Answer(status, error, certain and response.status_code != 207, response.headers, body)


async def small_body(receive: Callable[[], Awaitable[bytes]]) -> bytes:
    """The start of a body, which for any honest answer to a change is all of it."""
    body = b""
    while len(body) < SMALL_BODY and (piece := await receive()):
        body += piece
    return body


def worst_of(body: bytes) -> int:
    """The status that a 207 holds (RFC 4918 section 13): of the first part that failed by itself, not because of
    another (424); 200 when all went well, and 500 when the answer cannot be understood."""
    parser = MultistatusParser(frozenset())
    try:
        statuses = [part.status or 200 for part in (*parser.feed(body), *parser.close())]
    except BadAnswer:
        return 500
    failed = [status for status in statuses if status >= 300]
    causes = [status for status in failed if status != 424]
    return (causes or failed or [200])[0] if statuses else 500


def was_never_sent(error: RemoteError) -> bool:
    """Whether a request failed before its first byte went out, or was refused by the server for who we are."""
    if isinstance(error, Unreachable):
        return isinstance(error.__cause__, httpx.ConnectError | httpx.ConnectTimeout)
    return error.account_wide or (isinstance(error, BadAnswer) and error.__cause__ is None)  # a redirect
