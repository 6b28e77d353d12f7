"""An exclusive write lock of one file (RFC 4918 section 7), held for the moment of a commit.

Invariants: a lock that may have been granted is released, also when its answer was lost or the caller was cancelled.
Where even that fails, it ends by itself: `LOCK_SECONDS` were asked for, though some servers give more.
"""

from __future__ import annotations

import logging
import secrets
from types import TracebackType
from typing import Final
from xml.parsers import expat

import trio

from drivefs.errors import BadAnswer, RemoteError
from drivefs.model import Ref
from drivefs.remote.webdav.verbs import Answer, Verbs
from drivefs.remote.webdav.xml import DAV, refuse_doctype

LOCK_SECONDS: Final = 60
PATIENCE_SECONDS: Final = 10.0
"""How long a cancelled caller is held for the answer to a LOCK, and for its release."""

OWNER, HREF, ACTIVE_LOCK, LOCK_TOKEN = DAV + "owner", DAV + "href", DAV + "activelock", DAV + "locktoken"
LOCKDISCOVERY: Final = (
    b'<?xml version="1.0" encoding="utf-8"?><D:propfind xmlns:D="DAV:"><D:prop><D:lockdiscovery/></D:prop></D:propfind>'
)


class Lock:
    """A context. Raises on entry: the error of the refusal (ServerBusy for 423), or of a lost answer."""

    def __init__(self, verbs: Verbs, ref: Ref) -> None:
        self._verbs = verbs
        self._ref = ref
        self._owner = f"drivefs:{secrets.token_hex(8)}"
        self.token = ""
        self.made_file = False
        """The server had nothing there, and made an empty file for the lock (RFC 4918 section 7.3)."""

    async def __aenter__(self) -> Lock:
        answer = Answer(error=BadAnswer(f"LOCK {self._ref}: no answer in time"), certain=False)
        with trio.move_on_after(PATIENCE_SECONDS, shield=True):
            answer = await self._verbs.lock(self._ref, lockinfo(self._owner), self._headers())
        self.token = answer.headers.get("lock-token", "").strip().strip("<>") if answer.done else ""
        self.made_file = answer.status == 201
        try:
            await trio.lowlevel.checkpoint_if_cancelled()
            if not self.token:
                raise answer.error or BadAnswer(f"LOCK {self._ref}: the server gave no token")
        except BaseException:
            if not answer.certain or answer.done:
                await self._release()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._release()

    def _headers(self) -> dict[str, str]:
        """One single Timeout value: lists of them hang lighttpd 1.4.69 for good."""
        return {"Depth": "0", "Timeout": f"Second-{LOCK_SECONDS}", "Content-Type": "application/xml; charset=utf-8"}

    async def _release(self) -> None:
        """A lock that went with its file is as good as released (WsgiDAV, sabre: 409; others 404 or 412)."""
        with trio.move_on_after(PATIENCE_SECONDS, shield=True) as patience:
            if not self.token:
                self.token = await find(self._verbs, self._ref, self._owner)
            if self.token:
                answer = await self._verbs.unlock(self._ref, self.token)
                if not answer.certain:
                    answer = await self._verbs.unlock(self._ref, self.token)
        if patience.cancelled_caught:
            logging.getLogger(__name__).info("a lock of %s could not be released; it ends by itself", self._ref)


async def find(verbs: Verbs, ref: Ref, owner: str) -> str:
    """The token of the lock that `owner` holds there; empty when there is none, or nobody tells."""
    answer = await verbs.propfind(ref, LOCKDISCOVERY)
    try:
        return locks_in(answer.body).get(owner, "") if answer.done else ""
    except RemoteError:
        return ""


def lockinfo(owner: str) -> bytes:
    return (
        '<?xml version="1.0" encoding="utf-8"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
        f"<D:locktype><D:write/></D:locktype><D:owner>{owner}</D:owner></D:lockinfo>"
    ).encode()


def locks_in(body: bytes) -> dict[str, str]:
    """Tokens by owner, of all `activelock` elements of a document. Raises BadAnswer when it is none."""
    found: dict[str, str] = {}
    path: list[str] = []
    lock = {OWNER: "", HREF: ""}

    def start(name: str, _: dict[str, str]) -> None:
        path.append(name)
        if name == ACTIVE_LOCK:
            lock.update({OWNER: "", HREF: ""})

    def end(name: str) -> None:
        path.pop()
        if name == ACTIVE_LOCK:
            found[lock[OWNER].strip()] = lock[HREF].strip()

    def text(data: str) -> None:
        if OWNER in path:
            lock[OWNER] += data
        elif path[-2:] == [LOCK_TOKEN, HREF]:
            lock[HREF] += data

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartDoctypeDeclHandler = refuse_doctype
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise BadAnswer(f"the answer about locks is not XML ({error})") from error
    return found
