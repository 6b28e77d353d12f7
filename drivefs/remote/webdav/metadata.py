"""Metadata: one PROPFIND, from the request to the whole, checked answer."""

from __future__ import annotations

import time

import httpx
import msgspec
import trio

from drivefs.errors import BadAnswer
from drivefs.model import Listing, Ref
from drivefs.remote.webdav import propfind
from drivefs.remote.webdav.body import Body
from drivefs.remote.webdav.coding import Decoder
from drivefs.remote.webdav.errors import error_of_status
from drivefs.remote.webdav.paths import Base
from drivefs.remote.webdav.session import Session
from drivefs.remote.webdav.values import NS, parse_date
from drivefs.remote.webdav.xml import Limits, Response


class Found(msgspec.Struct, frozen=True):
    """A whole answer. `own` is the part about the asked entry, with all its properties."""

    listing: Listing
    own: Response
    headers: httpx.Headers


class Question(msgspec.Struct, frozen=True):
    """One PROPFIND. `directory`: the entry is known to be one, so its URL has the slash."""

    ref: Ref
    depth: int
    properties: tuple[str, ...]
    directory: bool


async def ask(session: Session, base: Base, question: Question, limits: Limits | None = None) -> Found:
    """Sends the question once and reads the answer to its end, with other tasks getting their turn meanwhile."""
    url = base.url_of(question.ref.path, directory=question.directory or not question.ref.path)
    headers = {**propfind.HEADERS, "Depth": str(question.depth), "Accept-Encoding": "gzip"}
    content = propfind.body(question.properties)
    exchange = session.exchange(session.metadata, "PROPFIND", url, headers=headers, content=content)
    async with exchange as response:
        if response.status_code != 207:
            await exchange.body.drain()
            raise refusal(response, f"PROPFIND {question.ref}")
        reader = propfind.ListingReader(base, question.ref, server_time(response.headers), limits)
        await read_into(reader, exchange.body, Decoder(response.headers.get("content-encoding", "")))
    listing = reader.finish()
    assert reader.own is not None
    return Found(listing, reader.own, response.headers)


async def read_into(reader: propfind.ListingReader, body: Body, decoder: Decoder) -> None:
    while raw := await body.receive():
        for piece in decoder.feed(raw):
            reader.feed(piece)
            await trio.lowlevel.checkpoint()
    decoder.finish()


def refusal(response: httpx.Response, what: str) -> Exception:
    """The error for an answer that is no multistatus. A 200 is one, too: a web page, most often a login."""
    if response.is_success:
        return BadAnswer(f"{what}: the server answered {response.status_code}, which is not a WebDAV answer")
    return error_of_status(response.status_code, what, response.headers)


def server_time(headers: httpx.Headers) -> float:
    """The server's clock at this answer, in seconds; ours, when it tells none."""
    date = parse_date(headers.get("date"))
    return time.time() if date is None else date / NS
