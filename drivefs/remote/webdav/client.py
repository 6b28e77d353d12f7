"""A WebDAV share behind the port: which requests answer which question. How they travel is `session`'s matter.

Rules that live here:
- Absence is proven only by an answer about that very entry: what a GET or a listing says is asked again by itself.
- Content is handed out only after its answer showed the asked version. When it shows another one, a PROPFIND tells
  which of the two is wrong: the caller's version, or that answer (a login page, say).
- A collection's URL ends with a slash. `stat` does not know yet, and follows the redirect that adds one.
"""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType

import httpx
import msgspec
import trio

from drivefs.errors import BadAnswer, NotAShare, NotFound, NotPermitted, Refused, RemoteError, VersionMismatch
from drivefs.model import Kind, Listing, Observation, Ref, Space, Version
from drivefs.remote.base import Capabilities, RequestHook, Traffic
from drivefs.remote.retry import CONTENT, retry
from drivefs.remote.webdav.auth import Credentials, Scheme, check_login
from drivefs.remote.webdav.body import Body
from drivefs.remote.webdav.discovery import find_share
from drivefs.remote.webdav.download import ContentStream, NothingStream, Wish, completed, observe, piece_of
from drivefs.remote.webdav.errors import error_of_status
from drivefs.remote.webdav.learn import learn, shows_strong_etag
from drivefs.remote.webdav.login import Login
from drivefs.remote.webdav.metadata import Found, Question, ask, server_time
from drivefs.remote.webdav.paths import Base, parse_base
from drivefs.remote.webdav.propfind import OWNCLOUD, PLAIN, QUOTA, space_of
from drivefs.remote.webdav.session import Session
from drivefs.remote.webdav.tls import Tls, make_context
from drivefs.remote.webdav.xml import RESOURCETYPE, Limits

HINT_SECONDS = 5.0
"""How long to look for the right address, when the given one is wrong."""
CONTRADICTED = (200, 206, 404, 410, 412, 416)
"""Statuses of a GET that cannot be true of a file whose version a PROPFIND confirms."""


