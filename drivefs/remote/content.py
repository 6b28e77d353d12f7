"""Content on its way out: bytes in memory, and the guard that lets out exactly as many as were promised.

A length that does not hold is dangerous: a server that was promised n bytes keeps the first n of a longer body, and
some keep the start of a shorter one. So the last piece is held back until it is known to be the last.
"""

from __future__ import annotations

from types import TracebackType

import msgspec
import trio

from drivefs.errors import StoreError
from drivefs.remote.writing import Content, Pieces

PIECE_BYTES = 64 * 1024


class BytesContent(msgspec.Struct, frozen=True):
    """Content that is in memory."""

    data: bytes
    mtime_ns: int | None = None

    @property
    def size(self) -> int:
        return len(self.data)

    def open(self, offset: int = 0) -> BytesPieces:
        return BytesPieces(self.data, offset)


class BytesPieces:
    """The context of one `open`, and its pieces."""

    def __init__(self, data: bytes, offset: int) -> None:
        self._data = data
        self._position = offset

    async def __aenter__(self) -> BytesPieces:
        await trio.lowlevel.checkpoint()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await trio.lowlevel.checkpoint()

    async def receive(self) -> bytes:
        await trio.lowlevel.checkpoint()
        piece = self._data[self._position : self._position + PIECE_BYTES]
        self._position += len(piece)
        return piece


class Exactly:
    """`pieces` that are `size` bytes together, or an error before the last of them was handed out.

    Raises: StoreError from `receive`; what is promised to be one consistent version is not.
    """

    def __init__(self, pieces: Pieces, size: int) -> None:
        self._pieces = pieces
        self._left = size
        self._held: bytes | None = None

    async def receive(self) -> bytes:
        if self._held is None:
            self._held = await self._next()
        piece = self._held
        self._held = await self._next() if piece else b""
        return piece

    async def _next(self) -> bytes:
        piece = await self._pieces.receive()
        self._left -= len(piece)
        if self._left < 0 or (not piece and self._left > 0):
            raise StoreError("the content of a file changed its length while it was sent")
        return piece


async def collect(content: Content) -> bytes:
    """All of it, for remotes that keep it in memory."""
    received = bytearray()
    async with content.open() as pieces:
        exactly = Exactly(pieces, content.size)
        while piece := await exactly.receive():
            received += piece
    return bytes(received)
