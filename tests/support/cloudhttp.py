"""HTTP/1.1 for `nextcloud`: connections of one server inside the test's own trio loop, which may break where told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from email.utils import formatdate

import h11
import msgspec
import trio


class Dropped(Exception):
    """The connection is closed without a word."""


class Truncated(bytes):
    """A body that ended before its time."""


class Asked(msgspec.Struct, frozen=True):
    """A request as it arrived. Header names are lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes | Truncated


class Reply(msgspec.Struct, frozen=True):
    status: int
    body: bytes = b""
    headers: dict[str, str] = {}


class Connection:
    """`cut(method, target)` tells after how many bytes of its body a request ends, None for none of it."""

    def __init__(
        self,
        answer: Callable[[Asked], Awaitable[Reply]],
        cut: Callable[[str, str], int | None],
        clock: Callable[[], float],
    ) -> None:
        self._answer = answer
        self._cut = cut
        self._clock = clock

    async def serve(self, stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError, h11.RemoteProtocolError, Dropped):  # the client left, or we did
            async with stream:
                parser = h11.Connection(h11.SERVER)
                while (asked := await self._receive(stream, parser)) is not None:
                    await self._send(stream, parser, asked, await self._answer(asked))
                    if h11.MUST_CLOSE in parser.states.values():
                        return
                    parser.start_next_cycle()

    async def _receive(self, stream: trio.SocketStream, parser: h11.Connection) -> Asked | None:
        """The next request, None when the client is gone."""
        method, target, headers, body = "", "", {}, bytearray()
        cut: int | None = None
        while True:
            event = parser.next_event()
            if event is h11.NEED_DATA:
                parser.receive_data(await stream.receive_some(65536))
            elif isinstance(event, h11.Request):
                method, target = event.method.decode(), event.target.decode()
                headers = {name.decode(): value.decode() for name, value in event.headers}
                cut = self._cut(method, target)
            elif isinstance(event, h11.Data):
                body += event.data
                if cut is not None and len(body) >= cut:
                    await self._answer(Asked(method, target, headers, Truncated(body[:cut])))
                    raise Dropped
            elif isinstance(event, h11.EndOfMessage):
                return Asked(method, target, headers, bytes(body))
            else:
                return None

    async def _send(self, stream: trio.SocketStream, parser: h11.Connection, asked: Asked, reply: Reply) -> None:
        headers = [*reply.headers.items(), ("Date", formatdate(self._clock(), usegmt=True)), ("Server", "Apache")]
        if reply.status != 204:
            headers.append(("Content-Length", str(len(reply.body))))
        start = h11.Response(status_code=reply.status, headers=headers, reason=b"Cloud")
        body = b"" if asked.method == "HEAD" or reply.status == 204 else reply.body
        sent = [parser.send(start), parser.send(h11.Data(data=body)), parser.send(h11.EndOfMessage())]
        await stream.send_all(b"".join(part for part in sent if part))
