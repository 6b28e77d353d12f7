"""How many transfers run at once, and how fast: interactive reads first.

Interactive and background transfers have slots of their own, so a read never queues behind a mirror. A background
transfer also gives way, piece by piece, while anybody waits for bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio

INTERACTIVE = 16
BACKGROUND = 3

_YIELD_SECONDS = 1.0
"""The longest that a background transfer stands still at a piece: it must go on at last, or its server gives up."""

_BURST_SECONDS = 0.25


class Bandwidth:
    """A token bucket. `rate` is in bytes per second, None for no limit, and may be changed at any time."""

    def __init__(self, rate: int | None = None) -> None:
        self._rate = rate
        self._tokens = 0.0
        self._filled = float("-inf")
        self._changed = trio.Event()

    @property
    def rate(self) -> int | None:
        return self._rate

    @rate.setter
    def rate(self, rate: int | None) -> None:
        self._rate = rate
        self._changed.set()
        self._changed = trio.Event()

    async def take(self, size: int) -> None:
        """Return when `size` bytes that have arrived are paid for: the bucket goes into debt, and this waits."""
        self._fill()
        self._tokens -= size
        while self._rate is not None and self._tokens < 0:
            with trio.move_on_after(-self._tokens / self._rate):
                await self._changed.wait()
            self._fill()

    def _fill(self) -> None:
        now = trio.current_time()
        if self._rate is None:
            self._tokens = 0.0
        else:
            burst = self._rate * _BURST_SECONDS
            self._tokens = min(burst, self._tokens + max(0.0, now - self._filled) * self._rate)
        self._filled = now


class Limits:
    """Shared by all transfers of a drive. `down` is the limit of what comes from the remote."""

    def __init__(
        self, down: int | None = None, *, interactive: int = INTERACTIVE, background: int = BACKGROUND
    ) -> None:
        self.down = Bandwidth(down)
        self.interactive = trio.CapacityLimiter(interactive)
        self.background = trio.CapacityLimiter(background)
        self._waiting = 0
        self._nobody_waits = trio.Event()

    @contextmanager
    def reader_waits(self) -> Iterator[None]:
        """Around the time in which somebody waits for bytes."""
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
            if self._waiting == 0:
                self._nobody_waits.set()
                self._nobody_waits = trio.Event()

    async def give_way(self) -> None:
        """Called by background transfers between two pieces."""
        if self._waiting:
            with trio.move_on_after(_YIELD_SECONDS):
                await self._nobody_waits.wait()
