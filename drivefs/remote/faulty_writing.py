"""A remote that may be changed, with faults on purpose; the reading half is that of `faulty`.

What the fields of a `Fault` mean for a change: `before` is raised with nothing sent. `after`: the change is made, and
neither its answer nor a look afterwards comes through, so the outcome is `Unknown` with this error. `cut`: the upload
breaks off after so many bytes, and the link is back for cleaning up.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType

import msgspec
import trio

from drivefs.errors import Unreachable
from drivefs.model import Ref, Version
from drivefs.remote.faulty import Decide, Fault, FaultyRemote, no_faults
from drivefs.remote.writing import (
    NOTHING,
    Conflict,
    Content,
    Journal,
    NewFile,
    Outcome,
    Pieces,
    Staged,
    Unknown,
    WritableRemote,
    WriteCapabilities,
)


class FaultyWritable(FaultyRemote):
    """See the module and `FaultyRemote`."""

    def __init__(self, remote: WritableRemote, decide: Decide = no_faults) -> None:
        super().__init__(remote, decide)
        self._writable = remote

    @property
    def write_capabilities(self) -> WriteCapabilities:
        return self._writable.write_capabilities

    async def prepare(self, journal: Journal) -> WriteCapabilities:
        return await self._through(self._fault("prepare", Ref()), lambda: self._writable.prepare(journal))

    async def write(
        self, ref: Ref, content: Content, *, expected: Version | None, journal: Journal, resume: Staged | None = None
    ) -> Outcome:
        fault = self._fault("write", ref)
        sent = content if fault.cut is None else CutContent(content, fault.cut)
        return await self._change(
            fault, lambda: self._writable.write(ref, sent, expected=expected, journal=journal, resume=resume)
        )

    async def create(self, folder: Ref, files: Sequence[NewFile], journal: Journal) -> Sequence[Outcome]:
        """Each file is a call of `write` for `decide`, too: `cut` and `after` may hit single ones."""
        fault = self._fault("create", folder)
        await self.wait(fault)
        faults = [self._fault("write", folder.child(file.name)) for file in files]
        sent = [
            file if fault.cut is None else NewFile(file.name, CutContent(file.content, fault.cut))
            for file, fault in zip(files, faults, strict=True)
        ]
        outcomes = await self._writable.create(folder, sent, journal)
        return [
            outcome if fault.after is None else Unknown(fault.after)
            for outcome, fault in zip(outcomes, faults, strict=True)
        ]

    async def commit(self, staged: Staged, target: Ref, *, expected: Version | None, journal: Journal) -> Outcome:
        fault = self._fault("commit", target)
        return await self._change(
            fault, lambda: self._writable.commit(staged, target, expected=expected, journal=journal)
        )

    async def discard(self, staged: Staged, journal: Journal) -> None:
        await self._through(self._fault("discard", staged.place), lambda: self._writable.discard(staged, journal))

    async def mkdir(self, ref: Ref) -> Outcome:
        return await self._change(self._fault("mkdir", ref), lambda: self._writable.mkdir(ref))

    async def delete(self, ref: Ref, *, expected: Version, recursive: bool = False) -> Outcome:
        fault = self._fault("delete", ref)
        return await self._change(fault, lambda: self._writable.delete(ref, expected=expected, recursive=recursive))

    async def move(self, source: Ref, target: Ref, *, expected: Version, replaces: Version | None = NOTHING) -> Outcome:
        fault = self._fault("move", source)
        return await self._change(
            fault, lambda: self._writable.move(source, target, expected=expected, replaces=replaces)
        )

    async def copy(self, source: Ref, target: Ref, *, expected: Version) -> Outcome:
        return await self._change(
            self._fault("copy", source), lambda: self._writable.copy(source, target, expected=expected)
        )

    async def _change(self, fault: Fault, send: Callable[[], Awaitable[Outcome]]) -> Outcome:
        await self.wait(fault)
        outcome = await send()
        if fault.after is None:
            return outcome
        return Unknown(fault.after, outcome.staged if isinstance(outcome, Conflict) else None)


class CutContent(msgspec.Struct, frozen=True):
    """Content that breaks off on its way."""

    content: Content
    cut: int

    @property
    def size(self) -> int:
        return self.content.size

    @property
    def mtime_ns(self) -> int | None:
        return self.content.mtime_ns

    def open(self, offset: int = 0) -> CutPieces:
        return CutPieces(self.content.open(offset), self.cut)


class CutPieces:
    def __init__(self, inner: AbstractAsyncContextManager[Pieces], left: int) -> None:
        self._inner = inner
        self._left = left
        self._pieces: Pieces | None = None

    async def __aenter__(self) -> CutPieces:
        self._pieces = await self._inner.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._inner.__aexit__(kind, error, traceback)

    async def receive(self) -> bytes:
        assert self._pieces is not None, "the content was not opened"
        if self._left <= 0:
            await trio.lowlevel.checkpoint()
            raise Unreachable("the connection was lost in the middle of an upload")
        data = (await self._pieces.receive())[: self._left]
        self._left -= len(data)
        return data
