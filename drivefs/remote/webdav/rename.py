"""Giving an entry another name: the last step of every upload that was sent aside, and of every move.

A name that is free is taken with `Overwrite: F`, which every server honours. A name that is taken is taken over under a
lock where there are locks: compare, rename with the lock's token and the ETag as conditions, unlock.
"""

from __future__ import annotations

from functools import partial

import msgspec

from drivefs.errors import RemoteError
from drivefs.model import Kind, Observation, Ref, Version
from drivefs.remote.retry import Policy, retry
from drivefs.remote.webdav.conditions import if_header, is_condition
from drivefs.remote.webdav.habits import Check
from drivefs.remote.webdav.locks import Lock
from drivefs.remote.webdav.settle import CHANGES, ONCE, not_made, settle
from drivefs.remote.webdav.site import Site
from drivefs.remote.webdav.verbs import Answer
from drivefs.remote.writing import NOTHING, Conflict, Done, Journal, Outcome, Staged, as_expected


class Rename(msgspec.Struct, frozen=True):
    """`mine` at `source` becomes `target`, where `replaces` stands now. `staged`, when `source` is a staging name."""

    source: Ref
    mine: Observation
    target: Ref
    replaces: Version | None = NOTHING
    staged: Staged | None = None

    @property
    def directory(self) -> bool:
        return self.mine.kind is Kind.DIRECTORY


async def rename(site: Site, wish: Rename, journal: Journal | None = None) -> Outcome:
    """The outcome; a Conflict holds `staged` as long as the bytes are there. A lock is noted in `journal`.

    Raises what passes: the name is locked by somebody else, the link broke; then nothing was renamed.
    """
    if wish.replaces is NOTHING:
        return await rename_now(site, wish, _condition_on_source(site, wish))
    if site.habits.can.locks and site.habits.lock_rename:
        return await _rename_patiently(site, wish, journal)
    if site.habits.moves is Check.IF and is_condition(wish.replaces):
        return await rename_now(site, wish, if_header(site.verbs.url(wish.target), wish.replaces.etag))
    return await retry(partial(_rename_compared, site, wish))


async def _rename_compared(site: Site, wish: Rename) -> Outcome:
    there = await site.look(wish.target)
    if not as_expected(there, wish.replaces):
        return Conflict(there, wish.staged)
    return await rename_now(site, wish, {}, ONCE)


def _condition_on_source(site: Site, wish: Rename) -> dict[str, str]:
    """What lies under a staging name is ours alone."""
    if wish.staged is not None or wish.directory or site.habits.moves is not Check.IF:
        return {}
    return if_header(site.verbs.url(wish.source), wish.mine.version.etag)


async def _rename_patiently(site: Site, wish: Rename, journal: Journal | None) -> Outcome:
    """Waits for others' locks. One that is refused may tell that the file has gone, or its folder; else that nobody
    may lock here, which does no harm where MOVE checks by itself."""
    try:
        return await retry(partial(_rename_locked, site, wish, journal))
    except RemoteError as error:
        there = await site.look(wish.target)
        if not as_expected(there, wish.replaces):
            return Conflict(there, wish.staged)
        if there is None or error.temporary or not (site.habits.moves is Check.IF and is_condition(there.version)):
            return not_made(error)
        return await rename_now(site, wish, if_header(site.verbs.url(wish.target), there.version.etag))


async def _rename_locked(site: Site, wish: Rename, journal: Journal | None) -> Outcome:
    there = await site.look(wish.target)  # before the lock, which might make a file where there is none any more
    if not as_expected(there, wish.replaces):
        return Conflict(there, wish.staged)
    async with Lock(site.verbs, wish.target) as lock:
        if journal is not None and wish.staged is not None:
            await journal.begin(msgspec.structs.replace(wish.staged, token=lock.token))
        there = await look_under(site, wish.target)
        if lock.made_file or not as_expected(there, wish.replaces):
            return Conflict(there, wish.staged)
        etag = there.version.etag if there is not None else None
        return await rename_now(site, wish, if_header(site.verbs.url(wish.target), etag, lock.token))


