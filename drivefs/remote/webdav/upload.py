"""Bytes on their way to the share: under their final name where one request is safe, else under a name of ours first.

Invariants: a staging name is journalled before its first byte is sent; every attempt has a new one, for a server may
still be writing what it got of the last. What could not be removed, or might still appear, stays in the journal.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

import msgspec
import trio

from drivefs.errors import BadAnswer, NotFound, RemoteError, StoreError
from drivefs.model import Kind, Observation, Ref, Version
from drivefs.names import is_own, staging_name
from drivefs.remote.retry import CONTENT, retry
from drivefs.remote.webdav.conditions import ABSENT, if_match
from drivefs.remote.webdav.rename import Rename, rename
from drivefs.remote.webdav.settle import not_made, settle
from drivefs.remote.webdav.site import Site, is_file_of
from drivefs.remote.webdav.verbs import Answer
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
    Unknown,
    as_expected,
)

CLEAN_UP_SECONDS: Final = 5.0
STRAGGLER_PAUSES: Final = (0.05, 0.15, 0.4)
"""Seconds to wait for the rest of a broken upload to appear, so that it can be removed."""
LISTED_FROM: Final = 4
"""Files of a batch from which on one listing is cheaper than a look at each."""


async def write(site: Site, ref: Ref, content: Content, expected: Version | None, journal: Journal) -> Outcome:
    if site.habits.puts(ref.name, expected):
        return await put(site, ref, content, expected)
    if refused := site.unusable(ref):
        return refused
    try:
        staged, mine = await retry(partial(_stage, site, ref, content, journal), CONTENT)
    except RemoteError as error:
        return not_made(error)
    try:
        outcome = await commit(site, staged, ref, mine, expected, journal)
    except BaseException:
        await _clean_up(site, staged, journal, certain=True)
        raise
    if isinstance(outcome, Refused):
        await _clean_up(site, staged, journal, certain=True)
    return outcome


# At the final name


async def put(site: Site, ref: Ref, content: Content, expected: Version | None, *, doubt: bool = False) -> Outcome:
    """`doubt`: an earlier attempt may have been made."""

    async def judge(answer: Answer, doubt: bool) -> Outcome | None:
        return await _judge_put(site, ref, content, expected, answer, await site.look(ref), doubt=doubt)

    return await settle(partial(_send, site, ref, content, expected), judge, doubt=doubt)


async def _send(site: Site, ref: Ref, content: Content, expected: Version | None) -> Answer:
    return await site.verbs.put(ref, content, ABSENT if expected is NOTHING else if_match(expected.etag))


async def _judge_put(
    site: Site,
    ref: Ref,
    content: Content,
    expected: Version | None,
    answer: Answer,
    observed: Observation | None,
    *,
    doubt: bool,
) -> Outcome | None:
    """A lost answer is proven by the bytes: whoever wrote them, they are what was to be there."""
    if answer.done:
        return Done(observed) if is_file_of(observed, content.size) else Conflict(observed)
    if as_expected(observed, expected):
        return await site.missing_parent(ref, answer)
    if doubt and observed is not None and await site.holds(ref, observed, content):
        return Done(observed)
    return Conflict(observed)


# In a batch


async def create(site: Site, folder: Ref, files: Sequence[NewFile], journal: Journal) -> Sequence[Outcome]:
    """All are sent, then looked at together; each that was not simply taken goes on by itself."""
    outcomes: dict[int, Outcome] = {}
    answers: dict[int, Answer] = {}

    async def send(number: int, file: NewFile) -> None:
        ref = folder.child(file.name)
        if site.habits.puts(file.name, NOTHING):
            try:
                answers[number] = await _send(site, ref, file.content, NOTHING)
            except StoreError as error:
                outcomes[number] = Later(error)
        else:
            outcomes[number] = await _alone(site, ref, file.content, journal, doubt=False)

    async def finish(number: int, file: NewFile) -> None:
        if number in outcomes:
            return
        answer, ref = answers[number], folder.child(file.name)
        if answer.done:
            outcomes[number] = await _verify(site, ref, file.content, shown.get(file.name))
        else:
            outcomes[number] = await _alone(site, ref, file.content, journal, doubt=not answer.certain)

    await _each(files, send)
    shown = await _list(site, folder) if sum(answer.done for answer in answers.values()) >= LISTED_FROM else {}
    await _each(files, finish)
    return [outcomes[number] for number in range(len(files))]


async def _list(site: Site, folder: Ref) -> dict[str, Observation]:
    """What is in a folder, by name; nothing when that cannot be told."""
    with suppress(RemoteError):
        return {child.name: child for child in (await site.source.list(folder)).children}
    return {}


async def _verify(site: Site, ref: Ref, content: Content, shown: Observation | None) -> Outcome:
    """Of a file that the server said it took. What a listing does not show as it should be is asked for by itself."""
    try:
        observed = shown if is_file_of(shown, content.size) else await site.look(ref)
    except RemoteError as error:
        return Unknown(error)
    return Done(observed) if is_file_of(observed, content.size) else Conflict(observed)


async def _alone(site: Site, ref: Ref, content: Content, journal: Journal, *, doubt: bool) -> Outcome:
    try:
        if site.habits.puts(ref.name, NOTHING):
            return await put(site, ref, content, NOTHING, doubt=doubt)
        return await write(site, ref, content, NOTHING, journal)
    except (RemoteError, StoreError) as error:
        return Later(error)


async def _each(files: Sequence[NewFile], run: Callable[[int, NewFile], Awaitable[None]]) -> None:
    """Side by side; the session limits how many requests run at a time."""
    async with trio.open_nursery() as nursery:
        for number, file in enumerate(files):
            nursery.start_soon(run, number, file)


# Aside


async def _stage(site: Site, ref: Ref, content: Content, journal: Journal) -> tuple[Staged, Observation]:
    """Sends the bytes under a name of ours, and sees that all of them are there."""
    staged = Staged(ref.parent.child(staging_name()), ref, content.size)
    await journal.begin(staged)
    certain = False
    try:
        answer = await site.verbs.put(staged.place, content, {})
        certain = answer.certain
        if answer.error is not None:
            orphaned = await site.missing_parent(ref, answer)
            certain = certain or orphaned is not None
            raise answer.error if orphaned is None else orphaned.error
        mine = await site.look(staged.place)
        if mine is None or mine.version.size != content.size:
            kept = "nothing" if mine is None else f"{mine.version.size} bytes"
            raise BadAnswer(f"of the {content.size} bytes sent for {ref} the server kept {kept}")
    except BaseException:
        await _clean_up(site, staged, journal, certain=certain)
        raise
    return staged, mine


async def commit(
    site: Site, staged: Staged, target: Ref, mine: Observation, expected: Version | None, journal: Journal
) -> Outcome:
    """Raises nothing of the remote: the bytes are there, and can be gone on with."""
    try:
        outcome = await rename(site, Rename(staged.place, mine, target, expected, staged), journal)
    except RemoteError as error:
        return Later(error, staged)
    if isinstance(outcome, Unknown):
        return Unknown(outcome.error, staged)
    gone = isinstance(outcome, Done) or (isinstance(outcome, Conflict) and outcome.staged is None)
    if gone:
        await journal.end(staged)
    return outcome


async def resume(site: Site, staged: Staged, target: Ref, expected: Version | None, journal: Journal) -> Outcome:
    """Commit bytes that were sent earlier, perhaps before a crash."""
    assert is_own(staged.place.name), f"{staged.place} is not ours to move"
    if refused := site.unusable(target):
        return refused
    if staged.token:
        await site.verbs.unlock(staged.target, staged.token)
        staged = msgspec.structs.replace(staged, token="")
    try:
        mine = await site.look(staged.place)
    except RemoteError as error:
        return Later(error, staged)
    if mine is None or mine.version.size != staged.size:
        return Refused(NotFound(f"what was sent for {staged.target} is not on the share any more"))
    return await commit(site, staged, target, mine, expected, journal)


async def tidy(site: Site, staged: Staged, journal: Journal) -> None:
    """`discard` as far as it goes in a short time, also for who was cancelled."""
    with trio.move_on_after(CLEAN_UP_SECONDS, shield=True), suppress(RemoteError):
        await discard(site, staged, journal)


async def _clean_up(site: Site, staged: Staged, journal: Journal, *, certain: bool) -> None:
    """`certain`: no part of an upload can still appear."""
    with trio.move_on_after(CLEAN_UP_SECONDS, shield=True):
        for pause in STRAGGLER_PAUSES:
            answer = await site.verbs.delete(staged.place, {})
            nothing = isinstance(answer.error, NotFound)
            if answer.error is None or (nothing and (certain or site.habits.can.atomic_put)):
                await journal.end(staged)
                return
            if not nothing and not answer.error.temporary:
                return
            await trio.sleep(pause)


async def discard(site: Site, staged: Staged, journal: Journal) -> None:
    """Raises what hinders it; then it stays in the journal."""
    assert is_own(staged.place.name), f"{staged.place} is not ours to remove"
    if staged.token:
        await site.verbs.unlock(staged.target, staged.token)
    await retry(partial(_remove, site, staged.place))
    await journal.end(staged)


async def _remove(site: Site, place: Ref) -> None:
    """Servers on Go keep a broken upload locked until they notice (423)."""
    seen = await site.look(place)
    if seen is not None:
        answer = await site.verbs.delete(place, {}, directory=seen.kind is Kind.DIRECTORY)
        if answer.error is not None and not isinstance(answer.error, NotFound):
            raise answer.error
