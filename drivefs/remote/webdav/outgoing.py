"""The bytes of an upload on their way into httpx.

httpx and httpcore never close what they iterate over, so whoever sends holds this as a context; each iteration opens
the content anew, because a request may have to be sent again to authenticate.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final

import httpx
import trio

from drivefs.remote.base import Traffic
from drivefs.remote.content import Exactly
from drivefs.remote.writing import Content

CLOSE_SECONDS: Final = 5.0


class Outgoing(httpx.AsyncByteStream):
    """Exactly `content.size` bytes, or an error of the content in the middle of the request, which breaks it off."""

    def __init__(self, content: Content, traffic: Traffic) -> None:
        self._content = content
        self._traffic = traffic
        self._opened = AsyncExitStack()
        self._pieces: Exactly | None = None

    async def __aenter__(self) -> Outgoing:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with trio.move_on_after(CLOSE_SECONDS, shield=True):
            await self._opened.aclose()

    @property
    def headers(self) -> dict[str, str]:
        """A known length: PHP behind CGI makes an empty file of a chunked body."""
        return {"Content-Length": str(self._content.size), "Content-Type": "application/octet-stream"}

    def __aiter__(self) -> AsyncIterator[bytes]:
        self._pieces = None
        return self

    async def __anext__(self) -> bytes:
        if self._pieces is None:
            await self._opened.aclose()
            opened = await self._opened.enter_async_context(self._content.open())
            self._pieces = Exactly(opened, self._content.size)
        piece = await self._pieces.receive()
        if not piece:
            raise StopAsyncIteration
        self._traffic.up_bytes += len(piece)
        return piece