async def look_under(site: Site, ref: Ref) -> Observation | None:
    """What stands under our lock.

    An empty file that the lock itself made, because the file went away just then, is left: WsgiDAV and sabre forget a
    lock while a MOVE replaces its file, so what is empty now may be another client's whole file in a moment.
    """
    there = await site.look(ref)
    nothing = there is not None and there.kind is Kind.FILE and there.version.size is None  # Apache: a lock alone
    return None if nothing else there


async def rename_now(site: Site, wish: Rename, headers: dict[str, str], policy: Policy = CHANGES) -> Outcome:
    """MOVE, and what came of it."""
    replace = wish.replaces is not NOTHING

    async def send() -> Answer:
        return await site.verbs.move(wish.source, wish.target, headers, replace=replace, directory=wish.directory)

    async def judge(answer: Answer, doubt: bool) -> Outcome | None:
        there = await site.look(wish.target, directory=wish.directory and answer.done)
        if answer.done:
            return Done(there) if is_moved(site, wish, there) else Conflict(there)
        left = await site.look(wish.source)
        if left is None:
            if (doubt or wish.staged is not None) and is_moved(site, wish, there):
                return Done(there)
            return Conflict(None if as_expected(there, wish.replaces) else there)
        if not as_expected(there, wish.replaces):
            return Conflict(there, wish.staged)
        if not as_expected(left, wish.mine.version):
            return Conflict(left, wish.staged)
        return await site.missing_parent(wish.target, answer)

    return await settle(send, judge, policy=policy)


def is_moved(site: Site, wish: Rename, there: Observation | None) -> bool:
    """Whether what stands at the target is what was at the source."""
    if there is None or there.kind is not wish.mine.kind:
        return False
    if wish.directory:
        return as_expected(there, wish.mine.version)
    if site.habits.can.moves_keep_version and wish.source.parent == wish.target.parent:  # sabre copies to elsewhere
        return wish.mine.version.same(there.version)
    return wish.mine.version.size == there.version.size


async def move(
    site: Site, source: Ref, target: Ref, *, expected: Version, replaces: Version | None = NOTHING
) -> Outcome:
    """Rename an entry of others' names: at its expected version, and only to where there is a folder for it."""
    if refused := site.unusable(target):
        return refused
    checked = site.habits.moves is Check.IF and replaces is NOTHING and expected.size is not None
    if checked and is_condition(expected):
        mine = Observation(source.name, Kind.FILE, expected, 0.0)
    else:
        seen = await site.look(source)
        if seen is None or not as_expected(seen, expected):
            return Conflict(seen)
        mine = seen
    if site.habits.makes_parents and target.parent != source.parent and (lost := await site.without_parent(target)):
        return lost
    return await rename(site, Rename(source, mine, target, replaces))


async def copy(site: Site, source: Ref, target: Ref, *, expected: Version) -> Outcome:
    """Copy a file; it must be at its version before and after, else nobody knows what was copied.

    A copy of an uncertain version is left where it is: it may hold bytes that are nowhere else.
    """
    if refused := site.unusable(target):
        return refused
    seen = await site.look(source)
    if seen is None or not as_expected(seen, expected):
        return Conflict(seen)
    if site.habits.makes_parents and target.parent != source.parent and (lost := await site.without_parent(target)):
        return lost

    async def send() -> Answer:
        return await site.verbs.copy(source, target)

    async def judge(answer: Answer, doubt: bool) -> Outcome | None:
        there = await site.look(target)
        after = await site.look(source)
        if after is None or not as_expected(after, seen.version):
            return Conflict(after)
        if there is None:
            return await site.missing_parent(target, answer)
        fits = (answer.done or doubt) and there.version.size == seen.version.size
        if fits and (answer.done or await site.equal(source, seen.version, target, there.version)):
            return Done(there)
        return Conflict(there)

    return await settle(send, judge)


def is_within(source: Ref, target: Ref) -> bool:
    """Whether a folder would be moved into itself."""
    return target.path[: len(source.path)] == source.path
