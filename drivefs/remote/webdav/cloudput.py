"""Small files to Nextcloud and ownCloud: one PUT at the final name, and a look at what came of it.

Invariant: a PUT carries its condition and a checksum, so it may be sent again, and what it made can be told.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

import msgspec
import trio

from drivefs.errors import BadAnswer, NotFound, RemoteError, StoreError, VersionMismatch, alone
from drivefs.model import Kind, Observation, Ref, Version
from drivefs.remote.retry import retry
from drivefs.remote.webdav.cloudlook import (
    TOLD,
    CloudShare,
    Mark,
    is_damaged,
    is_mine,
    mark_of,
    may_be_mine,
    tells_sha1,
    told_etag,
)
from drivefs.remote.webdav.conditions import ABSENT, if_match
from drivefs.remote.webdav.metadata import Question
from drivefs.remote.webdav.owncloud import composed
from drivefs.remote.webdav.verbs import Answer
from drivefs.remote.writing import Conflict, Content, Done, Later, NewFile, Outcome, Refused, Unknown, as_expected

LISTED_FROM: Final = 4
"""Files of a batch from which on one listing is cheaper than a look at each."""
NOTHING_DONE: Final = (401, 403, 404, 409, 413, 415, 423, 429, 503, 507)
"""Answers to a PUT after which nothing was changed. Not 400: Nextcloud gave it to a body that was cut, and kept the
cut file (its issue 62321)."""
ORPHANED: Final = (404, 409)


class Wish(msgspec.Struct, frozen=True):
    """`content` shall be at `ref`, where `expected` is now."""

    ref: Ref
    content: Content
    mark: Mark
    expected: Version | None


class SmallFiles:
    def __init__(self, share: CloudShare) -> None:
        self._share = share

    async def write(self, wish: Wish) -> Outcome:
        """Raises what may go better soon, when nothing was changed."""
        return await retry(partial(self._attempt, wish))

    async def _attempt(self, wish: Wish, repairs: int = 1) -> Outcome:
        if wish.expected is not None:
            pinned = await self._share.pinned(wish.ref, wish.expected)
            if isinstance(pinned, Conflict):
                return pinned
            wish = msgspec.structs.replace(wish, expected=pinned)
        return await self._settled(wish, await self._put(wish), repairs)

    async def _put(self, wish: Wish) -> Answer:
        condition = ABSENT if wish.expected is None else if_match(wish.expected.etag)
        return await self._share.verbs.put(wish.ref, wish.content, {**condition, **wish.mark.headers, "X-Hash": "sha1"})

    async def _settled(self, wish: Wish, answer: Answer, repairs: int = 1) -> Outcome:
        """What came of a PUT. Raises when nothing was changed, and another attempt may be made."""
        if answer.error is not None and answer.status in NOTHING_DONE:
            return await self._without_folder(wish.ref, answer) or later_or_never(answer.error)
        try:
            observed = await self._share.look(wish.ref)
            mine = is_mine(observed, wish.mark, etag=told_etag(answer)) or await self._holds(wish, observed)
        except RemoteError as error:
            return Unknown(answer.error or error)
        if observed is not None and is_damaged(observed, wish.mark, answer):
            if repairs:
                return await self._attempt(msgspec.structs.replace(wish, expected=observed.version), repairs - 1)
            return Unknown(BadAnswer(f"{wish.ref}: the server stores something else than what is sent"))
        if mine:
            return Done(observed)
        if answer.error is not None and as_expected(observed, wish.expected):
            return later_or_never(answer.error)
        return Conflict(observed)

    async def _without_folder(self, ref: Ref, answer: Answer) -> Refused | None:
        if answer.status not in ORPHANED:
            return None
        folder = await self._share.look(ref.parent)
        if folder is not None and folder.kind is Kind.DIRECTORY:
            return None
        return Refused(NotFound(f"{ref.parent} is not a folder on the share"))

    async def _holds(self, wish: Wish, observed: Observation | None) -> bool:
        """Reads back what may be ours and does not say so: not all storage behind these servers keeps checksums."""
        if observed is None or not may_be_mine(observed, wish.mark) or tells_sha1(observed):
            return False
        return await self._share.sha1(wish.ref, observed.version) == wish.mark.checksum

    # Many

    async def create(self, folder: Ref, files: Sequence[NewFile]) -> Sequence[Outcome]:
        """One PUT for each, and one listing for all that the server took."""
        sent: dict[int, tuple[Wish, Answer]] = {}
        outcomes: dict[int, Outcome] = {}

        async def send(number: int, file: NewFile) -> None:
            ref = folder.child(composed(file.name))
            try:
                wish = Wish(ref, file.content, await mark_of(file.content), None)
                sent[number] = wish, await self._put(wish)
            except StoreError as error:
                outcomes[number] = Later(error)

        async def conclude(number: int, file: NewFile) -> None:
            if number in sent:
                outcomes[number] = await self._concluded(*sent[number], shown)

        await each(files, send)
        shown = await self._shown(folder, sum(answer.done for _, answer in sent.values()))
        await each(files, conclude)
        return [outcomes[number] for number in range(len(files))]

    async def _shown(self, folder: Ref, taken: int) -> dict[str, Observation]:
        if taken >= LISTED_FROM:
            with suppress(RemoteError):
                listing = (await self._share.ask(Question(folder, 1, TOLD, directory=True))).listing
                return {child.name: child for child in listing.children}
        return {}

    async def _concluded(self, wish: Wish, answer: Answer, shown: Mapping[str, Observation]) -> Outcome:
        observed = shown.get(wish.ref.name)
        whole = is_mine(observed, wish.mark, etag=told_etag(answer)) and not is_damaged(observed, wish.mark, answer)
        if answer.done and whole:
            return Done(observed)
        try:
            return await self._settled(wish, answer)
        except RemoteError as error:
            if not error.temporary:
                return Later(error)
        try:
            return await self.write(wish)
        except (RemoteError, StoreError) as error:
            return Later(error)


async def each(files: Sequence[NewFile], run: Callable[[int, NewFile], Awaitable[None]]) -> None:
    """Side by side; the session limits how many requests run at a time."""
    with alone():
        async with trio.open_nursery() as nursery:
            for number, file in enumerate(files):
                nursery.start_soon(run, number, file)


def later_or_never(error: RemoteError) -> Outcome:
    """Of a change that was not made. Raises what may go better soon."""
    if error.temporary or error.account_wide:
        raise error
    return Later(error) if isinstance(error, VersionMismatch) else Refused(error)
