"""One stream: requests for content, one after the other, each from where the last one ended, as a reader follows.

A stream starts with a small range and asks for more while its reader keeps up: 256 KiB, 1, 4, 16 MiB, then all the
rest in one request, of which it takes no more from the socket than `window` bytes ahead of the reader. A reader
who stays away makes it let go of the connection (*dormant*); one who comes back finds it going on; nobody for
a minute ends it. It goes over what is already here, and ends where another stream is at work.

Invariants:
- It knows one version, and says so in every request; bytes of another never arrive here.
- Everything that arrives is written at once; nothing is queued in memory.
- However it ends, `SharedContent.ended` is called once, with the error if there was one.
"""

from __future__ import annotations

import random
from contextlib import nullcontext
from typing import TYPE_CHECKING

import trio

from drivefs.errors import BadAnswer, DriveError, NoSpace, RemoteError, ServerBusy, Unreachable, VersionMismatch
from drivefs.remote.base import ReadStream

if TYPE_CHECKING:
    from drivefs.transfer.content import SharedContent

KIB = 1024
MIB = 1024 * KIB

FIRST = 256 * KIB
STEP_GROWTH = 4
LARGEST_STEP = 16 * MIB
"""After a range of this size the stream asks for all the rest."""

WINDOW = 64 * MIB
JOIN = 8 * MIB
"""A reader this far ahead of a stream waits for it at most, if the link is fast enough."""

KERNEL_READ_AHEAD = 4 * MIB
"""Up to two requests of the largest read-ahead that a mount gets, twice over."""

PATIENCE = 30.0
"""Seconds without a byte after which waiting readers get the error."""

LINGER = 5.0
"""Seconds that a connection is kept for a reader who does not come."""

DORMANT = 60.0
_LONGEST_PAUSE = 5.0


