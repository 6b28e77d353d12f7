"""Any remote, with faults on purpose: each call asks `decide` what shall happen to it.

    remote = FaultyRemote(MemoryRemote(), lambda call: Fault(before=Unreachable("cable")) if call.number == 3 else None)

Faults are errors of the port, so what stands above cannot tell them from those of a real server. Without faults
it is the wrapped remote; it passes the same contract suite.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import NamedTuple, TypeVar

import msgspec
import trio

from drivefs.errors import BadAnswer, RemoteError, Unreachable
from drivefs.model import Listing, Observation, Ref, Space, Version
from drivefs.remote.base import Capabilities, ReadStream, Remote, Traffic

T = TypeVar("T")


class Call(NamedTuple):
    """A call of the port. `number` counts all calls from 1; `offset` and `length` are those of a read."""

    number: int
    method: str
    ref: Ref
    offset: int = 0
    length: int | None = None


class Fault(msgspec.Struct, frozen=True):
    """What happens to one call, in this order."""

    until: trio.Event | None = None
    """Nothing is sent before this is set."""
    before: RemoteError | None = None
    """Raised instead of sending anything."""
    after: RemoteError | None = None
    """Raised in place of the answer, when the server has already done it."""
    cut: int | None = None
    """A read, or an upload, ends with Unreachable after so many bytes; a listing that breaks off anywhere is a
    BadAnswer."""


Decide = Callable[[Call], Fault | None]
"""None lets the call pass."""


def no_faults(_: Call) -> Fault | None:
    return None


class FaultyRemote:
    """See the module. `decide` may be replaced at any time; `calls` has all calls so far."""

    def __init__(self, remote: Remote, decide: Decide = no_faults) -> None:
        self.remote = remote
        self.decide = decide
        self.calls: list[Call] = []

    @property
    def capabilities(self) -> Capabilities:
        return self.remote.capabilities

    @property
    def traffic(self) -> Traffic:
        return self.remote.traffic

    async def connect(self) -> Observation:
        return await self._through(self._fault("connect", Ref()), self.remote.connect)

    async def list(self, ref: Ref) -> Listing:
        fault = self._fault("list", ref)
        listing = await self._through(fault, lambda: self.remote.list(ref))
        if fault.cut is not None:
            raise BadAnswer(f"the listing of {ref} was cut")
        return listing

    async def stat(self, ref: Ref) -> Observation:
        return await self._through(self._fault("stat", ref), lambda: self.remote.stat(ref))

    async def space(self) -> Space:
        return await self._through(self._fault("space", Ref()), self.remote.space)

    def read(self, ref: Ref, *, version: Version, offset: int = 0, length: int | None = None) -> FaultyRead:
        inner = self.remote.read(ref, version=version, offset=offset, length=length)
        return FaultyRead(self, self._fault("read", ref, offset, length), inner)

    async def aclose(self) -> None:
        await self.remote.aclose()

    def _fault(self, method: str, ref: Ref, offset: int = 0, length: int | None = None) -> Fault:
        call = Call(len(self.calls) + 1, method, ref, offset, length)
        self.calls.append(call)
        return self.decide(call) or Fault()

    async def _through(self, fault: Fault, send: Callable[[], Awaitable[T]]) -> T:
        await self.wait(fault)
        answer = await send()
        if fault.after is not None:
            raise fault.after
        return answer

    async def wait(self, fault: Fault) -> None:
        """What happens before anything is sent."""
        if fault.until is not None:
            await fault.until.wait()
        if fault.before is not None:
            await trio.lowlevel.checkpoint()
            raise fault.before


class FaultyRead:
    """The context of one `read`."""

    def __init__(self, remote: FaultyRemote, fault: Fault, inner: AbstractAsyncContextManager[ReadStream]) -> None:
        self._remote = remote
        self._fault = fault
        self._inner = inner

    async def __aenter__(self) -> ReadStream:
        await self._remote.wait(self._fault)
        stream = await self._inner.__aenter__()
        if self._fault.after is not None:
            await self._inner.__aexit__(None, None, None)
            raise self._fault.after
        return stream if self._fault.cut is None else CutStream(stream, self._fault.cut)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._inner.__aexit__(kind, error, traceback)


class CutStream:
    """A stream whose connection is lost after `left` bytes."""

    def __init__(self, stream: ReadStream, left: int) -> None:
        self._stream = stream
        self._left = left
        self.offset = stream.offset
        self.observed = stream.observed

    async def receive(self) -> bytes:
        if self._left <= 0:
            await trio.lowlevel.checkpoint()
            raise Unreachable(f"the content of {self.observed.name} broke off")
        data = (await self._stream.receive())[: self._left]
        self._left -= len(data)
        return data
