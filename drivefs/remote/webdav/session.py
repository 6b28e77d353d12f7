"""One HTTP session with one server: sends requests, follows redirects by our rule, counts, and lets go.

Here stands all that drivefs decides about HTTP itself: HTTP/1.1 only (concurrent streams over one HTTP/2
connection can deadlock in httpcore), proxies only when asked for, explicit timeouts, cookies kept, and two limits of
requests at a time, so that a folder never waits behind big files. Nothing here knows WebDAV's XML.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from http.cookiejar import Cookie, CookieJar
from types import TracebackType
from typing import Any, Final

import httpcore
import httpx
import trio

from drivefs import __version__
from drivefs.errors import BadAnswer, RemoteError, TlsError
from drivefs.remote.base import RequestHook, Traffic
from drivefs.remote.webdav import redirects
from drivefs.remote.webdav.body import CLOSE_SECONDS, Body, SentBytes
from drivefs.remote.webdav.errors import UntrustedCertificate, mapped
from drivefs.remote.webdav.login import Login
from drivefs.remote.webdav.tls import ask_fingerprint

CONNECT_SECONDS: Final = 10.0
STALL_SECONDS: Final = 30.0
"""How long one read or write may bring nothing."""
CHANGE_SECONDS: Final = 300.0
"""How long the answer to one of `SLOW_METHODS` may take: a server may have gigabytes to copy or to put together."""
SLOW_METHODS: Final = frozenset(("PUT", "MOVE", "COPY", "DELETE"))
KEEPALIVE_SECONDS: Final = 4.0
"""Apache closes after 5: being first avoids the race of both closing and sending."""
SOCKET_READ_BYTES: Final = 256 * 1024

Content = bytes | httpx.AsyncByteStream
"""The body of a request. It may be sent more than once: each `async for` over a stream starts anew."""


def read_in_large_pieces(size: int = SOCKET_READ_BYTES) -> None:
    """Let httpcore ask the socket for more than 64 KiB at a time: its default limits the speed of downloads.

    There is no public way; a test holds that the name exists and is what counts. It is the same for all users of
    httpcore in this process, which does no harm: it is an upper bound.
    """
    httpcore._async.http11.AsyncHTTP11Connection.READ_NUM_BYTES = size


def patience_with(method: str) -> httpx.Timeout:
    read = CHANGE_SECONDS if method in SLOW_METHODS else STALL_SECONDS
    return httpx.Timeout(STALL_SECONDS, connect=CONNECT_SECONDS, read=read, pool=None)


class Cookies(CookieJar):
    """Keeps to https what came over https, also where the server forgot to say so: an http address may redirect."""

    def make_cookies(self, response: Any, request: Any) -> Sequence[Cookie]:
        cookies = super().make_cookies(response, request)
        for cookie in cookies:
            cookie.secure = cookie.secure or request.type == "https"
        return cookies


class Session:
    """See the module. `path` in hooks is the encoded path of the URL."""

    def __init__(
        self,
        *,
        login: Login,
        home: str,
        context: ssl.SSLContext,
        metadata_connections: int,
        content_connections: int,
        trust_env: bool,
        hook: RequestHook | None,
    ) -> None:
        read_in_large_pieces()
        self.metadata = trio.CapacityLimiter(metadata_connections)
        self.content = trio.CapacityLimiter(content_connections)
        self.login = login
        self.home = Root(self, home)
        self.traffic = Traffic()
        self._hook = hook
        self._client = httpx.AsyncClient(
            verify=context,
            cookies=Cookies(),
            http2=False,
            trust_env=trust_env,
            follow_redirects=False,
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
        content: Content | None = None,
    ) -> Exchange:
        """One request, sent when the result is entered; leaving it lets go of the connection.

        `limiter` is this session's `metadata` or `content`. A stream's length stands in `headers` (Content-Length).
        """
        return Exchange(self, limiter, method, url, headers, content)

    async def aclose(self) -> None:
        with trio.move_on_after(CLOSE_SECONDS, shield=True):
            await self._client.aclose()

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], content: Content | None, proof: bytes | None
    ) -> httpx.Response:
        """The start of an answer, whatever its status. Raises the errors of the way there."""
        self.traffic.requests += 1
        self.tell("request", method, url)
        try:
            with mapped(f"{method} {url}", answered=False):
                request = self._client.build_request(
                    method, url, headers=_raw(headers, proof), content=content, timeout=patience_with(method)
                )
                request.stream = content if isinstance(content, httpx.AsyncByteStream) else SentBytes(content or b"")
                response = await self._client.send(request, stream=True)
        except RemoteError as error:
            self.traffic.failed += 1
            self.tell(type(error).__name__, method, url)
            if isinstance(error, UntrustedCertificate):
                raise await self._with_fingerprint(error, httpx.URL(url)) from error
            raise
        self.tell(str(response.status_code), method, url)
        return response

    async def _with_fingerprint(self, error: UntrustedCertificate, url: httpx.URL) -> TlsError:
        shown = await ask_fingerprint(url.host, url.port or 443)
        return TlsError(f"{error}, or trust this one alone: --pin-cert {shown}") if shown else error

    def tell(self, event: str, method: str, url: str) -> None:
        if self._hook is not None:
            self._hook(event, method, shown(url))


class Root:
    """The share's root, as the login asks for it when it is in doubt."""

    method = "PROPFIND"

    def __init__(self, session: Session, url: str) -> None:
        self._session = session
        self.url = url

    async def ask(self, proof: bytes) -> int:
        headers = {"Depth": "0", "Content-Type": "application/xml; charset=utf-8"}
        response = await self._session.send(self.method, self.url, headers, None, proof)
        await Body(response, f"{self.method} {self.url}").aclose()
        return response.status_code


class Exchange:
    """A request and its answer, as a context; redirects are followed on the way in."""

    def __init__(
        self,
        session: Session,
        limiter: trio.CapacityLimiter,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: Content | None,
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
            response = await self._session.login.request(self._method, self.url, self._send, self._session.home)
            status, location = response.status_code, response.headers.get("location")
            if status not in redirects.STATUSES or location is None:
                return response
            self.url = redirects.target(self._method, self.url, status, location)
            all_permanent = all_permanent and status in redirects.PERMANENT
            self.moved_to = self.url if all_permanent else None
        raise BadAnswer(f"{self._method} {self.url}: the server redirects without end")

    async def _send(self, proof: bytes | None) -> httpx.Response:
        """One request to where we are by now; the answer before it, if any, is done with."""
        if self._body is not None:
            await self._body.drain()
            await self._body.aclose()
        response = await self._session.send(self._method, self.url, self._headers, self._content, proof)
        self._body = Body(response, f"{self._method} {self.url}")
        return response

    async def _let_go(self) -> None:
        try:
            if self._body is not None:
                await self._body.aclose()
        finally:
            self._limiter.release_on_behalf_of(self)


def _raw(headers: Mapping[str, str], proof: bytes | None) -> httpx.Headers:
    raw = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
    return httpx.Headers(raw if proof is None else [*raw, (b"Authorization", proof)])


def shown(url: str) -> str:
    """A URL as hooks are told it: its path."""
    return "/" + url.partition("://")[2].partition("/")[2]
