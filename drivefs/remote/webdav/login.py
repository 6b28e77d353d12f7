"""The login to one server: which proof goes with a request, and what a 401 leads to.

- By default the server is asked first: its challenge decides. Digest goes before Basic where the way is not
  encrypted; a password or token itself goes only where nobody can listen, or where that was allowed on purpose.
- Until a proof was accepted, one request at a time finds out; the others wait for it. So a fresh start of many
  readers costs one 401, and a wrong password is tried once, not by each of them.
- A proof that was refused is not sent again for a while, which grows: servers lock accounts. `ask_again` ends it.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Final, Protocol
from urllib.parse import urlsplit

import httpx
import msgspec
import trio

from drivefs.errors import RemoteError, Unauthorized
from drivefs.remote.webdav import digest
from drivefs.remote.webdav.auth import INSECURE, Credentials, Scheme, may_hear
from drivefs.remote.webdav.challenges import Challenge, parse_challenges, parse_parameters

ATTEMPTS: Final = 4
"""How often one request is sent at most: without proof, with one, and with fresh nonces."""
FIRST_PAUSE: Final = 60.0
LONGEST_PAUSE: Final = 3600.0
"""Seconds without any request after a refusal; each refusal after that doubles them."""
UNTOLD: Final = (408, 425, 429)
"""Statuses that say nothing about who asked; neither do those from 500."""

Send = Callable[[bytes | None], Awaitable[httpx.Response]]
"""Sends the request once, with this value of Authorization or without, and gives the start of the answer."""


class Key(Protocol):
    """A way to prove who we are. `scheme` is in lower case. None of them shows what it holds."""

    scheme: str

    def proof(self, method: str, url: str) -> bytes: ...


class Secret:
    """The secret itself, in each request: Basic (RFC 7617, in UTF-8), or Bearer (RFC 6750)."""

    def __init__(self, scheme: str, credentials: Credentials) -> None:
        self.scheme = scheme
        token = credentials.password.encode()
        if scheme == "basic":
            token = base64.b64encode(credentials.user.encode() + b":" + token)
        self._value = scheme.capitalize().encode() + b" " + token

    def proof(self, method: str, url: str) -> bytes:
        return self._value


class Nonce:
    """Digest: a question of the server, and how often it was answered. `accepted`: at least one answer was right."""

    scheme = "digest"

    def __init__(self, question: digest.Question, credentials: Credentials, *, accepted: bool = False) -> None:
        self.question = question
        self.accepted = accepted
        self._credentials = credentials
        self._count = 0

    def proof(self, method: str, url: str) -> bytes:
        self._count += 1
        user, password = self._credentials.user, self._credentials.password
        target = httpx.URL(url).raw_path.decode("ascii")
        return digest.answer(self.question, user, password, method, target, count=self._count)

    def followed_by(self, nonce: str) -> Nonce:
        return Nonce(msgspec.structs.replace(self.question, nonce=nonce), self._credentials, accepted=True)


class Asking:
    """A request that finds out how to log in, for all that wait. `error`: why it could not."""

    def __init__(self) -> None:
        self.done = trio.Event()
        self.error: RemoteError | None = None


class Login:
    """See the module. `settled`: requests need not wait for each other, as far as we know."""

    def __init__(self, credentials: Credentials | None, scheme: Scheme = "auto", *, allow_insecure: bool = False):
        self._credentials = credentials
        self._scheme = scheme
        self._allow_insecure = allow_insecure
        self._key: Key | None = None
        if credentials is not None and scheme in ("basic", "bearer"):
            self._key = Secret(scheme, credentials)
        self._settled = credentials is None
        self._asking: Asking | None = None
        self._refusal = ""
        self._silent_until = float("-inf")
        self._pause = FIRST_PAUSE

    async def request(self, method: str, url: str, send: Send) -> httpx.Response:
        """The answer to a request, which is sent again when the server asks who we are. It is never a 401.

        Raises: Unauthorized, without sending anything while an earlier refusal stands; and the errors of `send`.
        """
        while not self._settled:
            if self._asking is None:
                return await self._ask(method, url, send)
            asking = self._asking
            await asking.done.wait()
            if asking.error is not None:
                raise type(asking.error)(str(asking.error))
        return await self._attempt(method, url, send)

    def ask_again(self) -> None:
        """Somebody wants to know whether the login works by now: the next request is sent."""
        self._silent_until = float("-inf")

    async def _ask(self, method: str, url: str, send: Send) -> httpx.Response:
        asking = self._asking = Asking()
        try:
            return await self._attempt(method, url, send)
        except RemoteError as error:
            asking.error = error if error.temporary or error.account_wide else None
            raise
        finally:
            self._asking = None
            asking.done.set()

    async def _attempt(self, method: str, url: str, send: Send) -> httpx.Response:
        if trio.current_time() < self._silent_until:
            raise Unauthorized(f"{self._refusal}; not tried again for now, so that the account is not locked")
        key = self._key_for(url)
        for _ in range(ATTEMPTS):
            response = await send(None if key is None else key.proof(method, url))
            if response.status_code != 401:
                self._accepted(key, url, response)
                return response
            key = self._next_key(key, url, response, f"{method} {url}")
        raise self._refused(f"{method} {url}: the server answered 401 to every fresh nonce")

    def _key_for(self, url: str) -> Key | None:
        """What goes with a first attempt. A redirect may have led from http to https, and its start stays http."""
        return None if isinstance(self._key, Secret) and not self._may_hear(url) else self._key

    def _may_hear(self, url: str) -> bool:
        return may_hear(url, allow_insecure=self._allow_insecure)

    def _accepted(self, key: Key | None, url: str, response: httpx.Response) -> None:
        if self._credentials is None or response.status_code >= 500 or response.status_code in UNTOLD:
            return
        if key is None and self._key is None and self._scheme == "auto" and self._may_hear(url):
            # It did not ask, but what it shows to anybody may be less than what it shows to us.
            self._key = Secret("basic", self._credentials)
            return
        self._settled = True
        self._pause = FIRST_PAUSE if key is not None else self._pause
        if isinstance(key, Nonce):
            key.accepted = True
            self._follow(key, response.headers.get("authentication-info", ""))

    def _follow(self, key: Nonce, info: str) -> None:
        """The server may name the nonce to use from now on (RFC 7616 section 3.5)."""
        nonce = parse_parameters(info).get("nextnonce")
        if nonce and self._key is key:
            self._key = key.followed_by(nonce)

    def _next_key(self, used: Key | None, url: str, response: httpx.Response, what: str) -> Key:
        """What to try after a 401. Raises: Unauthorized when there is nothing left to try."""
        if self._credentials is None:
            raise Unauthorized(f"{what}: the server answered 401 (it asks who you are: give a user name, --user NAME)")
        offered = parse_challenges(_headers(response))
        key = self._pick(offered, url, self._credentials)
        if isinstance(key, str):
            raise self._refused(f"{what}: the server answered 401 ({key})", sent=used is not None)
        if used is not None and not _is_new(used, key, {challenge.scheme for challenge in offered}):
            hint = "the token was not accepted" if used.scheme == "bearer" else "check the user name and the password"
            raise self._refused(f"{what}: the server answered 401 ({hint})")
        if self._key is used or self._key is None:  # else another request was faster: its nonce is as fresh
            self._key = key
            self._settled = self._settled and used is not None
        return key

    def _pick(self, offered: list[Challenge], url: str, credentials: Credentials) -> Key | str:
        """How to answer these challenges, or in words why we cannot."""
        schemes = {challenge.scheme for challenge in offered} or {"basic"}  # a 401 without a challenge breaks RFC 9110
        questions = [digest.parse_question(offer.parameters) for offer in offered if offer.scheme == "digest"]
        known = sorted(filter(None, questions), key=lambda question: question.strength)
        wanted = {"basic", "digest"} if self._scheme == "auto" else {self._scheme}
        basic_first = urlsplit(url).scheme == "https" and "basic" in schemes & wanted
        if known and "digest" in wanted and not basic_first:
            return Nonce(known[-1], credentials)
        if "bearer" in wanted or "basic" in schemes & wanted:
            scheme = "bearer" if "bearer" in wanted else "basic"
            if self._may_hear(url):
                return Secret(scheme, credentials)
            return f"it asks for the password unencrypted: {INSECURE}"
        hint = "; for a token there is --auth bearer" if "bearer" in schemes else ""
        return f"it asks for {', '.join(sorted(schemes))}, and --auth is {self._scheme}{hint}"

    def _refused(self, text: str, *, sent: bool = True) -> Unauthorized:
        """The error of a final 401. `sent`: a proof was tried, so that trying it again may lock the account."""
        now = trio.current_time()
        if sent and now >= self._silent_until:
            self._refusal, self._silent_until = text, now + self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
        self._settled = False
        return Unauthorized(text)


def _is_new(used: Key, key: Key, offered: set[str]) -> bool:
    """Whether `key` may succeed where `used` was refused: by another scheme, or because only the nonce was too old."""
    if used.scheme not in offered and offered:
        return used.scheme != key.scheme
    if not isinstance(used, Nonce) or not isinstance(key, Nonce):
        return False
    # Some servers do not say that a nonce is stale: one that was accepted before gets one more chance.
    return key.question.stale or (used.accepted and key.question.nonce != used.question.nonce)


def _headers(response: httpx.Response) -> list[str]:
    """As Latin-1, byte for byte: the realm goes into the digest as it came."""
    return [value.decode("latin-1") for name, value in response.headers.raw if name.lower() == b"www-authenticate"]
