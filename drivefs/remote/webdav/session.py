"""One HTTP session with one server: sends requests, follows redirects by our rule, counts, and lets go.

Here stands all that drivefs decides about HTTP itself: HTTP/1.1 only (concurrent streams over one HTTP/2
connection can deadlock in httpcore), proxies only when asked for, explicit timeouts, cookies kept, and two limits of
requests at a time, so that a folder never waits behind big files. Nothing here knows WebDAV's XML.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final

import certifi
import httpcore
import httpx
import trio

from drivefs import __version__
from drivefs.errors import BadAnswer, RemoteError, UsageError
from drivefs.remote.base import RequestHook, Traffic
from drivefs.remote.webdav import redirects
from drivefs.remote.webdav.body import CLOSE_SECONDS, Body, SentBytes
from drivefs.remote.webdav.errors import mapped

CONNECT_SECONDS: Final = 10.0
STALL_SECONDS: Final = 30.0
"""How long one read or write may bring nothing."""
KEEPALIVE_SECONDS: Final = 4.0
"""Apache closes after 5: being first avoids the race of both closing and sending."""
SOCKET_READ_BYTES: Final = 256 * 1024


def read_in_large_pieces(size: int = SOCKET_READ_BYTES) -> None:
    """Let httpcore ask the socket for more than 64 KiB at a time: its default limits the speed of downloads.

    There is no public way; a test holds that the name exists and is what counts. It is the same for all users of
    httpcore in this process, which does no harm: it is an upper bound.
    """
    httpcore._async.http11.AsyncHTTP11Connection.READ_NUM_BYTES = size


def trust(ca_cert: Path | None) -> ssl.SSLContext:
    """The system's trusted authorities (certifi's where it has none), and those of `ca_cert` in addition."""
    context = ssl.create_default_context()
    if not system_has_authorities():
        context.load_verify_locations(certifi.where())
    if ca_cert is not None:
        try:
            context.load_verify_locations(ca_cert)
        except OSError as error:
            raise UsageError(f"{ca_cert}: not a file of CA certificates in PEM form ({error})") from error
    return context


def system_has_authorities() -> bool:
    """False on a system without the usual certificates package."""
    found = ssl.get_default_verify_paths()
    return bool(found.cafile and os.path.isfile(found.cafile)) or bool(
        found.capath and os.path.isdir(found.capath) and os.listdir(found.capath)
    )


class Session:
    """See the module. `path` in hooks is the encoded path of the URL."""

    def __init__(
        self,
        *,
        auth: httpx.Auth | None,
        context: ssl.SSLContext,
        metadata_connections: int,
        content_connections: int,
        trust_env: bool,
        hook: RequestHook | None,
    ) -> None:
        read_in_large_pieces()
        self.metadata = trio.CapacityLimiter(metadata_connections)
        self.content = trio.CapacityLimiter(content_connections)
        self.traffic = Traffic()
        self._hook = hook
        self._client = httpx.AsyncClient(
            auth=auth,
            verify=context,
            http2=False,
            trust_env=trust_env,
            follow_redirects=False,
            timeout=httpx.Timeout(STALL_SECONDS, connect=CONNECT_SECONDS, pool=None),
            limits=httpx.Limits(
                max_connections=None,
                max_keepalive_connections=metadata_connections + content_connections,
                keepalive_expiry=KEEPALIVE_SECONDS,
            ),
            headers={"User-Agent": f"drivefs/{__version__}", "Accept": "*/*"},
        )

    def exchange(
        self,
        limiter: trio.CapacityLimiter,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        content: bytes | None = None,
    ) -> Exchange:
        """One request, sent when the result is entered; leaving it lets go of the connection.

        `limiter` is this session's `metadata` or `content`.
        """
        return Exchange(self, limiter, method, url, headers, content)

    async def aclose(self) -> None:
        with trio.move_on_after(CLOSE_SECONDS, shield=True):
            await self._client.aclose()

    async def send(self, method: str, url: str, headers: Mapping[str, str], content: bytes | None) -> httpx.Response:
        """The start of an answer, whatever its status. Raises the errors of the way there."""
        what = f"{method} {url}"
        self.traffic.requests += 1
        self.tell("request", method, url)
        try:
            with mapped(what, answered=False):
                request = self._client.build_request(method, url, headers=dict(headers), content=content)
                request.stream = SentBytes(content or b"")
                response = await self._client.send(request, stream=True)
        except RemoteError as error:
            self.traffic.failed += 1
            self.tell(type(error).__name__, method, url)
            raise
        self.tell(str(response.status_code), method, url)
        return response

    def tell(self, event: str, method: str, url: str) -> None:
        if self._hook is not None:
            self._hook(event, method, shown(url))


class Exchange:
    """A request and its answer, as a context; redirects are followed on the way in."""

    def __init__(
        self,
        session: Session,
        limiter: trio.CapacityLimiter,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes | None,
    ) -> None:
        self._session = session
        self._limiter = limiter
        self._method = method
        self._headers = headers
        self._content = content
        self._body: Body | None = None
        self.url = url
        """Where the answer came from in the end."""
        self.moved_to: str | None = None
        """Where the answer came from, if each redirect on the way was a permanent one."""

    @property
    def body(self) -> Body:
        assert self._body is not None, "the exchange was not entered"
        return self._body

    async def __aenter__(self) -> httpx.Response:
        # On behalf of the exchange: one task may hold several streams open, and close them elsewhere.
        await self._limiter.acquire_on_behalf_of(self)
        try:
            return await self._send_and_follow()
        except BaseException:
            await self._let_go()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._let_go()

    async def _send_and_follow(self) -> httpx.Response:
        all_permanent = True
        for _ in range(redirects.LIMIT + 1):
            response = await self._session.send(self._method, self.url, self._headers, self._content)
            self._body = Body(response, f"{self._method} {self.url}")
            status, location = response.status_code, response.headers.get("location")
            if status not in redirects.STATUSES or location is None:
                return response
            await self._body.drain()
            await self._body.aclose()
            self.url = redirects.target(self._method, self.url, status, location)
            all_permanent = all_permanent and status in redirects.PERMANENT
            self.moved_to = self.url if all_permanent else None
        raise BadAnswer(f"{self._method} {self.url}: the server redirects without end")

    async def _let_go(self) -> None:
        try:
            if self._body is not None:
                await self._body.aclose()
        finally:
            self._limiter.release_on_behalf_of(self)


def shown(url: str) -> str:
    """A URL as hooks are told it: its path."""
    return "/" + url.partition("://")[2].partition("/")[2]
