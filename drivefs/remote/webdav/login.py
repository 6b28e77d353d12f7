"""The login to one server: when a request goes with a proof of who we are, and what a 401 leads to.

- By default the server is asked first: its challenge decides (`keys.pick`).
- Until a proof was accepted, one request at a time finds out; the others wait for it. So a fresh start of many
  readers costs one 401, and a wrong password is tried once, not by each of them.
- A proof that was refused is not sent again for a while, which grows: servers lock accounts. `ask_again` ends it.
- Some servers answer 401, not 403, for a folder that is not for this user (Apache does). So what worked before and is
  refused now is tried at the share's root: where it works there, only that folder is not permitted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import httpx
import trio

from drivefs.errors import NotPermitted, RemoteError, Unauthorized
from drivefs.remote.webdav.auth import Credentials, Scheme, may_hear
from drivefs.remote.webdav.challenges import parse_parameters
from drivefs.remote.webdav.keys import Key, Nonce, Secret, challenges_of, is_new, pick

ATTEMPTS: Final = 4
"""How often one request is sent at most: without proof, with one, and with fresh nonces."""
FIRST_PAUSE: Final = 60.0
LONGEST_PAUSE: Final = 3600.0
"""Seconds without any request after a refusal; each refusal after that doubles them."""
UNTOLD: Final = (408, 425, 429)
"""Statuses that say nothing about who asked; neither do those from 500."""

Send = Callable[[bytes | None], Awaitable[httpx.Response]]
"""Sends the request once, with this value of Authorization or without, and gives the start of the answer."""


class Home(Protocol):
    """The share's root, and a small request to it; `ask` gives the status of the answer."""

    method: str
    url: str

    async def ask(self, proof: bytes) -> int: ...


class Refusal(Unauthorized):
    """A proof was refused, here at least."""


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
        self._worked = False
        self._doubt = trio.Lock()
        self._asking: Asking | None = None
        self._refusal = ""
        self._silent_until = float("-inf")
        self._pause = FIRST_PAUSE

    async def request(self, method: str, url: str, send: Send, home: Home) -> httpx.Response:
        """The answer to a request, which is sent again when the server asks who we are. It is never a 401.

        Raises: Unauthorized, without sending anything while an earlier refusal stands; NotPermitted when only this
        very address is refused; and the errors of `send`.
        """
        while not self._settled:
            if self._asking is None:
                return await self._ask(method, url, send, home)
            asking = self._asking
            await asking.done.wait()
            if asking.error is not None:
                raise type(asking.error)(str(asking.error))
        return await self._attempt(method, url, send, home)

    def ask_again(self) -> None:
        """Somebody wants to know whether the login works by now: the next request is sent."""
        self._silent_until = float("-inf")

    async def _ask(self, method: str, url: str, send: Send, home: Home) -> httpx.Response:
        asking = self._asking = Asking()
        try:
            return await self._attempt(method, url, send, home)
        except RemoteError as error:
            asking.error = error if error.temporary or error.account_wide else None
            raise
        finally:
            self._asking = None
            asking.done.set()

    async def _attempt(self, method: str, url: str, send: Send, home: Home) -> httpx.Response:
        what = f"{method} {url}"
        if trio.current_time() < self._silent_until:
            raise Unauthorized(f"{self._refusal}; not tried again for now, so that the account is not locked")
        key, cleared, stale = self._key_for(url), False, False
        for _ in range(ATTEMPTS):
            response = await send(None if key is None else key.proof(method, url))
            if response.status_code != 401:
                self._accepted(key, url, response)
                return response
            try:
                # After a second stale nonce this request keeps the next one for itself: they may be good for one use.
                used, key = key, self._next_key(key, url, response, what, share=not stale)
                stale = isinstance(used, Nonce)
            except Refusal as refusal:
                if not await self._may_be_good(key, url, home, cleared):
                    raise self._refused(str(refusal)) from refusal
                if cleared or isinstance(key, Secret):
                    raise NotPermitted(
                        f"{what}: the server answered 401 (not for this user, though the share is)"
                    ) from refusal
                key, cleared = self._key, True  # the nonce may have been too old, though the server did not say so
        raise self._refused(f"{what}: the server answered 401 to every fresh nonce")

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
        if key is not None:
            self._worked, self._pause = True, FIRST_PAUSE
        if isinstance(key, Nonce):
            self._follow(key, response.headers.get("authentication-info", ""))

    def _follow(self, key: Nonce, info: str) -> None:
        """The server may name the nonce to use from now on (RFC 7616 section 3.5)."""
        nonce = parse_parameters(info).get("nextnonce")
        if nonce and self._key is key:
            self._key = key.followed_by(nonce)

    def _next_key(self, used: Key | None, url: str, response: httpx.Response, what: str, *, share: bool) -> Key:
        """What to try after a 401; `share`: the other requests, too. Raises: Unauthorized when nothing is left."""
        if self._credentials is None:
            raise Unauthorized(f"{what}: the server answered 401 (it asks who you are: give a user name, --user NAME)")
        offered = challenges_of(response)
        key = pick(offered, url, self._credentials, self._scheme, allow_insecure=self._allow_insecure)
        if isinstance(key, str):
            raise (Unauthorized if used is None else Refusal)(f"{what}: the server answered 401 ({key})")
        if share and (self._key is used or self._key is None):  # else another request was faster: its nonce is as fresh
            self._key = key
            self._settled = self._settled and used is not None
        if used is not None and not is_new(used, key, offered):
            hint = "the token was not accepted" if used.scheme == "bearer" else "check the user name and the password"
            raise Refusal(f"{what}: the server answered 401 ({hint})")
        return key

    async def _may_be_good(self, refused: Key | None, url: str, home: Home, cleared: bool) -> bool:
        """Whether a proof that was refused at `url` is good all the same, as it worked before.

        `cleared`: that was found out already. One at a time asks, for a changed password is refused to all at once.
        """
        if url == home.url:
            return not cleared and self._worked and isinstance(refused, Nonce)
        if cleared:
            return True
        async with self._doubt:
            key = self._key_for(home.url)
            if not self._worked or key is None:
                return False
            self._worked = await home.ask(key.proof(home.method, home.url)) != 401
            return self._worked

    def _refused(self, text: str) -> Unauthorized:
        """The error of a final 401 to a proof, which is not to be sent again for a while."""
        now = trio.current_time()
        if now >= self._silent_until:
            self._refusal, self._silent_until = text, now + self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
        self._settled = self._worked = False
        return Unauthorized(text)
