"""The changing half of the share in memory: it does what its `WriteCapabilities` say, with all that this leaves open.

What a server promises not to check is compared immediately before the change instead, as drivefs does it there. Set
`race` to let somebody else slip in where that is possible:

    remote.race = lambda method, ref: remote.share.put(ref, b"theirs")

Where the share checks by itself, the other one comes just before the check, and is seen; else between the comparison
and the change, and is not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import trio

from drivefs.errors import NotFound, QuotaExceeded, RemoteError, ServerBusy, StoreError
from drivefs.errors import Refused as RefusedError
from drivefs.model import Kind, Listing, Observation, Ref, Space, Version
from drivefs.names import is_own, staging_name
from drivefs.remote.base import Capabilities, Traffic
from drivefs.remote.content import Exactly, collect
from drivefs.remote.memory import MemoryRead, MemoryRemote
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

PERFECT: Final = WriteCapabilities(
    atomic_put=True,
    put_creates=True,
    checks_put=True,
    checks_move=True,
    checks_delete=True,
    checks_mkdir=True,
    moves_keep_version=True,
    locks=True,
    keeps_mtime=True,
)
CLEAN_UP_SECONDS: Final = 5.0

Race = Callable[[str, Ref], object]
"""Called with the name of the change and its place, where another client can come in between."""


class WritableMemory:
    """A `WritableRemote` over `share`, through which the world goes on changing it. `locked`: paths that another
    client has locked."""

    def __init__(self, share: MemoryRemote, capabilities: WriteCapabilities = PERFECT) -> None:
        self.share = share
        self.write_capabilities = capabilities
        self.race: Race | None = None
        self.locked: set[tuple[str, ...]] = set()

    # The read half

    @property
    def capabilities(self) -> Capabilities:
        return self.share.capabilities

    @property
    def traffic(self) -> Traffic:
        return self.share.traffic

    async def connect(self) -> Observation:
        return await self.share.connect()

    async def list(self, ref: Ref) -> Listing:
        return await self.share.list(ref)

    async def stat(self, ref: Ref) -> Observation:
        return await self.share.stat(ref)

    def read(self, ref: Ref, *, version: Version, offset: int = 0, length: int | None = None) -> MemoryRead:
        return self.share.read(ref, version=version, offset=offset, length=length)

    async def space(self) -> Space:
        return await self.share.space()

    async def aclose(self) -> None:
        await self.share.aclose()

    # Changes

    async def prepare(self, journal: Journal) -> WriteCapabilities:
        await self.share.request("prepare", Ref())
        return self.write_capabilities

    async def write(
        self, ref: Ref, content: Content, *, expected: Version | None, journal: Journal, resume: Staged | None = None
    ) -> Outcome:
        if resume is not None:
            await self.discard(resume, journal)
        if refused := self._need_parent(ref):
            return refused
        can = self.write_capabilities
        checked = can.checks_put or (can.put_creates and expected is NOTHING)
        if not (can.atomic_put and checked):
            staged = await self._stage(ref, content, journal)
            return await self.commit(staged, ref, expected=expected, journal=journal)
        data = await collect(content)
        await self.share.request("write", ref)
        self._need_room(len(data))
        self._need_unlocked(ref)
        conflict = self._checked("write", ref, expected, by_server=can.checks_put)
        if conflict is None:
            self._store(ref, content, data)
        return conflict or Done(self.share.look(ref))

    async def create(self, folder: Ref, files: Sequence[NewFile], journal: Journal) -> Sequence[Outcome]:
        outcomes: list[Outcome] = []
        for file in files:
            try:
                ref = folder.child(file.name)
                outcomes.append(await self.write(ref, file.content, expected=NOTHING, journal=journal))
            except (RemoteError, StoreError) as error:
                outcomes.append(Later(error))
        return outcomes

    async def commit(self, staged: Staged, target: Ref, *, expected: Version | None, journal: Journal) -> Outcome:
        await self.share.request("commit", target)
        if target.path in self.locked:
            return Later(ServerBusy(f"{target} is locked by another client"), staged)
        mine = self.share.look(staged.place)
        if mine is None:
            return Refused(NotFound(f"what was sent for {target} is not on the share any more"))
        checks = self.write_capabilities.checks_move or expected is NOTHING  # Overwrite: F is honoured everywhere
        conflict = self._checked("commit", target, expected, by_server=checks)
        if conflict is not None:
            return Conflict(conflict.observed, staged)
        self.share.move(staged.place, target)
        await journal.end(staged)
        return Done(self.share.look(target))

    async def discard(self, staged: Staged, journal: Journal) -> None:
        assert is_own(staged.place.name)
        await self.share.request("discard", staged.place)
        if self.share.look(staged.place) is not None:
            self.share.delete(staged.place)
        await journal.end(staged)

    async def mkdir(self, ref: Ref) -> Outcome:
        await self.share.request("mkdir", ref)
        if refused := self._need_parent(ref):
            return refused
        conflict = self._checked("mkdir", ref, NOTHING, by_server=self.write_capabilities.checks_mkdir)
        if conflict is not None:
            return conflict
        self.share.mkdir(ref)
        return Done(self.share.look(ref))

    async def delete(self, ref: Ref, *, expected: Version, recursive: bool = False) -> Outcome:
        await self.share.request("delete", ref)
        if self.share.look(ref) is None:
            return Done()
        self._need_unlocked(ref)
        conflict = self._checked("delete", ref, expected, by_server=self.write_capabilities.checks_delete)
        if conflict is not None:
            return Done() if conflict.observed is None else conflict
        if not recursive and self.share.names(ref):
            return Conflict(self.share.look(ref))
        self.share.delete(ref)
        return Done()

    async def move(self, source: Ref, target: Ref, *, expected: Version, replaces: Version | None = NOTHING) -> Outcome:
        await self.share.request("move", source)
        if refused := self._need_parent(target):
            return refused
        if target.path[: len(source.path)] == source.path:
            return Refused(RefusedError(f"{source} cannot be moved into itself"))
        self._need_unlocked(source)
        self._need_unlocked(target)
        checks = self.write_capabilities.checks_move
        conflict = self._checked("move", source, expected, by_server=checks) or self._checked(
            "move", target, replaces, by_server=checks or replaces is NOTHING
        )
        if conflict is not None:
            return conflict
        self.share.move(source, target)
        return Done(self.share.look(target))

    async def copy(self, source: Ref, target: Ref, *, expected: Version) -> Outcome:
        await self.share.request("copy", source)
        if refused := self._need_parent(target):
            return refused
        conflict = self._checked("copy", source, expected, by_server=False) or self._checked(
            "copy", target, NOTHING, by_server=True
        )
        if conflict is not None:
            return conflict
        self.share.put(target, self.share.content(source))
        return Done(self.share.look(target))

    # Inside

    def _checked(self, method: str, ref: Ref, expected: Version | None, *, by_server: bool) -> Conflict | None:
        """The comparison, and where somebody else can come in: before it, or unseen between it and the change."""
        if by_server:
            self._let_in(method, ref)
        observed = self.share.look(ref)
        if not as_expected(observed, expected):
            return Conflict(observed)
        if not by_server:
            self._let_in(method, ref)
        return None

    def _let_in(self, method: str, ref: Ref) -> None:
        if self.race is not None:
            self.race(method, ref)

    async def _stage(self, ref: Ref, content: Content, journal: Journal) -> Staged:
        staged = Staged(ref.parent.child(staging_name()), ref, content.size)
        await journal.begin(staged)
        try:
            await self._send(staged.place, content)
        except BaseException:
            with trio.move_on_after(CLEAN_UP_SECONDS, shield=True):
                await self.discard(staged, journal)
            raise
        return staged

    async def _send(self, place: Ref, content: Content) -> None:
        """Without atomic PUT others see the file grow."""
        await self.share.request("write", place)
        self._need_room(content.size)
        data = b""
        async with content.open() as pieces:
            exactly = Exactly(pieces, content.size)
            while piece := await exactly.receive():
                data += piece
                if not self.write_capabilities.atomic_put:
                    self.share.put(place, data)
        self._store(place, content, data)

    def _store(self, place: Ref, content: Content, data: bytes) -> None:
        self.share.traffic.up_bytes += len(data)
        self.share.put(place, data, mtime_ns=content.mtime_ns if self.write_capabilities.keeps_mtime else None)

    def _need_parent(self, ref: Ref) -> Refused | None:
        parent = self.share.look(ref.parent)
        if parent is None or parent.kind is not Kind.DIRECTORY:
            return Refused(NotFound(f"{ref.parent} is not a folder on the share"))
        return None

    def _need_unlocked(self, ref: Ref) -> None:
        if ref.path in self.locked:
            raise ServerBusy(f"{ref} is locked by another client")

    def _need_room(self, size: int) -> None:
        total = self.share.options.total_bytes
        if total is not None and self.share.used() + size > total:
            raise QuotaExceeded("the share is full")
