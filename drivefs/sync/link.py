"""Whether the server can be reached, as far as we know: one flag that everybody asks and a few may set."""

from __future__ import annotations

import trio


class Link:
    """Starts as online: the first request finds out. `message` is for people, empty while all is well."""

    def __init__(self) -> None:
        self._down = False
        self._changed = trio.Event()
        self.message = ""

    @property
    def offline(self) -> bool:
        return self._down

    def lost(self, reason: str) -> None:
        """A request could not reach the server, retries included."""
        self.message = reason
        if not self._down:
            self._down = True
            self._notify()

    def restored(self) -> None:
        """The server answered."""
        self.message = ""
        if self._down:
            self._down = False
            self._notify()

    async def wait_changed(self) -> None:
        await self._changed.wait()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
