"""One version of one file while it is open: reads, the streams that bring what is missing, and who waits for what.

`SharedContent` is what the file system holds (its `OpenContent`), one object per content id for all handles.
Reads that miss wait at a stream (`stream.py`), by position; whatever happens to the stream, they are woken, look
again, and find the bytes, another stream, or the error.

Invariants:
- A waiter is always on the list of exactly one stream, and a stream that ends wakes all of its waiters.
- Two streams are never at the same position; no byte that is here, or that a stream is about to bring, is asked
  for again.
- Bytes read under an unsettled version never become final: with the first settled answer they are thrown away.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import trio

from drivefs.errors import DriveError, NoSpace, NoSuchEntry, NotFound, Offline, StaleContent, VersionMismatch
from drivefs.model import ContentId, Entry, Inode, Observation, Ref
from drivefs.remote.base import ReadStream, Remote
from drivefs.store.blocks import BlockStore
from drivefs.transfer.limits import Limits
from drivefs.transfer.stream import FIRST, MIB, Stream

SMALL = MIB
"""Files up to this size come whole, with one plain GET."""

STREAMS = 4
"""At most so many streams per file; a reader who needs one more takes over the one that is least in use."""

_PAGE = 4096


class Surroundings(Protocol):
    """What a content needs of the drive; `Downloads` is it."""

    @property
    def remote(self) -> Remote: ...
    @property
    def blocks(self) -> BlockStore: ...
    @property
    def limits(self) -> Limits: ...
    @property
    def locate(self) -> Callable[[Inode], Ref]: ...
    @property
    def on_changed(self) -> Callable[[Inode, Observation | None], None]: ...
    @property
    def on_settled(self) -> Callable[[Inode, ContentId, Observation], None]: ...
    @property
    def is_offline(self) -> Callable[[], bool]: ...
    @property
    def on_unreachable(self) -> Callable[[], None]: ...
    def start(self, stream: Stream) -> None: ...
    def missed(self, entry: Entry) -> None: ...
    def closed(self, content: SharedContent) -> None: ...


class Waiter:
    """Somebody who needs the bytes up to `target`."""

    __slots__ = ("error", "target", "woken")

    def __init__(self, target: int) -> None:
        self.target = target
        self.woken = trio.Event()
        self.error: DriveError | None = None


class SharedContent:
    """See the module. `users` are open handles, and fetches."""

    def __init__(self, entry: Entry, around: Surroundings) -> None:
        self.entry = entry
        self.size = entry.size
        self.users = 0
        self.limits = around.limits
        self.stored = around.blocks.open(entry.inode, entry.content, entry.size)
        self.stored.final = entry.settled
        self._around = around
        self._streams: dict[Stream, list[Waiter]] = {}
        self._stream_free = trio.Event()
        self._asked_at: Ref | None = None
        self._gone_from: Ref | None = None
        self._told_changed = False

    # What handles call

    def read_now(self, offset: int, size: int) -> bytes | bytearray | None:
        """See `OpenContent`: an answer from memory, or None."""
        end = min(offset + size, self.size)
        if offset >= end:
            return b""
        data = self.stored.read_now(offset, end - offset)
        if data is not None and self._streams:
            self._followed(offset, end)
        return data

    async def read(self, offset: int, size: int) -> bytes | bytearray:
        """See `OpenContent`.

        Raises: StaleContent, StoreError, and RemoteError as `stream.py` bounds it.
        """
        end = min(offset + size, self.size)
        if offset >= end:
            return b""
        while True:
            gap = self.stored.gap(offset, end)
            if gap is not None:
                self._around.missed(self.entry)
                await self._bring(*gap)
                continue
            data = self.stored.read_now(offset, end - offset) or await self.stored.read(offset, end - offset)
            if data is not None:
                self._followed(offset, end)
                return data

    async def complete(self) -> None:
        """Bring all that is missing, as a reader would. Raises: as `read`."""
        position = 0
        while (gap := self.stored.gap(position, self.size)) is not None:
            await self._bring(*gap)
            position = gap[1]

    async def fill(self) -> None:
        """Bring all that is missing, behind all readers. What a small cache evicts meanwhile is not brought again."""
        position = 0
        while (gap := self.stored.gap(position, self.size)) is not None:
            self._check_obtainable()
            stream = next((other for other in self._streams if other.position == gap[0] and not other.over), None)
            if stream is None:
                stream = self._start(gap[0], self.size, background=True)
            else:
                stream.demand(gap[1])
            try:
                await self._wait(stream, gap[1])
            finally:
                if stream.background and not self.awaited(stream):
                    stream.end()
            position = max(gap[0], min(gap[1], stream.position))

    def close(self) -> None:
        self.users -= 1
        if self.users == 0:
            for stream in self._streams:
                stream.end()
            self._around.closed(self)
            self._around.blocks.close(self.stored)

    def settle(self) -> None:
        """From now on answers are final; what came before may be of a version that looked the same."""
        if not self.stored.final:
            self.stored.forget_all()
            self.stored.final = True

    def rate(self) -> float | None:
        """Bytes per second that come in; None when no stream is connected."""
        rates = [stream.rate() for stream in self._streams if stream.connected]
        return sum(rates) if rates else None

    def fail_all(self, error: DriveError) -> None:
        """End all streams; whoever waits gets the error."""
        for stream in self._streams:
            self._wake(stream, error)
            stream.end()

    # What streams call

    @property
    def whole_only(self) -> bool:
        return not self._around.remote.capabilities.ranges

    def open_gap(self, stream: Stream) -> tuple[int, int] | None:
        """What is missing from the stream's position on, up to where another stream is; None: nothing for it."""
        gap = self.stored.gap(stream.position, self.size)
        if gap is None:
            return None
        others = [other.position for other in self._streams if other is not stream and not other.over]
        if gap[0] in others:
            return None
        return gap[0], min([gap[1], *(position for position in others if position > gap[0])])

    def read_remote(self, start: int, length: int | None) -> AbstractAsyncContextManager[ReadStream]:
        self._asked_at = self._around.locate(self.entry.inode)
        return self._around.remote.read(self._asked_at, version=self.entry.version, offset=start, length=length)

    def answered(self, stream: Stream, observed: Observation) -> None:
        """The head of an answer came: is what follows final?"""
        if self.stored.final or not observed.settled(self.entry.seen):
            return
        self.settle()
        for other in self._streams:
            if other is not stream:
                other.end()
        self._around.on_settled(self.entry.inode, self.entry.content, observed)

    def arrived(self, stream: Stream) -> None:
        """The stream's position moved: wake those who have all they wait for."""
        waiters = self._streams[stream]
        for waiter in waiters:
            if waiter.target <= stream.position:
                waiter.woken.set()

    def ended(self, stream: Stream, error: DriveError | None) -> None:
        if isinstance(error, NotFound | VersionMismatch | NoSuchEntry):
            error = self._went_away(error)
        self._wake(stream, error)
        del self._streams[stream]
        self._stream_is_free()

    def awaited(self, stream: Stream) -> bool:
        return bool(self._streams.get(stream))

    def check_online(self) -> None:
        if self._around.is_offline():
            raise Offline("the server is known to be unreachable")

    def unreachable(self) -> None:
        """A request did not get through: others may know soon that none will."""
        self._around.on_unreachable()

    def room_ahead(self) -> int:
        return self._around.blocks.room_ahead()

    async def write_without_room(self, stream: Stream, data: bytes) -> None:
        """The disk was full: make room; where there is none, the bytes live in memory for their readers."""
        await self._around.blocks.make_room()
        if stream.over:
            return
        try:
            self.stored.write(stream.position, data)
        except NoSpace:
            self.stored.write(stream.position, data, in_memory=True)

    async def keep_up(self) -> None:
        await self._around.blocks.keep_up()

    # Inside

    def _followed(self, start: int, end: int) -> None:
        for stream in self._streams:
            if stream.start <= start <= stream.position:
                stream.follow(end)

    async def _bring(self, start: int, end: int) -> None:
        """Wait at a stream for the missing bytes; the caller looks again afterwards."""
        self._check_obtainable()
        stream = self._stream_for(start, end)
        with self.limits.reader_waits():
            if stream is None:
                await self._stream_free.wait()
            else:
                await self._wait(stream, end)

    async def _wait(self, stream: Stream, target: int) -> None:
        waiter = Waiter(target)
        waiters = self._streams[stream]
        waiters.append(waiter)
        try:
            await waiter.woken.wait()
        finally:
            waiters.remove(waiter)
            if not waiters:
                self._stream_is_free()
        if waiter.error is not None:
            raise waiter.error

    def _stream_for(self, start: int, end: int) -> Stream | None:
        """One that will soon be at `start`; None when all are in use by others."""
        near = [stream for stream in self._streams if stream.reaches(start)]
        if near:
            stream = max(near, key=lambda stream: stream.position)
            stream.demand(end)
            return stream
        live = [stream for stream in self._streams if not stream.over]
        if len(live) >= STREAMS:
            idle = [stream for stream in live if not self._streams[stream]]
            if not idle:
                return None
            min(idle, key=lambda stream: stream.followed_at).end()
        if self.whole_only:
            return self._start(0, self.size, reader=end)
        if self.size <= SMALL:
            return self._start(0 if self.stored.bytes_here() == 0 else start, self.size)
        position = start - start % _PAGE
        return self._start(position, min(self.size, max(position + FIRST, end)), reader=end)

    def _start(self, position: int, until: int, *, reader: int = 0, background: bool = False) -> Stream:
        stream = Stream(self, position, until, reader=until if background else reader, background=background)
        self._around.start(stream)
        self._streams[stream] = []
        return stream

    def _stream_is_free(self) -> None:
        self._stream_free.set()
        self._stream_free = trio.Event()

    def _check_obtainable(self) -> None:
        """Raises: StaleContent when the version went away, unless it may have been moved; Offline."""
        if self._gone_from is not None and self._around.locate(self.entry.inode) == self._gone_from:
            raise self._stale()
        self.check_online()

    def _went_away(self, error: DriveError) -> StaleContent:
        self._gone_from = self._asked_at
        if not self._told_changed:
            self._told_changed = True
            observed = error.observed if isinstance(error, VersionMismatch) else None
            self._around.on_changed(self.entry.inode, observed)
        return self._stale()

    def _stale(self) -> StaleContent:
        return StaleContent(f"{self.entry.name}: this version is not on the server any more")

    def _wake(self, stream: Stream, error: DriveError | None) -> None:
        for waiter in self._streams.get(stream, ()):
            waiter.error = waiter.error or error
            waiter.woken.set()
