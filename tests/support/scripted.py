"""A small HTTP server inside the test's own trio loop, that answers exactly what the test wrote, right or wrong.

    async with scripted(lambda request: ok(b"...")) as server: ... server.url, server.requests ...

An answer is bytes as they go out, a `Stall` in between waits for ever, and `HANGUP` closes without a word.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

import h11
import msgspec
import trio

STALL = b"<stall>"
"""As a part of an answer: nothing comes any more, and the connection stays open."""
HANGUP = b"<hangup>"
"""As a part of an answer: the connection is closed."""

Parts = bytes | Sequence[bytes]


class Asked(msgspec.Struct, frozen=True):
    """A request as it arrived. Header names are lower case. `connection` counts the connections from 1."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int


Answer = Callable[[Asked], Parts]


class Scripted:
    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[Asked] = []
        self.connections = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    async def serve(self, stream: trio.abc.Stream) -> None:
        self.connections += 1
        number = self.connections
        with suppress(trio.BrokenResourceError, h11.RemoteProtocolError):  # the client left: its right
            async with stream:
                while (asked := await self._receive(stream, number)) and await self._reply(stream, asked):
                    pass

    async def _reply(self, stream: trio.abc.Stream, asked: Asked) -> bool:
        """False when the connection is to be closed."""
        self.requests.append(asked)
        answer = self.answer(asked)
        for part in [answer] if isinstance(answer, bytes) else answer:
            if part == HANGUP:
                return False
            if part == STALL:
                await trio.sleep_forever()
            await stream.send_all(part)
        return True

    async def _receive(self, stream: trio.abc.Stream, number: int) -> Asked | None:
        """The next request, None when the client is gone."""
        parser = h11.Connection(h11.SERVER)
        request, body = None, b""
        while True:
            event = parser.next_event()
            if event is h11.NEED_DATA:
                parser.receive_data(bytes(await stream.receive_some(65536)))
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage) and request is not None:
                headers = {name.decode(): value.decode() for name, value in request.headers}
                return Asked(request.method.decode(), request.target.decode(), headers, body, number)
            else:
                return None


@asynccontextmanager
async def scripted(answer: Answer) -> AsyncIterator[Scripted]:
    server = Scripted(answer)
    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, server.serve, 0, host="127.0.0.1")
        (listener, *_) = await nursery.start(serve)
        server.port = listener.socket.getsockname()[1]
        yield server
        nursery.cancel_scope.cancel()


def http(status: int, body: bytes = b"", *, length: int | None = None, **headers: str) -> bytes:
    """One answer. `length` may lie; header names are written with `_` for `-`."""
    lines = [f"HTTP/1.1 {status} Scripted"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if "Transfer_Encoding" not in headers and length != -1:
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def multistatus(*responses: str) -> bytes:
    return f'<?xml version="1.0"?><D:multistatus xmlns:D="DAV:">{"".join(responses)}</D:multistatus>'.encode()


def folder(href: str) -> str:
    return (
        f"<D:response><D:href>{href}</D:href><D:propstat><D:prop><D:resourcetype><D:collection/></D:resourcetype>"
        "</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>"
    )


def file(href: str, *, etag: str = '"e1"', size: int = 10, date: str = "Tue, 14 Nov 2023 22:13:20 GMT") -> str:
    return (
        f"<D:response><D:href>{href}</D:href><D:propstat><D:prop><D:resourcetype/><D:getetag>{etag}</D:getetag>"
        f"<D:getcontentlength>{size}</D:getcontentlength><D:getlastmodified>{date}</D:getlastmodified>"
        "</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>"
    )
