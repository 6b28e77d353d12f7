"""Deleting at an expected version. On every server a DELETE of a folder takes all that is in it along, so what a folder
holds is looked at first.
"""

from __future__ import annotations

from functools import partial

from drivefs.errors import Refused as RefusedError
from drivefs.errors import RemoteError
from drivefs.model import Kind, Observation, Ref, Version
from drivefs.remote.retry import Policy, retry
from drivefs.remote.webdav.conditions import if_header, if_locked, if_match, is_condition
from drivefs.remote.webdav.habits import Check
from drivefs.remote.webdav.locks import Lock
from drivefs.remote.webdav.rename import look_under
from drivefs.remote.webdav.settle import CHANGES, ONCE, Send, not_made, settle
from drivefs.remote.webdav.site import Site
from drivefs.remote.webdav.verbs import Answer
from drivefs.remote.writing import Conflict, Done, Outcome, Refused, as_expected


async def delete(site: Site, ref: Ref, *, expected: Version, recursive: bool) -> Outcome:
    if site.habits.deletes is not Check.COMPARE and expected.size is not None and is_condition(expected):
        return await _settle(site, ref, expected, partial(site.verbs.delete, ref, _condition(site, ref, expected)))
    try:
        return await retry(partial(_delete_compared, site, ref, expected, recursive))
    except RemoteError as error:
        return not_made(error)


async def _delete_compared(site: Site, ref: Ref, expected: Version, recursive: bool) -> Outcome:
    """One attempt: what was seen a while ago may be another thing now."""
    seen = await site.look(ref)
    if seen is None:
        return Done()
    if not as_expected(seen, expected):
        return Conflict(seen)
    if seen.kind is Kind.DIRECTORY:
        return await _delete_folder(site, ref, seen, recursive=recursive)
    if site.habits.deletes is Check.COMPARE and site.habits.can.locks:
        return await _delete_locked(site, ref, expected)
    send = partial(site.verbs.delete, ref, _condition(site, ref, seen.version))
    return await _settle(site, ref, expected, send, ONCE)


def _condition(site: Site, ref: Ref, version: Version) -> dict[str, str]:
    match site.habits.deletes:
        case Check.IF:
            return if_header(site.verbs.url(ref), version.etag)
        case Check.IF_MATCH:
            return if_match(version.etag)
        case Check.COMPARE:
            return {}


async def _delete_locked(site: Site, ref: Ref, expected: Version) -> Outcome:
    async with Lock(site.verbs, ref) as lock:
        seen = await look_under(site, ref)
        if seen is None:
            return Done()
        if lock.made_file or not as_expected(seen, expected):
            return Conflict(seen)

        async def send() -> Answer:
            answer = await site.verbs.delete(ref, if_locked(lock.token))
            if answer.status == 424:  # Apache asks the folder for the token, unless the file is named
                answer = await site.verbs.delete(ref, if_header(site.verbs.url(ref), None, lock.token))
            return answer

        return await _settle(site, ref, expected, send)


async def _delete_folder(site: Site, ref: Ref, seen: Observation, *, recursive: bool) -> Outcome:
    if not recursive:
        if site.source.capabilities.hides_dotfiles:
            return Refused(
                RefusedError(f"{ref}: the server hides names with a dot, so nobody can tell that it is empty")
            )
        listing = await site.source.list(ref)
        if listing.children or listing.hidden:
            return Conflict(listing.directory)
    return await _settle(site, ref, seen.version, partial(site.verbs.delete, ref, {}, directory=True), ONCE)


async def _settle(site: Site, ref: Ref, expected: Version, send: Send, policy: Policy = CHANGES) -> Outcome:
    async def judge(answer: Answer, doubt: bool) -> Outcome | None:
        seen = await site.look(ref)
        if seen is None:
            return Done()
        return None if as_expected(seen, expected) else Conflict(seen)

    return await settle(send, judge, policy=policy)
