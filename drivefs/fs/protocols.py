"""What the file system needs from above or beside it; the daemon fills these in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import trio

from drivefs.model import Entry, Inode

Buffer = bytes | bytearray | memoryview


class OpenContent(Protocol):
    """The bytes of one version of one file, for as long as it is open. Shared by all handles on that version."""

    def read_now(self, offset: int, size: int) -> Buffer | None:
        """Like `read` when that can be answered at once from memory or disk cache; else None."""
        ...

    async def read(self, offset: int, size: int) -> Buffer:
        """`size` bytes from `offset`, fewer only at the end of the file; fetched when they are not here.

        Raises: StaleContent when this version can no longer be had; RemoteError in bounded time when the
        server does not answer (30 s without progress), at once when it is known to be unreachable.
        """
        ...

    def close(self) -> None:
        """One user less. After the last, downloads for it end and what is complete stays in the cache."""
        ...


class ContentSource(Protocol):
    def open(self, entry: Entry) -> OpenContent: ...


class ListingSource(Protocol):
    """Listings of remote directories, on demand."""

    async def ensure(self, directory: Inode) -> None:
        """Return once this never-listed directory was listed; ahead of all background listing.

        Raises: RemoteError in bounded time (10 s), at once when the server is known to be unreachable.
        """
        ...

    def refresh(self, directory: Inode) -> trio.Event | None:
        """Have a listed directory listed again soon: single flight, and not within 10 s of the last time.

        Returns an event for the end of it, good or bad; None when nothing was started nor is under way.
        """
        ...


Wake = Callable[[], None]
"""There is something to send."""
