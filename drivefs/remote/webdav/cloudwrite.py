"""Writing files to Nextcloud and ownCloud: small ones by one PUT, large ones by `chunks`.

A file here has an id on which shares, versions and comments hang, so it is always written in place, and never sent
aside and renamed. The server checks our condition when a request begins; what comes between that and its end is this
server's window, kept small by chunks, and kept as an earlier version by the server.

Invariant: `Done` means that the share shows our bytes: their size, and a checksum or ETag that only they have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

import msgspec
import trio

from drivefs.errors import BadAnswer, NotFound, NotPermitted, QuotaExceeded, RemoteError, VersionMismatch, alone
from drivefs.errors import Refused as RefusedError
from drivefs.model import Kind, Observation, Ref, Version
from drivefs.remote.retry import retry
from drivefs.remote.webdav.chunks import Chunks, UploadGone, upload_of
from drivefs.remote.webdav.cloudlook import Mark, is_mine, mark_of, may_be_mine, tells_sha1, told_etag
from drivefs.remote.webdav.conditions import ABSENT, if_match, is_condition
from drivefs.remote.webdav.habits import Check, Habits
from drivefs.remote.webdav.metadata import Found, Question, ask
from drivefs.remote.webdav.owncloud import (
    composed,
    composed_ref,
    dav_root,
    parse_permissions,
    why_refused,
    write_capabilities,
)
from drivefs.remote.webdav.paths import Base
from drivefs.remote.webdav.propfind import OWNCLOUD, PLAIN, QUOTA, space_of
from drivefs.remote.webdav.session import Session
from drivefs.remote.webdav.verbs import Answer, Verbs
from drivefs.remote.writing import (
    Conflict,
    Content,
    Done,
    Journal,
    Later,
    NewFile,
    Outcome,
    Refused,
    Staged,
    Unknown,
    WriteCapabilities,
    as_expected,
)

LISTED_FROM: Final = 4
"""Files of a batch from which on one listing is cheaper than a look at each."""
NOTHING_DONE: Final = (401, 403, 404, 409, 413, 415, 423, 429, 503, 507)
"""Answers to a PUT after which nothing was changed. Not 400: Nextcloud gave it to a body that was cut, and kept the
cut file (its issue 62321)."""


class CloudWriter:
    """Writes below `base`, the address of a share of one of these servers. `chunk`: bytes of a chunk, 0 for never."""

    def __init__(self, session: Session, base: Base, *, chunk: int | None = None) -> None:
        capabilities = write_capabilities(base)
        self.capabilities: WriteCapabilities = (
            capabilities if chunk is None else msgspec.structs.replace(capabilities, chunks=chunk)
        )
        self.habits = Habits(
            can=self.capabilities, name="Nextcloud", deletes=Check.IF, moves=Check.IF, makes_parents=False
        )
        self._session = session
        self._base = base
        self._verbs = Verbs(session, base)
        root = dav_root(base)
        self._chunks: Chunks | None = None
        if root is not None and self.capabilities.chunks:
            self._chunks = Chunks(session, *root, self.look, self.capabilities.chunks)

    async def write(
        self, ref: Ref, content: Content, *, expected: Version | None, journal: Journal, resume: Staged | None = None
    ) -> Outcome:
        """As of the port. `resume`: an upload of the same content that was interrupted, from the journal."""
        ref = composed_ref(ref)
        mark = await mark_of(content)
        if self._chunks is not None and content.size > self.capabilities.chunks:
            return await self._write_large(self._chunks, ref, content, mark, expected, journal, resume)
        return await retry(partial(self._write_small, ref, content, mark, expected))

    async def commit(self, staged: Staged, target: Ref, *, expected: Version | None, journal: Journal) -> Outcome:
        upload = upload_of(staged)
        if self._chunks is None or upload is None:
            return Refused(NotFound(f"what was sent for {staged.target} was not sent to this server"))
        target = composed_ref(target)
        outcome = await self._chunks.assemble(staged, upload, target, expected)
        if isinstance(outcome, Done):
            await journal.end(staged)
        elif isinstance(outcome, Refused) or outcome.staged is None:
            with suppress(RemoteError):  # it stays in the journal then
                await self.discard(staged, journal)
        return outcome

    async def discard(self, staged: Staged, journal: Journal) -> None:
        if self._chunks is not None:
            await retry(partial(self._chunks.discard, staged))
        await journal.end(staged)

    async def look(self, ref: Ref) -> Observation | None:
        """What stands there now. Raises the remote errors but NotFound."""
        try:
            return (await retry(partial(self._ask, ref))).listing.directory
        except NotFound:
            return None

    async def _ask(self, ref: Ref, *more: str, directory: bool = False) -> Found:
        question = Question(ref, 0, (*PLAIN, *OWNCLOUD, *more), directory=directory)
        return await ask(self._session, self._base, question)

    # Small files

    async def _write_small(
        self, ref: Ref, content: Content, mark: Mark, expected: Version | None, *, repairs: int = 1
    ) -> Outcome:
        """One attempt. Raises when nothing was changed, and another attempt may be made."""
        if expected is not None and not is_condition(expected):
            observed = await self.look(ref)
            if observed is None or not as_expected(observed, expected) or not is_condition(observed.version):
                return Conflict(observed)
            expected = observed.version
        return await self._settled(ref, content, mark, expected, await self._put(ref, content, mark, expected), repairs)

    async def _put(self, ref: Ref, content: Content, mark: Mark, expected: Version | None) -> Answer:
        condition = ABSENT if expected is None else if_match(expected.etag)
        return await self._verbs.put(ref, content, {**condition, **mark.headers, "X-Hash": "sha1"})

    async def _settled(
        self, ref: Ref, content: Content, mark: Mark, expected: Version | None, answer: Answer, repairs: int = 1
    ) -> Outcome:
        """What came of a PUT. Raises when nothing was changed, and another attempt may be made."""
        if answer.error is not None and answer.status in NOTHING_DONE:
            return await self._without_folder(ref, answer) or later_or_never(answer.error)
        try:
            observed = await self.look(ref)
            mine = is_mine(observed, mark, etag=told_etag(answer)) or await self._same_content(ref, observed, mark)
        except RemoteError as error:
            return Unknown(answer.error or error)
        if observed is not None and is_damaged(observed, mark, answer):
            if repairs:
                return await self._write_small(ref, content, mark, observed.version, repairs=repairs - 1)
            return Unknown(BadAnswer(f"{ref}: the server stores something else than what is sent"))
        if mine:
            return Done(observed)
        if answer.error is not None and as_expected(observed, expected):
            return later_or_never(answer.error)
        return Conflict(observed)

    async def _without_folder(self, ref: Ref, answer: Answer) -> Refused | None:
        folder = await self.look(ref.parent) if answer.status in (404, 409) else None
        if answer.status in (404, 409) and (folder is None or folder.kind is not Kind.DIRECTORY):
            return Refused(NotFound(f"{ref.parent} is not a folder on the share"))
        return None

    async def _same_content(self, ref: Ref, observed: Observation | None, mark: Mark) -> bool:
        """Reads back what may be ours and does not say so: not all storage behind these servers keeps checksums."""
        if observed is None or not may_be_mine(observed, mark) or tells_sha1(observed):
            return False
        headers = {**if_match(observed.version.etag), "Accept-Encoding": "identity"}
        exchange = self._session.exchange(self._session.content, "GET", self._verbs.url(ref), headers=headers)
        digest = hashlib.sha1(usedforsecurity=False)
        async with exchange as response:
            while piece := await exchange.body.receive():
                digest.update(piece)
        return response.status_code == 200 and mark.checksum == f"SHA1:{digest.hexdigest()}"

    # Many small files

    async def create(self, folder: Ref, files: Sequence[NewFile], journal: Journal) -> Sequence[Outcome]:
        """As of the port: one PUT for each, and one listing for all that the server took."""
        folder = composed_ref(folder)
        outcomes: list[Outcome] = [Later(BadAnswer(f"{folder}: not sent"))] * len(files)
        sent: dict[int, tuple[Mark, Answer]] = {}

        async def send(number: int, ref: Ref, content: Content) -> None:
            if self._chunks is None or content.size <= self.capabilities.chunks:
                mark = await mark_of(content)
                sent[number] = mark, await self._put(ref, content, mark, None)

        async def conclude(number: int, ref: Ref, content: Content) -> None:
            outcomes[number] = await self._concluded(ref, content, sent.get(number), shown, journal)

        await each(folder, files, send)
        shown = await self._shown(folder, sum(answer.done for _, answer in sent.values()))
        await each(folder, files, conclude)
        return outcomes

    async def _shown(self, folder: Ref, taken: int) -> dict[str, Observation]:
        if taken < LISTED_FROM:
            return {}
        question = Question(folder, 1, (*PLAIN, *OWNCLOUD), directory=True)
        with suppress(RemoteError):
            listing = (await retry(partial(ask, self._session, self._base, question))).listing
            return {child.name: child for child in listing.children}
        return {}

    async def _concluded(
        self,
        ref: Ref,
        content: Content,
        sent: tuple[Mark, Answer] | None,
        shown: Mapping[str, Observation],
        journal: Journal,
    ) -> Outcome:
        """`sent` None: it was too large to be one of many."""
        try:
            if sent is None:
                return await self.write(ref, content, expected=None, journal=journal)
            mark, answer = sent
            observed = shown.get(ref.name)
            if observed is not None and answer.done and is_whole(observed, mark, answer):
                return Done(observed)
            try:
                return await self._settled(ref, content, mark, None, answer)
            except RemoteError as error:
                if not error.temporary:
                    raise
                return await retry(partial(self._write_small, ref, content, mark, None))
        except RemoteError as error:
            return Later(error)

    # Large files

    async def _write_large(
        self,
        chunks: Chunks,
        ref: Ref,
        content: Content,
        mark: Mark,
        expected: Version | None,
        journal: Journal,
        resume: Staged | None,
    ) -> Outcome:
        observed = await self.look(ref)
        if not as_expected(observed, expected):
            return Conflict(observed, resume)
        if hindrance := await self._hindrance(ref, observed, mark.size):
            return hindrance
        if resume is not None and not goes_on(resume, ref, mark):
            await self.discard(resume, journal)
            resume = None
        version = None if observed is None else observed.version
        if resume is not None:
            outcome = await self._send_chunks(chunks, resume, content, version, journal)
            if not (isinstance(outcome, Refused) and isinstance(outcome.error, UploadGone)):
                return outcome
        try:
            staged = await chunks.begin(ref, mark, journal)
        except (NotFound, RefusedError):  # a server without uploads
            return await self._write_small(ref, content, mark, expected)
        outcome = await self._send_chunks(chunks, staged, content, version, journal)
        if isinstance(outcome, Refused) and isinstance(outcome.error, UploadGone):
            return Later(outcome.error)
        return outcome

    async def _send_chunks(
        self, chunks: Chunks, staged: Staged, content: Content, expected: Version | None, journal: Journal
    ) -> Outcome:
        upload = upload_of(staged)
        assert upload is not None
        try:
            await chunks.send(staged, upload, content)
        except UploadGone as error:
            await journal.end(staged)
            return Refused(error)
        except RemoteError as error:
            if error.temporary or error.account_wide:
                return Later(error, staged)
            with suppress(RemoteError):
                await self.discard(staged, journal)
            return Refused(error)
        return await self.commit(staged, staged.target, expected=expected, journal=journal)

    async def _hindrance(self, ref: Ref, observed: Observation | None, size: int) -> Outcome | None:
        """Why there is no use in sending so much, as far as the server tells before.

        Raises: QuotaExceeded.
        """
        reason = why_refused(ref.name) if observed is None else None
        if reason is not None:
            return Refused(RefusedError(f"{ref}: {reason}"))
        try:
            folder = await retry(partial(self._ask, ref.parent, *QUOTA, directory=True))
        except NotFound as error:
            return Refused(error)
        own = parse_permissions(folder.listing.directory.permissions if observed is None else observed.permissions)
        if own is not None and not (own.create if observed is None else own.write):
            return Refused(NotPermitted(f"{ref}: the server does not permit it"))
        available = space_of(folder.own).available
        if available is not None and available < size:
            raise QuotaExceeded(f"{ref}: {size} bytes, and there is room for {available}")
        return None


async def each(folder: Ref, files: Sequence[NewFile], run: Callable[[int, Ref, Content], Awaitable[None]]) -> None:
    """Side by side; the session limits how many requests run at a time."""
    with alone():
        async with trio.open_nursery() as nursery:
            for number, file in enumerate(files):
                nursery.start_soon(run, number, folder.child(composed(file.name)), file.content)


def goes_on(staged: Staged, target: Ref, mark: Mark) -> bool:
    """Whether an interrupted upload is of the same content to the same place."""
    upload = upload_of(staged)
    return upload is not None and upload.mark == mark and staged.target.path == target.path


def is_whole(observed: Observation, mark: Mark, answer: Answer) -> bool:
    return is_mine(observed, mark, etag=told_etag(answer)) and not is_damaged(observed, mark, answer)


def is_damaged(observed: Observation, mark: Mark, answer: Answer) -> bool:
    """Whether what stands there is what our request made, and yet not what it sent. `X-Hash-SHA1`: what arrived."""
    if observed.version.etag != told_etag(answer):
        return False
    arrived = answer.headers.get("x-hash-sha1", "").lower()
    return observed.version.size != mark.size or (arrived != "" and mark.checksum != f"SHA1:{arrived}")


def later_or_never(error: RemoteError) -> Outcome:
    """Of a change that was not made. Raises what may go better soon."""
    if error.temporary or error.account_wide:
        raise error
    return Later(error) if isinstance(error, VersionMismatch) else Refused(error)
