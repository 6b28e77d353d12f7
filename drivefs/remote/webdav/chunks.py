"""Large files to Nextcloud and ownCloud: in chunks into a folder of uploads, which one MOVE then makes the file.

The requests are those of Nextcloud's "chunked upload" and ownCloud's "chunking NG": MKCOL uploads/USER/ID, PUT of
00001 and so on, MOVE of `.file`. One thing is left out on purpose: the `Destination` of MKCOL and PUT, which turns on
Nextcloud's version 2. That one writes into the target's own object where the storage is an object store, shows a wrong
size of the target meanwhile, and can finish under no other name; without the header the same server keeps the chunks
apart, and nothing at the target is touched before the MOVE (ChunkingV2Plugin and ChunkingPlugin of its source).

Invariants: the journal knows an upload before the server does. Only the MOVE changes anything that others see, and
what became of it is proven: by the checksum that it stored, or by the upload being used up and its time being ours.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from functools import partial
from types import TracebackType
from typing import Final

import msgspec
import trio

from drivefs.errors import BadAnswer, NotFound, RemoteError, ServerBusy, VersionMismatch
from drivefs.model import Ref, Version
from drivefs.names import staging_name
from drivefs.remote.retry import CONTENT, retry
from drivefs.remote.webdav.cloudlook import CloudShare, Mark, is_damaged, is_mine, told_etag
from drivefs.remote.webdav.conditions import if_header
from drivefs.remote.webdav.metadata import Question, ask
from drivefs.remote.webdav.owncloud import MIB
from drivefs.remote.webdav.paths import Base
from drivefs.remote.webdav.propfind import LENGTH
from drivefs.remote.webdav.verbs import Answer, Verbs
from drivefs.remote.webdav.xml import RESOURCETYPE
from drivefs.remote.writing import (
    Conflict,
    Content,
    Done,
    Journal,
    Later,
    Outcome,
    Pieces,
    Refused,
    Staged,
    Unknown,
    as_expected,
)

MOST_CHUNKS: Final = 10_000
ASSEMBLY_SECONDS: Final = 600.0
"""How long to wait for a server to put the chunks together: it copies the whole file."""
FIRST_WAIT, LONGEST_WAIT = 1.0, 15.0
TOKEN: Final = "chunks "
TARGET: Final = ".file"
"""In a folder of chunks, what they are together."""
NO_SUCH_UPLOAD: Final = (404, 409)


class UploadGone(NotFound):
    """The server has no such upload any more: it was used, removed, or given up after a day."""


class Upload(msgspec.Struct, frozen=True):
    """What an upload is, kept in the token of its `Staged`. `chunk`: bytes of each but the last."""

    chunk: int
    mark: Mark

    def token(self) -> str:
        return TOKEN + msgspec.json.encode(self).decode()


def upload_of(staged: Staged) -> Upload | None:
    """The upload that was journalled; None when it was staged in another way."""
    if not staged.token.startswith(TOKEN):
        return None
    return msgspec.json.decode(staged.token.removeprefix(TOKEN), type=Upload)


def chunk_size(size: int, wished: int) -> int:
    """Bytes per chunk: as wished, or whole MiB so that there are not too many."""
    needed = -(-size // MOST_CHUNKS)
    return max(wished, -(-needed // MIB) * MIB if needed > wished else wished)


def chunk_names(size: int, chunk: int) -> dict[str, tuple[int, int]]:
    """(offset, length) of each chunk by its name; they are put together in the order of their names."""
    starts = range(0, size, chunk)
    return {f"{number:05}": (start, min(chunk, size - start)) for number, start in enumerate(starts, start=1)}


class Part:
    """A part of a content, as a content of its own."""

    def __init__(self, whole: Content, start: int, size: int) -> None:
        self._whole = whole
        self._start = start
        self.size = size
        self.mtime_ns: int | None = None

    def open(self, offset: int = 0) -> AbstractAsyncContextManager[Pieces]:
        last = self._start + self.size == self._whole.size  # not cut: what comes after the promised end is an error
        return Cut(self._whole.open(self._start + offset), None if last else self.size - offset)


class Cut:
    """The context of one `open` of a part. `left`: bytes until its end, None for all there are."""

    def __init__(self, opened: AbstractAsyncContextManager[Pieces], left: int | None) -> None:
        self._opened = opened
        self._left = left
        self._pieces: Pieces | None = None

    async def __aenter__(self) -> Cut:
        self._pieces = await self._opened.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._opened.__aexit__(kind, error, traceback)

    async def receive(self) -> bytes:
        assert self._pieces is not None, "the part was not opened"
        if self._left == 0:
            return b""
        piece = await self._pieces.receive()
        if self._left is not None:
            piece = piece[: self._left]
            self._left -= len(piece)
        return piece


class Chunks:
    """Uploads of one user. `dav` is `.../remote.php/dav`, and `root` the path of our share's root below it."""

    def __init__(self, share: CloudShare, dav: Base, user: str, root: tuple[str, ...], chunk: int) -> None:
        self._share = share
        self._dav = dav
        self._verbs = Verbs(share.session, dav)
        self._uploads = Ref(("uploads", user))
        self._root = root
        self._chunk = chunk

    async def begin(self, target: Ref, mark: Mark, journal: Journal) -> Staged:
        """A new upload on the server. Raises the error of a refusal: nothing is left then."""
        upload = Upload(chunk_size(mark.size, self._chunk), mark)
        staged = Staged(target.parent.child(staging_name()), target, mark.size, upload.token())
        await journal.begin(staged)
        answer = await self._verbs.mkcol(self._place(staged))
        if answer.error is not None and (answer.certain or await self._listed(staged) is None):
            await journal.end(staged)
            raise answer.error
        return staged

    async def send(self, staged: Staged, upload: Upload, content: Content) -> None:
        """All chunks that are not there yet.

        Raises: UploadGone; the other remote errors: go on with it later.
        """
        there = await retry(partial(self._listed, staged))
        if there is None:
            raise gone(staged)
        for name, (start, length) in chunk_names(staged.size, upload.chunk).items():
            if there.get(name) != length:
                await retry(partial(self._put, staged, name, Part(content, start, length)), CONTENT)

    async def _put(self, staged: Staged, name: str, part: Part) -> None:
        """A chunk may be sent again under its name as often as need be: nobody else sees it."""
        answer = await self._verbs.put(self._place(staged).child(name), part, {})
        if answer.status in NO_SUCH_UPLOAD:
            raise gone(staged)
        if answer.error is not None:
            raise answer.error

    async def assemble(self, staged: Staged, upload: Upload, target: Ref, expected: Version | None) -> Outcome:
        """The MOVE, with patience: servers answer 423, proxies 504, or nobody at all, while the chunks are copied."""
        give_up = trio.current_time() + ASSEMBLY_SECONDS
        wait, lost = FIRST_WAIT, False
        while True:
            answer = await self._move(staged, upload, target, expected)
            lost = lost or not answer.certain
            outcome = await self._outcome(answer, staged, upload, target, expected)
            if outcome is not None:
                return outcome
            if trio.current_time() + wait > give_up:
                error = answer.error or ServerBusy(f"{target}: the server does not tell whether it was made")
                return Unknown(error, staged) if lost else Later(error, staged)
            await trio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    async def _move(self, staged: Staged, upload: Upload, target: Ref, expected: Version | None) -> Answer:
        """If-Match would be a condition on the upload here, so it is the If header that names the target."""
        place = Ref((*self._root, *target.path))
        headers = {"OC-Total-Length": str(staged.size), **upload.mark.headers}
        if expected is not None:
            headers |= if_header(self._verbs.url(place), expected.etag)
        source = self._place(staged).child(TARGET)
        return await self._verbs.move(source, place, headers, replace=expected is not None)

    async def _outcome(
        self, answer: Answer, staged: Staged, upload: Upload, target: Ref, expected: Version | None
    ) -> Outcome | None:
        """What became of the MOVE; None while that cannot be told, or while somebody has the target locked."""
        try:
            if answer.error is not None and answer.certain and is_final(answer.error):
                return await self._refused(answer.error, staged)
            observed = await self._share.look(target)
            there = await self._listed(staged)
        except RemoteError as error:
            return None if error.temporary else Unknown(error, staged)
        if is_mine(observed, upload.mark, etag=told_etag(answer), used_up=there is None):
            return Done(observed)
        if as_expected(observed, expected) and not answer.done:
            return Refused(gone(staged)) if there is None else not_yet(answer, staged)
        if is_damaged(observed, upload.mark, answer):
            return Unknown(BadAnswer(f"{target}: the server made something else of what was sent"))
        return Conflict(observed, None if there is None else staged)

    async def _refused(self, error: RemoteError, staged: Staged) -> Outcome:
        """No is no; but a full share may get room, and chunks that got lost are sent anew."""
        if error.account_wide:
            return Later(error, staged)
        there = await self._listed(staged) or {}
        complete = sum(size or 0 for name, size in there.items() if name != TARGET) == staged.size
        return Refused(error) if complete else Later(error)

    async def discard(self, staged: Staged) -> None:
        """Raises the error of a refusal, after the usual patience; an upload that is gone is no error."""
        await retry(partial(self._delete, staged))

    async def _delete(self, staged: Staged) -> None:
        answer = await self._verbs.delete(self._place(staged), {}, directory=True)
        if answer.error is not None and answer.status != 404:
            raise answer.error

    async def _listed(self, staged: Staged) -> dict[str, int | None] | None:
        """Sizes of the chunks on the server, with that of `.file`; None when there is no such upload."""
        question = Question(self._place(staged), 1, (RESOURCETYPE, LENGTH), directory=True)
        try:
            found = await ask(self._share.session, self._dav, question)
        except NotFound:
            return None
        return {child.name: child.version.size for child in found.listing.children}

    def _place(self, staged: Staged) -> Ref:
        return self._uploads.child(staged.place.name)


def not_yet(answer: Answer, staged: Staged) -> Outcome | None:
    """The target is as it was: the upload is in work still, or somebody has the target locked. Not so after a 412."""
    return Later(answer.error, staged) if answer.status == 412 and answer.error is not None else None


def gone(staged: Staged) -> UploadGone:
    return UploadGone(f"what was sent for {staged.target} is not on the server any more")


def is_final(error: RemoteError) -> bool:
    """Whether a refusal is about the MOVE itself: neither another version, nor an upload that is in work or used up."""
    return not error.temporary and not isinstance(error, NotFound | VersionMismatch)