class WebDavRemote:
    """The read half of a share at `url` (`https://host/path/`, also `dav:` and `davs:`).

    `auth` is how to prove who we are; `allow_insecure_auth` sends the password unencrypted. `trust_env` takes
    proxies and the like from the environment. The two numbers bound how many requests run at a time.

    Raises: UsageError when the address or the certificate file is no good, or a password would be sent openly.
    """

    def __init__(
        self,
        url: str,
        *,
        credentials: Credentials | None = None,
        auth: Scheme = "auto",
        tls: Tls | None = None,
        allow_insecure_auth: bool = False,
        metadata_connections: int = 6,
        content_connections: int = 4,
        trust_env: bool = False,
        hook: RequestHook | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._base = parse_base(url)
        self._limits = limits
        check_login(self._base, credentials, auth, allow_insecure=allow_insecure_auth)
        self._login = Login(credentials, auth, allow_insecure=allow_insecure_auth)
        self._session = Session(
            login=self._login,
            home=self._base.url,
            context=make_context(tls or Tls()),
            metadata_connections=metadata_connections,
            content_connections=content_connections,
            trust_env=trust_env,
            hook=hook,
        )
        self._capabilities = Capabilities(ranges=True)
        self._properties: tuple[str, ...] = PLAIN
        self._conditions = True
        """False once a GET refused a version that PROPFIND shows: a proxy that makes its own ETags."""

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    @property
    def traffic(self) -> Traffic:
        return self._session.traffic

    async def connect(self) -> Observation:
        self._login.ask_again()
        question = Question(Ref(), 0, (*PLAIN, *OWNCLOUD, *QUOTA), directory=True)
        try:
            base, options = await retry(self._greet)
            found = await retry(partial(ask, self._session, base, question, self._limits))
        except (BadAnswer, NotFound, Refused) as error:
            raise await self._no_share(error) from error
        root = found.listing.directory
        if root.kind is not Kind.DIRECTORY:
            raise NotAShare(f"{base.url} is a file: give the address of a folder")
        self._move_to(base)
        self._capabilities = learn(options, found.headers, found.own)
        self._properties = (*PLAIN, *OWNCLOUD) if self._capabilities.file_ids else PLAIN
        return root

    async def list(self, ref: Ref) -> Listing:
        try:
            found = await retry(partial(self._ask, Question(ref, 1, self._properties, directory=True)))
        except (NotFound, Refused, NotPermitted) as error:
            await self._explain_listing(ref, error)
            raise
        listing = found.listing
        if listing.directory.kind is not Kind.DIRECTORY:
            raise BadAnswer(f"{ref} is not a folder")
        if not self._capabilities.strong_etags and any(map(shows_strong_etag, listing.children)):
            self._learned(strong_etags=True)
        return listing

    async def stat(self, ref: Ref) -> Observation:
        if not ref.path:
            self._login.ask_again()
        return await retry(partial(self._stat, ref))

    def read(self, ref: Ref, *, version: Version, offset: int = 0, length: int | None = None) -> Read:
        return Read(self, Wish(ref, version, offset, length))

    async def space(self) -> Space:
        found = await retry(partial(self._ask, Question(Ref(), 0, (RESOURCETYPE, *QUOTA), directory=True)))
        return space_of(found.own)

    async def aclose(self) -> None:
        await self._session.aclose()

    # Metadata

    async def _greet(self) -> tuple[Base, httpx.Headers]:
        """Where the share says that it is, and what it tells of itself.

        PROPFIND decides whether it is one: there are servers that refuse OPTIONS.
        """
        exchange = self._session.exchange(self._session.metadata, "OPTIONS", self._base.url, headers={})
        async with exchange as response:
            await exchange.body.drain()
        error = error_of_status(response.status_code, "OPTIONS", response.headers)
        if error.temporary or error.account_wide:
            raise error
        moved_to = exchange.moved_to
        base = self._base if moved_to is None else parse_base(moved_to.partition("?")[0].partition("#")[0])
        return base, response.headers if response.is_success else httpx.Headers()

    async def _no_share(self, error: RemoteError) -> NotAShare:
        """Says where the share is, when people gave the address of the web site."""
        text, place = f"{self._base.url} is not a WebDAV share: {error}", None
        with trio.move_on_after(HINT_SECONDS):
            place = await find_share(self._session, self._base)
        if place is None:
            return NotAShare(text)
        return NotAShare(f"{text}; {place}", None if place.user is None else place.url)

    def _move_to(self, base: Base) -> None:
        """Go on at another address of the same server, where the share is for good."""
        if base != self._base:
            logging.getLogger(__name__).warning(
                "the share at %s has moved for good: change its address to %s", self._base.url, base.url
            )
            self._base = base

    async def _ask(self, question: Question) -> Found:
        return await ask(self._session, self._base, question, self._limits)

    async def _stat(self, ref: Ref) -> Observation:
        """Without retry. The slash is the server's to add: what is there may be a file or a folder."""
        found = await self._ask(Question(ref, 0, self._properties, directory=False))
        return found.listing.directory

    async def _explain_listing(self, ref: Ref, refused: RemoteError) -> None:
        """A file has no URL with a slash at its end, and each server says so in another way."""
        if (await self.stat(ref)).kind is not Kind.DIRECTORY:
            raise BadAnswer(f"{ref} is not a folder") from refused
        if isinstance(refused, NotFound):
            raise BadAnswer(f"{ref} is there, but the server does not list it") from refused

    def _learned(self, **changes: bool) -> None:
        self._capabilities = msgspec.structs.replace(self._capabilities, **changes)

    # Content

    async def open_stream(self, wish: Wish) -> ContentStream | NothingStream:
        """One attempt to start a read: the request, the checks, and the stream, which holds the connection."""
        if wish.version == Version():  # any will do: the present one, but then no other
            wish = msgspec.structs.replace(wish, version=(await self._stat_file(wish.ref)).version)
        if wish.empty:
            return await self._open_nothing(wish)
        async with AsyncExitStack() as resources:
            url = self._base.url_of(wish.ref.path, directory=False)
            headers = wish.headers(conditions=self._conditions)
            exchange = self._session.exchange(self._session.content, "GET", url, headers=headers)
            response = await resources.enter_async_context(exchange)
            if response.status_code in (200, 206) and not exchange.url.endswith("/"):
                stream = self._checked(wish, response, exchange.body, resources)
                if stream is not None:
                    return stream
            elif response.status_code >= 400:
                await exchange.body.drain()
        return await self._explain_read(wish, response)

    def _checked(
        self, wish: Wish, response: httpx.Response, body: Body, resources: AsyncExitStack
    ) -> ContentStream | None:
        """The stream, or None when the answer shows another version. Takes over `resources` with the stream."""
        piece = piece_of(response, wish)
        shown = observe(response.headers, wish.ref.name, piece.total, server_time(response.headers))
        if not wish.version.same(shown.version):
            return None
        observed = msgspec.structs.replace(shown, version=completed(shown.version, wish.version))
        if "range" in response.request.headers:
            self._learned(ranges=response.status_code == 206)
        return ContentStream(body, piece, observed, resources.pop_all(), self._session.traffic)

    async def _open_nothing(self, wish: Wish) -> NothingStream:
        """A range without bytes would be an error (416), and to a HEAD WsgiDAV sends bodies: PROPFIND tells, too."""
        observed = await self._stat_file(wish.ref)
        if not wish.version.same(observed.version):
            raise VersionMismatch(f"{wish.ref} is not at the expected version any more", observed)
        return NothingStream(min(wish.offset, observed.version.size or 0), observed)

    async def _stat_file(self, ref: Ref) -> Observation:
        observed = await self._stat(ref)
        if observed.kind is not Kind.FILE:
            raise BadAnswer(f"{ref} is not a file")
        return observed

    async def _explain_read(self, wish: Wish, response: httpx.Response) -> ContentStream | NothingStream:
        """What an answer means that is not the content: each server has its own for a folder, or a lost file.

        Raises: NotFound, VersionMismatch, or the error that the answer is when the share still has the version.
        """
        status = response.status_code
        error = error_of_status(status, f"GET {wish.ref}", response.headers)
        if error.account_wide or (error.temporary and status != 500):
            raise error
        observed = await self._stat(wish.ref)
        if not wish.version.same(observed.version):
            raise VersionMismatch(f"{wish.ref} is not at the expected version any more", observed)
        if observed.kind is not Kind.FILE:
            raise BadAnswer(f"{wish.ref} is not a file")
        if status == 412 and self._conditions:
            self._conditions = False
            return await self.open_stream(wish)
        if status in CONTRADICTED:
            raise BadAnswer(f"GET {wish.ref}: the answer ({status}) contradicts what the share tells of it")
        raise error


class Read:
    """The context of one `read`: entering it sends the request, with patience; leaving it lets go."""

    def __init__(self, remote: WebDavRemote, wish: Wish) -> None:
        self._remote = remote
        self._wish = wish
        self._stream: ContentStream | NothingStream | None = None

    async def __aenter__(self) -> ContentStream | NothingStream:
        self._stream = await retry(partial(self._remote.open_stream, self._wish), CONTENT)
        return self._stream

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._stream is not None:
            await self._stream.aclose()
