"""A WebDAV share that may be changed: the port, and which room of this house does what.

`upload` brings bytes, `rename` gives names, `remove` takes away; all of them go by the server's `habits`. A drive that
must not change its share is given a `WebDavRemote`, which has none of this.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from drivefs.errors import NotPermitted
from drivefs.errors import Refused as RefusedError
from drivefs.model import Kind, Observation, Ref, Version
from drivefs.names import staging_name
from drivefs.remote.retry import retry
from drivefs.remote.webdav import remove, rename, upload
from drivefs.remote.webdav.chunks import upload_of
from drivefs.remote.webdav.client import WebDavRemote
from drivefs.remote.webdav.cloudwrite import CloudWriter
from drivefs.remote.webdav.habits import CAREFUL, Check, Habits, recognise, without_locks
from drivefs.remote.webdav.locks import Lock
from drivefs.remote.webdav.metadata import Question, ask
from drivefs.remote.webdav.owncloud import composed_ref
from drivefs.remote.webdav.propfind import OWNCLOUD, PLAIN
from drivefs.remote.webdav.selftest import SelfTest
from drivefs.remote.webdav.settle import settle
from drivefs.remote.webdav.site import Site
from drivefs.remote.webdav.verbs import Answer, Verbs
from drivefs.remote.writing import (
    NOTHING,
    Conflict,
    Content,
    Done,
    Journal,
    NewFile,
    Outcome,
    Refused,
    Staged,
    WriteCapabilities,
)

T = TypeVar("T")


class WritableWebDav(WebDavRemote):
    """See `WebDavRemote` for the arguments. Until `prepare` was called, every change goes the careful way."""

    _habits: Habits = CAREFUL
    _cloud: CloudWriter | None = None
    """Writes the files of a Nextcloud or ownCloud; their other changes are as everywhere."""

    @property
    def write_capabilities(self) -> WriteCapabilities:
        return self._habits.can

    async def prepare(self, journal: Journal) -> WriteCapabilities:
        """Known servers are known from two requests that change nothing, but for their locks, which one that offers
        them may not have (nginx); others are put to the test."""
        base, options = await retry(self._greet)
        question = Question(Ref(), 0, (*PLAIN, *OWNCLOUD), directory=True)
        found = await retry(partial(ask, self._session, base, question))
        if found.listing.directory.version.file_id is not None:
            self._cloud = CloudWriter(self._session, self._base)
            self._habits = self._cloud.habits
            return self._habits.can
        known = recognise(options, found.headers)
        if known is None:
            self._habits = await self._test(found.headers.get("server", ""), journal)
        else:
            self._habits = await self._with_locks_as_they_are(known, journal)
        return self._habits.can

    async def write(
        self, ref: Ref, content: Content, *, expected: Version | None, journal: Journal, resume: Staged | None = None
    ) -> Outcome:
        if resume is not None and (self._cloud is None or upload_of(resume) is None):
            await self.discard(resume, journal)
            resume = None
        if self._cloud is not None:
            return await self._cloud.write(ref, content, expected=expected, journal=journal, resume=resume)
        return await upload.write(self._site, ref, content, expected, journal)

    async def create(self, folder: Ref, files: Sequence[NewFile], journal: Journal) -> Sequence[Outcome]:
        if self._cloud is not None:
            return await self._cloud.create(folder, files, journal)
        return await upload.create(self._site, folder, files, journal)

    async def commit(self, staged: Staged, target: Ref, *, expected: Version | None, journal: Journal) -> Outcome:
        if self._cloud is not None and upload_of(staged) is not None:
            return await self._cloud.commit(staged, target, expected=expected, journal=journal)
        return await upload.resume(self._site, staged, target, expected, journal)

    async def discard(self, staged: Staged, journal: Journal) -> None:
        if self._cloud is not None and upload_of(staged) is not None:
            await self._cloud.discard(staged, journal)
        else:
            await upload.discard(self._site, staged, journal)

    async def mkdir(self, ref: Ref) -> Outcome:
        ref = self._kept(ref)
        site = self._site
        if not self._habits.can.checks_mkdir and (seen := await site.look(ref)):
            return Conflict(seen)

        async def send() -> Answer:
            return await site.verbs.mkcol(ref)

        async def judge(answer: Answer, doubt: bool) -> Outcome | None:
            seen = await site.look(ref, directory=answer.done)
            if seen is None:
                return await site.missing_parent(ref, answer)
            made = (answer.done or doubt) and seen.kind is Kind.DIRECTORY  # two folders of one name are one
            return Done(seen) if made else Conflict(seen)

        return await settle(send, judge)

    async def delete(self, ref: Ref, *, expected: Version, recursive: bool = False) -> Outcome:
        return await remove.delete(self._site, ref, expected=expected, recursive=recursive)

    async def move(self, source: Ref, target: Ref, *, expected: Version, replaces: Version | None = NOTHING) -> Outcome:
        if rename.is_within(source, target):
            return Refused(RefusedError(f"{source} cannot be moved into itself"))
        return await rename.move(self._site, source, self._kept(target), expected=expected, replaces=replaces)

    async def copy(self, source: Ref, target: Ref, *, expected: Version) -> Outcome:
        return await rename.copy(self._site, source, self._kept(target), expected=expected)

    async def observe(self, ref: Ref, *, directory: bool) -> Observation:
        """`stat` of what is known to be a directory or not: asking with the right slash saves a redirect."""
        question = Question(ref, 0, self._properties, directory=directory)
        return (await retry(partial(self._ask, question))).listing.directory

    def _kept(self, ref: Ref) -> Ref:
        """A new entry by the name that the server will keep it under."""
        return ref if self._cloud is None else composed_ref(ref)

    @property
    def _site(self) -> Site:
        return Site(self, Verbs(self._session, self._base), self._habits)

    async def _with_locks_as_they_are(self, habits: Habits, journal: Journal) -> Habits:
        if not (habits.can.locks and habits.lock_rename):
            return habits
        try:
            await self._on_own_name(self._lock_once, journal)
        except RefusedError:
            return without_locks(habits)
        except NotPermitted:  # never, or only in the root: where MOVE checks by itself it does not matter
            return without_locks(habits) if habits.moves is Check.IF else habits
        return habits

    async def _test(self, server: str, journal: Journal) -> Habits:
        return await self._on_own_name(lambda name: SelfTest(self._site, name).run(server), journal)

    async def _lock_once(self, name: Ref) -> None:
        async with Lock(self._site.verbs, name):
            pass

    async def _on_own_name(self, use: Callable[[Ref], Awaitable[T]], journal: Journal) -> T:
        """Runs what needs a name on the share for itself, and removes what it left there."""
        name = Ref((staging_name(),))
        staged = Staged(name, name, 0)
        await journal.begin(staged)
        try:
            return await use(name)
        finally:
            await upload.tidy(self._site, staged, journal)
