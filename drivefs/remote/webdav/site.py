"""What all changes share: the requests of one server, its habits, and looking at what stands where."""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

from drivefs.errors import NotFound, VersionMismatch
from drivefs.errors import Refused as RefusedError
from drivefs.model import Kind, Listing, Observation, Ref, Version
from drivefs.remote.base import Capabilities, ReadStream
from drivefs.remote.webdav.habits import Habits
from drivefs.remote.webdav.verbs import Answer, Verbs
from drivefs.remote.writing import Content, Refused

ORPHANED: Final = (403, 404, 409, 500)
"""What servers answer when the parent is missing (rclone: 403 and 404; nginx, and Apache for a MOVE: 500)."""


class Source(Protocol):
    """What is needed of the reading half. All of it is patient."""

    @property
    def capabilities(self) -> Capabilities: ...
    def list(self, ref: Ref) -> Awaitable[Listing]: ...
    def observe(self, ref: Ref, *, directory: bool) -> Awaitable[Observation]: ...
    def read(self, ref: Ref, *, version: Version) -> AbstractAsyncContextManager[ReadStream]: ...


class Receiver(Protocol):
    """Of a download or an upload."""

    async def receive(self) -> bytes: ...


class Site:
    """One share that is being changed."""

    def __init__(self, source: Source, verbs: Verbs, habits: Habits) -> None:
        self.source = source
        self.verbs = verbs
        self.habits = habits

    async def look(self, ref: Ref, *, directory: bool = False) -> Observation | None:
        """What stands there; None for nothing. `directory`: if there is anything, it is one."""
        try:
            return await self.source.observe(ref, directory=directory)
        except NotFound:
            return None

    def unusable(self, ref: Ref) -> Refused | None:
        """The outcome for a name that this server would confuse with another one."""
        found = set(self.habits.can.unusable).intersection("".join((*self.verbs.base.segments, *ref.path)))
        if not found:
            return None
        return Refused(RefusedError(f"{ref}: this server cannot rename to names with {' or '.join(sorted(found))}"))

    async def missing_parent(self, ref: Ref, answer: Answer) -> Refused | None:
        """The outcome for a change that was refused because there is no folder for it to be in."""
        if answer.status in ORPHANED:
            return await self.without_parent(ref)
        return None

    async def without_parent(self, ref: Ref) -> Refused | None:
        parent = await self.look(ref.parent)
        if parent is None or parent.kind is not Kind.DIRECTORY:
            return Refused(NotFound(f"{ref.parent} is not a folder on the share"))
        return None

    async def holds(self, ref: Ref, observed: Observation, content: Content) -> bool:
        """Whether a file has just these bytes. Reads it."""
        if observed.kind is not Kind.FILE or observed.version.size not in (None, content.size):
            return False
        try:
            async with self.source.read(ref, version=observed.version) as stream, content.open() as pieces:
                return await same_bytes(stream, pieces)
        except VersionMismatch:
            return False

    async def equal(self, one: Ref, at: Version, other: Ref, other_at: Version) -> bool:
        """Whether two files of the share have the same bytes. Reads both."""
        try:
            async with self.source.read(one, version=at) as stream, self.source.read(other, version=other_at) as second:
                return await same_bytes(stream, second)
        except VersionMismatch:
            return False


async def same_bytes(one: Receiver, other: Receiver) -> bool:
    left, right = b"", b""
    while True:
        left = left or await one.receive()
        right = right or await other.receive()
        common = min(len(left), len(right))
        if left[:common] != right[:common] or (common == 0 and left != right):
            return False
        if common == 0:
            return True
        left, right = left[common:], right[common:]


def is_file_of(observed: Observation | None, size: int) -> bool:
    return observed is not None and observed.kind is Kind.FILE and observed.version.size == size
