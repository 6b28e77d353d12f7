"""What an unknown server does with changes, found out on files of our own in a folder of our own.

Only what can be seen is believed: that the server refuses what it must refuse, and takes what we shall ask of it. That
an interrupted PUT does no harm, or that a condition is checked late, cannot be seen in a moment, so it is not assumed.
Nothing but that folder is touched; it has a staging name, which the caller has journalled and removes.
"""

from __future__ import annotations

from typing import Final

from drivefs.errors import BadAnswer, RemoteError
from drivefs.model import Ref, Version
from drivefs.remote.content import BytesContent
from drivefs.remote.webdav.conditions import if_header
from drivefs.remote.webdav.habits import UNLOCKED, Check, Habits
from drivefs.remote.webdav.locks import Lock
from drivefs.remote.webdav.site import Site, is_file_of
from drivefs.remote.webdav.verbs import Answer
from drivefs.remote.writing import WriteCapabilities

STALE: Final = "drivefs-no-such-etag"
ODD: Final = "?;#%&+:"
"""Characters that servers may mistake in a Destination, encoded though they are."""
SOURCE: Final = b"a longer source"


class SelfTest:
    """`run` once, in an empty `folder` that is not there yet."""

    def __init__(self, site: Site, folder: Ref) -> None:
        self._site = site
        self._verbs = site.verbs
        self._folder = folder
        self._one, self._two = folder.child("one"), folder.child("two")

    async def run(self, name: str) -> Habits:
        """Raises: the error of the first request that a share must be able to do, and is not."""
        needed(await self._verbs.mkcol(self._folder))
        checks_mkdir = not (await self._verbs.mkcol(self._folder)).done
        keeps = await self._moves_keep_version()
        await self._refuses_to_overwrite()
        unusable = "".join([character for character in ODD if not await self._may_be_named(f"x{character}y")])
        locks, checks_locked = await self._locks()
        moves = Check.COMPARE if locks else await self._check_of_moves()
        can = WriteCapabilities(
            checks_mkdir=checks_mkdir,
            moves_keep_version=keeps,
            locks=locks,
            checks_move=checks_locked if locks else moves is Check.IF,
            unusable=unusable,
            window="" if locks else UNLOCKED,
        )
        return Habits(can, name, moves=moves, lock_rename=locks)

    async def _put(self, ref: Ref, text: bytes) -> Version:
        needed(await self._verbs.put(ref, BytesContent(text), {}))
        seen = await self._site.look(ref)
        if seen is None or seen.version.size != len(text):
            raise BadAnswer("the server does not keep what is sent to it")
        return seen.version

    async def _moves_keep_version(self) -> bool:
        version = await self._put(self._one, b"first")
        needed(await self._verbs.move(self._one, self._two, {}, replace=False))
        moved = await self._site.look(self._two)
        return moved is not None and version.same(moved.version) and await self._site.look(self._one) is None

    async def _refuses_to_overwrite(self) -> None:
        """Without this there is no safe way to give a file a name."""
        await self._put(self._one, b"other content")
        await self._verbs.move(self._one, self._two, {}, replace=False)
        kept = await self._site.look(self._two)
        if kept is None or kept.version.size != len(b"first"):
            raise BadAnswer("the server overwrites files though it is told not to (Overwrite: F)")

    async def _may_be_named(self, name: str) -> bool:
        """Whether MOVE gives just this name."""
        await self._put(self._one, b"odd")
        await self._verbs.move(self._one, self._folder.child(name), {}, replace=False)
        return await self._site.look(self._folder.child(name)) is not None

    async def _locks(self) -> tuple[bool, bool]:
        """Whether a lock keeps others out and lets us in; and whether the ETag is looked at then, too."""
        try:
            _, right = await self._replace_locked(stale=False)
            kept_out, stale = await self._replace_locked(stale=True)
        except RemoteError as error:
            if error.temporary or error.account_wide:
                raise
            return False, False
        return kept_out and right, not stale

    async def _replace_locked(self, *, stale: bool) -> tuple[bool, bool]:
        """Under our lock: whether a PUT without its token is refused, and whether a MOVE with it is made."""
        version = await self._fresh()
        async with Lock(self._verbs, self._two) as lock:
            intruder = await self._verbs.put(self._two, BytesContent(b"target"), {})
            etag = STALE if stale else version.etag
            await self._verbs.move(self._one, self._two, self._condition(etag, lock.token), replace=True)
        return intruder.status == 423, await self._was_moved()

    async def _check_of_moves(self) -> Check:
        """Without a lock: whether MOVE takes the right ETag, and refuses another."""
        made = []
        for stale in (False, True):
            version = await self._fresh()
            if version.etag is None:
                return Check.COMPARE
            etag = STALE if stale else version.etag
            await self._verbs.move(self._one, self._two, self._condition(etag, ""), replace=True)
            made.append(await self._was_moved())
        return Check.IF if made == [True, False] else Check.COMPARE

    async def _fresh(self) -> Version:
        """Both files anew; gives the version of the second."""
        await self._put(self._one, SOURCE)
        return await self._put(self._two, b"target")

    def _condition(self, etag: str | None, token: str) -> dict[str, str]:
        return if_header(self._verbs.url(self._two), etag, token)

    async def _was_moved(self) -> bool:
        return is_file_of(await self._site.look(self._two), len(SOURCE))


def needed(answer: Answer) -> Answer:
    if answer.error is not None:
        raise answer.error
    return answer
