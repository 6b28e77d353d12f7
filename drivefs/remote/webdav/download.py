"""Content: the conditions that a read is sent with, the checks its answer must pass, and the stream of its bytes.

Invariants: no byte is handed out before the answer has shown to be the asked version at a known place. The end is
told only after as many bytes as were promised. Bytes are taken as they are on the server, never decoded.
"""

from __future__ import annotations

from contextlib import AsyncExitStack

import httpx
import msgspec

from drivefs.errors import BadAnswer, Unreachable
from drivefs.model import Kind, Observation, Ref, Version
from drivefs.remote.base import Traffic
from drivefs.remote.webdav.body import Body
from drivefs.remote.webdav.values import parse_content_range, parse_date, parse_etag, parse_size, quote_etag


class Piece(msgspec.Struct, frozen=True):
    """What a whole answer promises: `length` bytes from `offset` (None: unknown) of a file of `total` bytes."""

    offset: int
    length: int | None
    total: int | None


class Wish(msgspec.Struct, frozen=True):
    """What the caller asked for: `version`, from `offset`, `length` bytes or to the end."""

    ref: Ref
    version: Version
    offset: int = 0
    length: int | None = None

    @property
    def empty(self) -> bool:
        """Known to have no bytes, so that a range would be an error (416)."""
        size = self.version.size
        return self.length == 0 or (self.offset > 0 and size is not None and self.offset >= size)

    @property
    def last(self) -> int | None:
        """Position of the last byte asked for, None for the end of the file."""
        return None if self.length is None else self.offset + self.length - 1

    @property
    def whole(self) -> bool:
        size = self.version.size
        return self.offset == 0 and (self.length is None or (size is not None and self.length >= size))

    def headers(self, *, conditions: bool) -> dict[str, str]:
        """A range, and the version as a condition where the server has a strong ETag for it (RFC 9110 13.1.1)."""
        headers = {"Accept-Encoding": "identity"}
        if not self.whole:
            headers["Range"] = f"bytes={self.offset}-{'' if self.last is None else self.last}"
        etag = quote_etag(self.version.etag)
        if conditions and etag is not None and not self.version.weak:
            headers["If-Match"] = etag
        return headers


def observe(headers: httpx.Headers, name: str, size: int | None, at: float) -> Observation:
    """The file as the headers of an answer show it. Nextcloud's own ETag outlives a compressing proxy."""
    etag = parse_etag(headers.get("oc-etag") or headers.get("etag"))
    version = Version(
        etag=etag[0] if etag else None,
        size=size,
        mtime_ns=parse_date(headers.get("last-modified")),
        weak=bool(etag and etag[1]),
    )
    return Observation(name, Kind.FILE, version, at)


def piece_of(response: httpx.Response, wish: Wish) -> Piece:
    """What a 200 or 206 promises. Raises BadAnswer when it is not what was asked for."""
    length = parse_size(response.headers.get("content-length"))
    if response.status_code == 206:
        return _piece_of_range(response, wish, length)
    encoded = response.headers.get("content-encoding", "identity") != "identity"
    if encoded and (length is None or length != wish.version.size):  # equal: a file that is stored compressed
        raise BadAnswer(f"GET {wish.ref}: the server sends its content encoded, though that was not asked for")
    promised = wish.version.size if length is None else length
    if promised is None and response.headers.get("transfer-encoding") != "chunked":
        raise BadAnswer(f"GET {wish.ref}: the server does not tell how long the content is")
    return Piece(0, promised, length)


def _piece_of_range(response: httpx.Response, wish: Wish, length: int | None) -> Piece:
    first, last, total = parse_content_range(response.headers.get("content-range")) or (None, None, None)
    if "range" not in response.request.headers or first is None or last is None:
        raise BadAnswer(f"GET {wish.ref}: an answer in parts that was not asked for")
    size = wish.version.size if total is None else total
    ends = [end for end in (wish.last, None if size is None else size - 1) if end is not None]
    covers = first <= wish.offset and (not ends or last >= min(ends))  # sabre 1.8 answers 0-0 with all there is
    if not covers or (size is not None and last >= size) or length not in (None, last - first + 1):
        raise BadAnswer(f"GET {wish.ref}: bytes {first}-{last} are not those that were asked for")
    return Piece(first, last - first + 1, total)


def completed(shown: Version, asked: Version) -> Version:
    """What an answer showed of a version, and beside it what was known of it before."""
    return Version(
        etag=asked.etag if shown.etag is None else shown.etag,
        size=asked.size if shown.size is None else shown.size,
        mtime_ns=asked.mtime_ns if shown.mtime_ns is None else shown.mtime_ns,
        file_id=asked.file_id,
        weak=asked.weak if shown.etag is None else shown.weak,
    )


class ContentStream:
    """A `ReadStream` over one answer. It owns what `resources` holds: the connection, and a place in the limit."""

    def __init__(
        self, body: Body, piece: Piece, observed: Observation, resources: AsyncExitStack, traffic: Traffic
    ) -> None:
        self.offset = piece.offset
        self.observed = observed
        self._what = f"GET {observed.name}"
        self._left = piece.length
        self._body = body
        self._resources = resources
        self._traffic = traffic

    async def receive(self) -> bytes:
        data = await self._body.receive()
        self._traffic.down_bytes += len(data)
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                raise BadAnswer(f"{self._what}: more bytes than promised")
            if not data and self._left:
                raise Unreachable(f"{self._what}: the content ended {self._left} bytes early")
        return data

    async def aclose(self) -> None:
        await self._resources.aclose()


class NothingStream:
    """A `ReadStream` without bytes: what was asked for lies past the end."""

    def __init__(self, offset: int, observed: Observation) -> None:
        self.offset = offset
        self.observed = observed

    async def receive(self) -> bytes:
        return b""

    async def aclose(self) -> None:
        pass
