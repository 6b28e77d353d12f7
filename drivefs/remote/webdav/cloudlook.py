"""Looking at a Nextcloud or ownCloud that is being written to: what stands there, and whether it is ours."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Final

import msgspec

from drivefs.errors import NotFound
from drivefs.model import Kind, Observation, Ref, Version
from drivefs.remote.content import Exactly
from drivefs.remote.retry import retry
from drivefs.remote.webdav.conditions import if_match, is_condition
from drivefs.remote.webdav.metadata import Found, Question, ask
from drivefs.remote.webdav.paths import Base
from drivefs.remote.webdav.propfind import OWNCLOUD, PLAIN
from drivefs.remote.webdav.session import Session
from drivefs.remote.webdav.values import parse_etag
from drivefs.remote.webdav.verbs import Answer, Verbs
from drivefs.remote.writing import Conflict, Content, as_expected

TOLD: Final = (*PLAIN, *OWNCLOUD)
OLDEST_MTIME: Final = 24 * 3600
"""Seconds since the epoch. Nextcloud refuses times up to this one."""


class CloudShare:
    """A share of one of these servers, its requests, and what they show. All questions are patient."""

    def __init__(self, session: Session, base: Base) -> None:
        self.session = session
        self.base = base
        self.verbs = Verbs(session, base)

    async def look(self, ref: Ref) -> Observation | None:
        """What stands there; None for nothing."""
        try:
            return (await self.ask(Question(ref, 0, TOLD, directory=False))).listing.directory
        except NotFound:
            return None

    async def pinned(self, ref: Ref, expected: Version) -> Version | Conflict:
        """The expected version with an ETag, which a condition can name; a Conflict when something else is there."""
        if is_condition(expected):
            return expected
        observed = await self.look(ref)
        if observed is None or not as_expected(observed, expected) or not is_condition(observed.version):
            return Conflict(observed)
        return observed.version

    async def ask(self, question: Question) -> Found:
        return await retry(partial(ask, self.session, self.base, question))

    async def sha1(self, ref: Ref, version: Version) -> str | None:
        """Of the content at this version, as a checksum; None when it cannot be had. Reads it all."""
        headers = {**if_match(version.etag), "Accept-Encoding": "identity"}
        exchange = self.session.exchange(self.session.content, "GET", self.verbs.url(ref), headers=headers)
        digest = hashlib.sha1(usedforsecurity=False)
        async with exchange as response:
            while piece := await exchange.body.receive():
                digest.update(piece)
        return f"SHA1:{digest.hexdigest()}" if response.status_code == 200 else None


class Mark(msgspec.Struct, frozen=True):
    """What marks bytes as ours. `checksum` as in an observation; `mtime` in whole seconds, None when none is sent.

    SHA-1, because it is what both servers know: ownCloud compares it with what arrived, and refuses SHA-256.
    """

    size: int
    checksum: str
    mtime: int | None

    @property
    def headers(self) -> dict[str, str]:
        headers = {"OC-Checksum": self.checksum}
        return headers if self.mtime is None else {**headers, "X-OC-Mtime": str(self.mtime)}


async def mark_of(content: Content) -> Mark:
    """Reads it once. Raises: StoreError when it has not the size that it says."""
    digest = hashlib.sha1(usedforsecurity=False)
    async with content.open() as pieces:
        exactly = Exactly(pieces, content.size)
        while piece := await exactly.receive():
            digest.update(piece)
    mtime = None if content.mtime_ns is None else content.mtime_ns // 10**9
    if mtime is not None and mtime <= OLDEST_MTIME:
        mtime = None
    return Mark(content.size, f"SHA1:{digest.hexdigest()}", mtime)


def may_be_mine(observed: Observation | None, mark: Mark) -> bool:
    """Whether nothing that the share tells speaks against it."""
    if observed is None or observed.kind is not Kind.FILE or observed.version.size != mark.size:
        return False
    return not tells_sha1(observed) or observed.checksum == mark.checksum


def is_mine(observed: Observation | None, mark: Mark, *, etag: str | None = None, used_up: bool = False) -> bool:
    """Whether it is proven.

    By the checksum, which these servers store with the content it was sent with; by the `etag` that the answer to our
    request told; or, `used_up` being that our upload is not there any more, by the time that only our upload carried.
    """
    if observed is None or not may_be_mine(observed, mark):
        return False
    if tells_sha1(observed) or (etag is not None and observed.version.etag == etag):
        return True
    at = observed.version.mtime_ns
    return used_up and mark.mtime is not None and at is not None and at // 10**9 == mark.mtime


def is_damaged(observed: Observation | None, mark: Mark, answer: Answer) -> bool:
    """Whether what stands there is what our request made, and yet not what it sent. `X-Hash-SHA1`: what arrived."""
    etag = told_etag(answer)
    if observed is None or etag is None or observed.version.etag != etag:
        return False
    arrived = answer.headers.get("x-hash-sha1", "").lower()
    return observed.version.size != mark.size or (arrived != "" and mark.checksum != f"SHA1:{arrived}")


def told_etag(answer: Answer) -> str | None:
    """The ETag of what a request made. OC-ETag comes first: the other one is changed by servers that compress."""
    etag = parse_etag(answer.headers.get("oc-etag") or answer.headers.get("etag")) if answer.done else None
    return None if etag is None else etag[0]


def tells_sha1(observed: Observation) -> bool:
    return observed.checksum is not None and observed.checksum.startswith("SHA1:")
