"""A proxy in the test's own trio loop that breaks connections to a real server at chosen places.

    async with cutting(server.url) as proxy:
        proxy.cut = once("MOVE", LOST_REPLY)
        ... proxy.url ...

Each request goes over a connection of its own, so that the server sees the end of each for what it is. What was lost
has been done: the proxy waits for the server's whole answer before it hangs up on the client.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from urllib.parse import urlsplit

import msgspec
import trio


class Cut(msgspec.Struct, frozen=True):
    """Where one exchange ends: after so many bytes of the request's body, or of the whole reply."""

    request: int | None = None
    reply: int | None = None


LOST_REPLY = Cut(reply=0)

Decide = Callable[[str, str], Cut | None]
"""From method and target of a request."""


def never(method: str, target: str) -> Cut | None:
    return None


def once(method: str, cut: Cut, *, skip: int = 0) -> Decide:
    """Cuts one request of this method, after `skip` others of it."""
    left = skip

    def decide(asked: str, target: str) -> Cut | None:
        nonlocal left
        if asked != method:
            return None
        left -= 1
        return cut if left == -1 else None

    return decide


class CuttingProxy:
    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.port is not None
        self._upstream = parts.port
        self.cut: Decide = never
        self.cuts = 0
        """How often something was cut."""
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    async def serve(self, client: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError, ConnectionError):  # either side may leave at any time
            async with client:
                head, rest = await receive_head(client)
                if head:
                    await self._exchange(client, head, rest)

    async def _exchange(self, client: trio.SocketStream, head: bytes, rest: bytes) -> None:
        method, target = head.decode("latin-1").split(" ", 2)[:2]
        cut = self.cut(method, target) or Cut()
        self.cuts += cut != Cut()
        length = int(found.group(1)) if (found := re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)) else 0
        async with await trio.open_tcp_stream("127.0.0.1", self._upstream) as server:
            await server.send_all(re.sub(rb"(?i)\r\nconnection:[^\r]*", b"", head) + b"Connection: close\r\n\r\n")
            if not await self._upload(client, server, rest, length, cut.request):
                return
            await self._reply(client, server, cut.reply)

    async def _upload(
        self, client: trio.SocketStream, server: trio.SocketStream, rest: bytes, length: int, limit: int | None
    ) -> bool:
        """False when the body was cut, and with it both connections."""
        sent = 0
        while sent < length:
            piece = rest or await client.receive_some(65536)
            rest = b""
            if not piece:
                return False
            if limit is not None and sent + len(piece) > limit:
                await server.send_all(piece[: limit - sent])
                return False
            await server.send_all(piece)
            sent += len(piece)
        return True

    async def _reply(self, client: trio.SocketStream, server: trio.SocketStream, limit: int | None) -> None:
        received = 0
        while piece := await server.receive_some(65536):
            if limit is None:
                await client.send_all(piece)
            else:
                await client.send_all(piece[: max(0, limit - received)])
            received += len(piece)


async def receive_head(client: trio.SocketStream) -> tuple[bytes, bytes]:
    """A request's head up to its last line's end, without the empty line; and what came with it of the body."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = await client.receive_some(65536)
        if not piece:
            return b"", b""
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    return head + b"\r\n", rest


@asynccontextmanager
async def cutting(url: str) -> AsyncIterator[CuttingProxy]:
    proxy = CuttingProxy(url)
    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, proxy.serve, 0, host="127.0.0.1")
        (listener, *_) = await nursery.start(serve)
        proxy.port = listener.socket.getsockname()[1]
        yield proxy
        nursery.cancel_scope.cancel()