class Stream:
    """See the module. `position` is the next byte it will write, `until` how far it is asked to go."""

    def __init__(
        self, content: SharedContent, position: int, until: int, *, reader: int, background: bool = False
    ) -> None:
        self.start = position
        self.position = position
        self.until = until
        self.reader = max(position, reader)
        self.followed_at = trio.current_time()
        self.connected = False
        self.over = False
        self.background = background
        self._content = content
        self._step = max(FIRST, until - position)
        self._scope = trio.CancelScope()
        self._stall = trio.CancelScope()
        self._progress_at = trio.current_time()
        self._failures = 0
        self._joined = False
        self._answered_at = self._latency = 0.0
        self._arrived_bytes = 0
        self._wake = trio.Event()

    # What readers tell it

    def demand(self, end: int) -> None:
        """A reader waits for the bytes up to `end`."""
        self._joined = True
        self.until = max(self.until, end)
        self.follow(end)

    def follow(self, end: int) -> None:
        """A reader has come to `end`; past the middle of what was asked for last, more is asked for."""
        self.followed_at = trio.current_time()
        self.reader = max(self.reader, end)
        if self.until < self._content.size and self.reader > self.until - self._step // 2:
            self._step *= STEP_GROWTH
            self.until = min(self._content.size, self.until + self._step)
            if self._step > LARGEST_STEP:
                self.until = self._content.size
        if not self.connected or self.ahead <= self.window:
            self._wake.set()

    def end(self) -> None:
        """Stop now; nothing more is written."""
        self.over = True
        self._scope.cancel()

    def reaches(self, position: int) -> bool:
        """Whether to wait for this stream is cheaper than a new request at `position`."""
        if self.over or self.position > position:
            return False
        return self._content.whole_only or position - self.position <= self._join_distance()

    def _join_distance(self) -> float:
        """Bytes that come in the time of two round trips, within bounds; more where the reader has been following: the
        kernel reads ahead of him, and asks for later pieces before earlier ones."""
        followed = self._step > FIRST
        if not self.connected:
            return KERNEL_READ_AHEAD if followed else FIRST
        return min(JOIN, max(KERNEL_READ_AHEAD if followed else FIRST, 2 * self._latency * self.rate()))

    def rate(self) -> float:
        """Bytes per second of the request that runs; 0 when none does."""
        if not self.connected:
            return 0.0
        return self._arrived_bytes / max(0.001, trio.current_time() - self._answered_at)

    @property
    def ahead(self) -> int:
        return self.position - self.reader

    @property
    def window(self) -> int:
        wanted = max(2 * self._step, 2 * (self.reader - self.start), MIB)  # a range that was asked for is taken whole
        return min(wanted, WINDOW, self._content.room_ahead())

    # Its task

    async def run(self) -> None:
        error: DriveError | None = None
        try:
            with self._scope:
                while (span := await self._next_span()) is not None:
                    await self._try_request(*span)
        except DriveError as caught:
            error = caught
        finally:
            self.over, self.connected = True, False
            self._content.ended(self, error)

    async def _next_span(self) -> tuple[int, int] | None:
        """What to ask for next: waits until a reader wants it. None when there is nothing left to do."""
        while True:
            gap = self._content.open_gap(self)
            if gap is None:
                return None
            if self._content.whole_only or self.background:
                return gap
            self.position = gap[0]
            if self.position < self.until and self.ahead <= self.window // 2:
                return self.position, min(gap[1], self.until)
            if not await self._woken_within(DORMANT):
                return None

    async def _woken_within(self, seconds: float) -> bool:
        self._wake = trio.Event()
        with trio.move_on_after(seconds):
            await self._wake.wait()
            return True
        return False

    async def _try_request(self, start: int, end: int) -> None:
        """One request, after which there is progress, or a pause before the next try."""
        if self._failures == 0:
            self._progress_at = trio.current_time()
        try:
            await self._request(start, end)
        except RemoteError as error:
            if not error.temporary:
                raise
            await self._back_off(error)

    async def _back_off(self, error: RemoteError) -> None:
        self._failures += 1
        if isinstance(error, Unreachable):
            self._content.unreachable()
        pause = min(_LONGEST_PAUSE, 0.1 * 2**self._failures) * random.uniform(0.5, 1.0)
        if isinstance(error, ServerBusy) and error.retry_after is not None:
            pause = max(pause, error.retry_after)
        self._content.check_online()
        if trio.current_time() + pause > self._progress_at + PATIENCE or not self._content.awaited(self):
            raise error
        await trio.sleep(pause)

    async def _request(self, start: int, end: int) -> None:
        content = self._content
        length = None if end == content.size else end - start
        # A background stream got its slot from whoever started it.
        slot = nullcontext() if self.background else content.limits.interactive
        asked_at = trio.current_time()
        try:
            with trio.CancelScope(deadline=self._progress_at + PATIENCE) as self._stall:
                async with slot, content.read_remote(start, length) as source:
                    self._answered_at = trio.current_time()
                    self._latency = self._answered_at - asked_at
                    content.answered(self, source.observed)
                    if source.offset > start:
                        raise BadAnswer(f"asked for bytes from {start}, the answer starts at {source.offset}")
                    self.position = source.offset
                    await self._pump(source, end)
        finally:
            self.connected = False
        if self._stall.cancelled_caught:
            raise Unreachable(f"no byte came for {PATIENCE:.0f} s")

    async def _pump(self, source: ReadStream, end: int) -> None:
        content, began = self._content, self.position
        self.connected, self._arrived_bytes = True, 0
        while not self.over and (self.position < end or content.whole_only):
            if self.ahead > self.window and not await self._reader_came():
                return
            piece = await source.receive()
            if self.over or not piece:
                break
            await self._keep(piece)
            if not content.whole_only and self.position < end and content.stored.has(self.position):
                return  # another stream was here
        if not self.over and self.position < min(end, content.size) and self.position == began:
            raise VersionMismatch("the file ends before the size it was listed with", source.observed)

    async def _reader_came(self) -> bool:
        """Wait while the reader is more than the window behind; False when the connection is not worth keeping."""
        if self.background or self._content.whole_only:
            return True
        self._stall.deadline = float("inf")
        came = True
        while came and self.ahead > self.window:
            came = await self._woken_within(LINGER)
        self._progress_at = trio.current_time()
        self._stall.deadline = self._progress_at + PATIENCE
        return came

    async def _keep(self, piece: bytes) -> None:
        content = self._content
        self._stall.deadline = float("inf")  # what follows waits for us, not for the server
        if not content.stored.has(self.position):  # bytes that come a second time are no progress
            self._failures = 0
            self._progress_at = trio.current_time()
        try:
            content.stored.write(self.position, piece)
        except NoSpace:
            await content.write_without_room(self, piece)
            if self.over:
                return
        self.position += len(piece)
        self._arrived_bytes += len(piece)
        content.arrived(self)
        if self.background and not self._joined:
            await content.limits.give_way()
        await content.limits.down.take(len(piece))
        await content.keep_up()
        self._stall.deadline = trio.current_time() + PATIENCE
