"""The bytes of one answer, as they come off the wire, and those of a request, as they go out.

Invariants: only errors of drivefs come out; the end is told only where HTTP told it, and an error is told for ever.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

import httpx
import trio

from drivefs.errors import RemoteError
from drivefs.remote.webdav.errors import TRANSPORT_ERRORS, mapped
from drivefs.remote.webdav.values import parse_size

CLOSE_SECONDS: Final = 2.0
"""How long letting go of a connection may take."""
DRAIN_BYTES: Final = 64 * 1024


class Body:
    """Undecoded: what a content coding means is for others to say. `what` names the request in errors."""

    def __init__(self, response: httpx.Response, what: str) -> None:
        self._response = response
        self._what = what
        self._pieces = response.aiter_raw()
        self._left = parse_size(response.headers.get("content-length"))
        self._broken: RemoteError | None = None

    async def receive(self) -> bytes:
        """The next bytes; `b""` at the end."""
        if self._broken is not None:
            raise self._broken
        try:
            with mapped(self._what):
                data = await anext(self._pieces, b"")
                await self._finish(len(data))
                return data
        except RemoteError as error:
            self._broken = error
            raise

    async def _finish(self, received: int) -> None:
        """Only a body that was read to its end leaves a connection that can be used again. Readers stop when they have
        the bytes they want; where these were the last, reading the end waits for nothing."""
        if self._left is not None and received:
            self._left -= received
            if self._left == 0:
                await anext(self._pieces, b"")

    async def drain(self) -> None:
        """Read a short body to its end, so that the connection can be used again; a long one is left."""
        length = parse_size(self._response.headers.get("content-length"))
        if length is not None and length <= DRAIN_BYTES:
            while await self.receive():
                pass

    async def aclose(self) -> None:
        """Let go of the connection: for further use when all was read, else it is closed."""
        with trio.move_on_after(CLOSE_SECONDS, shield=True):
            await self._response.aclose()
            await self._unwind()

    async def _unwind(self) -> None:
        """httpx and httpcore stack five generators per body. Closing the outer one leaves the inner ones to the
        garbage collector, of which trio complains with reason; reading from a closed connection ends them all."""
        with suppress(*TRANSPORT_ERRORS):
            while await anext(self._pieces, b""):
                pass


class SentBytes(httpx.AsyncByteStream):
    """The body of a request. Each `async for` starts anew, so the request can be sent again, to authenticate say.

    No generator, unlike httpx's own: one that is cancelled in the middle would be left to the garbage collector.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __aiter__(self) -> AsyncIterator[bytes]:
        return Once(self._content)


class Once:
    """Gives one piece, then ends."""

    def __init__(self, piece: bytes) -> None:
        self._piece = piece

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        piece, self._piece = self._piece, b""
        if not piece:
            raise StopAsyncIteration
        return piece
