"""Writing files to Nextcloud and ownCloud: which of them go how. Small ones by `cloudput`, large ones by `chunks`.

A file here has an id on which shares, versions and comments hang, so it is always written in place, and never sent
aside and renamed. The server checks our condition when a request begins; what comes between that and its end is this
server's window, kept small by chunks, and kept as an earlier version by the server.

Invariant: `Done` means that the share shows our bytes: their size, and a checksum or ETag that only they have.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import msgspec

from drivefs.errors import NotFound, NotPermitted, QuotaExceeded, RemoteError
from drivefs.errors import Refused as RefusedError
from drivefs.model import Observation, Ref, Version
from drivefs.remote.webdav.chunks import Chunks, UploadGone, upload_of
from drivefs.remote.webdav.cloudlook import TOLD, CloudShare, Mark, mark_of
from drivefs.remote.webdav.cloudput import SmallFiles, Wish, later_or_never
from drivefs.remote.webdav.habits import Check, Habits
from drivefs.remote.webdav.metadata import Question
from drivefs.remote.webdav.owncloud import composed_ref, dav_root, parse_permissions, why_refused, write_capabilities
from drivefs.remote.webdav.paths import Base
from drivefs.remote.webdav.propfind import QUOTA, space_of
from drivefs.remote.webdav.session import Session
from drivefs.remote.writing import (
    NOTHING,
    Conflict,
    Content,
    Done,
    Journal,
    Later,
    NewFile,
    Outcome,
    Refused,
    Staged,
    WriteCapabilities,
    as_expected,
)


class CloudWriter:
    """Writes below `base`, the address of a share of one of these servers. `chunk`: bytes of a chunk, 0 for never."""

    def __init__(self, session: Session, base: Base, *, chunk: int | None = None) -> None:
        can = write_capabilities(base)
        self.capabilities: WriteCapabilities = can if chunk is None else msgspec.structs.replace(can, chunks=chunk)
        self.habits = Habits(
            can=self.capabilities, name="Nextcloud", deletes=Check.IF, moves=Check.IF, makes_parents=False
        )
        self._share = CloudShare(session, base)
        self._small = SmallFiles(self._share)
        self._chunks: Chunks | None = None
        root = dav_root(base)
        if root is not None and self.capabilities.chunks:
            self._chunks = Chunks(self._share, *root, self.capabilities.chunks)

    async def write(
        self, ref: Ref, content: Content, *, expected: Version | None, journal: Journal, resume: Staged | None = None
    ) -> Outcome:
        """As of the port. `resume`: an upload of the same content that was interrupted, from the journal."""
        wish = Wish(composed_ref(ref), content, await mark_of(content), expected)
        try:
            if self._chunks is not None and self._is_large(content):
                return await self._write_large(self._chunks, wish, journal, resume)
            return await self._small.write(wish)
        except RemoteError as error:
            return later_or_never(error)

    async def create(self, folder: Ref, files: Sequence[NewFile], journal: Journal) -> Sequence[Outcome]:
        """As of the port. Files that go in chunks come after the others, one by one."""
        folder = composed_ref(folder)
        small = [file for file in files if not self._is_large(file.content)]
        outcomes = dict(zip((file.name for file in small), await self._small.create(folder, small), strict=True))
        for file in files:
            if file.name not in outcomes:
                outcomes[file.name] = await self._write_one(folder.child(file.name), file.content, journal)
        return [outcomes[file.name] for file in files]

    async def commit(self, staged: Staged, target: Ref, *, expected: Version | None, journal: Journal) -> Outcome:
        upload = upload_of(staged)
        if self._chunks is None or upload is None:
            return Refused(NotFound(f"what was sent for {staged.target} was not sent to this server"))
        target = composed_ref(target)
        if expected is not None:
            try:
                pinned = await self._share.pinned(target, expected)
            except RemoteError as error:
                return Later(error, staged)
            if isinstance(pinned, Conflict):
                return Conflict(pinned.observed, staged)
            expected = pinned
        outcome = await self._chunks.assemble(staged, upload, target, expected)
        if isinstance(outcome, Done):
            await journal.end(staged)
        elif isinstance(outcome, Refused) or outcome.staged is None:
            await self._tidy(staged, journal)
        return outcome

    async def discard(self, staged: Staged, journal: Journal) -> None:
        if self._chunks is not None:
            await self._chunks.discard(staged)
        await journal.end(staged)

    async def look(self, ref: Ref) -> Observation | None:
        """What stands there now, None for nothing."""
        return await self._share.look(ref)

    def _is_large(self, content: Content) -> bool:
        return 0 < self.capabilities.chunks < content.size

    async def _write_one(self, ref: Ref, content: Content, journal: Journal) -> Outcome:
        try:
            return await self.write(ref, content, expected=NOTHING, journal=journal)
        except RemoteError as error:
            return Later(error)

    async def _tidy(self, staged: Staged, journal: Journal) -> None:
        """`discard` as far as it goes; what stays is in the journal."""
        with suppress(RemoteError):
            await self.discard(staged, journal)

    # Large files

    async def _write_large(self, chunks: Chunks, wish: Wish, journal: Journal, resume: Staged | None) -> Outcome:
        observed = await self._share.look(wish.ref)
        if not as_expected(observed, wish.expected):
            return Conflict(observed, resume)
        hindrance = await self._hindrance(wish.ref, observed, wish.mark.size)
        if resume is not None and (hindrance is not None or not goes_on(resume, wish.ref, wish.mark)):
            await self._tidy(resume, journal)
            resume = None
        if hindrance is not None:
            return hindrance
        if observed is not None:
            wish = msgspec.structs.replace(wish, expected=observed.version)
        if resume is not None:
            outcome = await self._send(chunks, resume, wish, journal)
            if not is_gone(outcome):
                return outcome
        try:
            staged = await chunks.begin(wish.ref, wish.mark, journal)
        except (NotFound, RefusedError):  # a server without uploads
            return await self._small.write(wish)
        outcome = await self._send(chunks, staged, wish, journal)
        return Later(outcome.error) if is_gone(outcome) and isinstance(outcome, Refused) else outcome

    async def _send(self, chunks: Chunks, staged: Staged, wish: Wish, journal: Journal) -> Outcome:
        upload = upload_of(staged)
        assert upload is not None
        try:
            await chunks.send(staged, upload, wish.content)
        except RemoteError as error:
            if error.temporary or error.account_wide:
                return Later(error, staged)
            await self._tidy(staged, journal)
            return Refused(error)
        return await self.commit(staged, wish.ref, expected=wish.expected, journal=journal)

    async def _hindrance(self, ref: Ref, observed: Observation | None, size: int) -> Refused | None:
        """Why there is no use in sending so much, as far as the server tells before. Raises: QuotaExceeded."""
        reason = why_refused(ref.name) if observed is None else None
        if reason is not None:
            return Refused(RefusedError(f"{ref}: {reason}"))
        try:
            folder = await self._share.ask(Question(ref.parent, 0, (*TOLD, *QUOTA), directory=True))
        except NotFound as error:
            return Refused(error)
        own = parse_permissions(folder.listing.directory.permissions if observed is None else observed.permissions)
        if own is not None and not (own.create if observed is None else own.write):
            return Refused(NotPermitted(f"{ref}: the server does not permit it"))
        available = space_of(folder.own).available
        if available is not None and available < size:
            raise QuotaExceeded(f"{ref}: {size} bytes, and there is room for {available}")
        return None


def goes_on(staged: Staged, target: Ref, mark: Mark) -> bool:
    """Whether an interrupted upload is of the same content to the same place."""
    upload = upload_of(staged)
    return upload is not None and upload.mark == mark and staged.target.path == target.path


def is_gone(outcome: Outcome) -> bool:
    return isinstance(outcome, Refused) and isinstance(outcome.error, UploadGone)
