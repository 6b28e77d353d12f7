"""From the address of a web site to that of its share: people know the first, and a Nextcloud or ownCloud has both.

Only questions that change nothing are asked, of the same host, and nothing is sent that the session would not send
anyway. What is found is told to a person; nothing is mounted at an address that nobody gave.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import msgspec

from drivefs.errors import BadAnswer, RemoteError, UsageError
from drivefs.remote.retry import retry
from drivefs.remote.webdav.coding import Decoder
from drivefs.remote.webdav.errors import error_of_status
from drivefs.remote.webdav.paths import Base, parse_base, segments_of
from drivefs.remote.webdav.propfind import HEADERS, body
from drivefs.remote.webdav.session import Session
from drivefs.remote.webdav.xml import DAV, MultistatusParser

STATUS_BYTES: Final = 64 * 1024
"""Of an answer that should have some two hundred."""
INSIDE: Final = ("index.php", "remote.php", "status.php", "public.php", "ocs", "apps", "login", "settings", "s", "f")
"""What follows the address of an installation in the addresses that browsers show."""
PRINCIPAL: Final = DAV + "current-user-principal"
"""RFC 5397: who this login is. It may be by mail address, while the share's path has the user's own id."""


class Installed(msgspec.Struct):
    """What `status.php` tells, of it what is of use here."""

    productname: str
    version: str
    installed: bool = True
    maintenance: bool = False


class Place(msgspec.Struct, frozen=True):
    """A share that was found. `user` None: the server did not tell who we are; its address is not complete then."""

    product: str
    version: str
    root: Base
    user: str | None

    @property
    def url(self) -> str:
        files = Base(self.root.origin, self.root.host, (*self.root.segments, "remote.php", "dav", "files"))
        return files.url if self.user is None else files.url_of((self.user,), directory=True)

    def __str__(self) -> str:
        what = f"there is a {self.product} {self.version}, whose share has the address {self.url}"
        return what if self.user is not None else f"{what}USER/ (with your user name)"


def roots_of(base: Base) -> list[Base]:
    """Where an installation may be, the likeliest first: at the address, above what browsers show, at the host."""
    segments = base.segments
    first = next((number for number, name in enumerate(segments) if name in INSIDE), len(segments))
    ends = sorted({first, max(0, first - 1), 0}, reverse=True)
    return [Base(base.origin, base.host, segments[:end]) for end in ends]


async def find_share(session: Session, base: Base) -> Place | None:
    """The share of the installation that `base` leads to; None where none answers.

    Raises: nothing of the server's. What cannot be asked is not found.
    """
    for root in roots_of(base):
        try:
            installed, root = await retry(partial(ask_status, session, root))
        except (RemoteError, UsageError):
            continue
        return Place(installed.productname, installed.version, root, await find_user(session, root))
    return None


async def ask_status(session: Session, root: Base) -> tuple[Installed, Base]:
    """What is installed at `root`, and where it is in the end: it may redirect, to https say.

    Raises: BadAnswer when what answers is no such installation, and the other remote errors.
    """
    url = root.url_of(("status.php",), directory=False)
    exchange = session.exchange(session.metadata, "GET", url, headers={"Accept-Encoding": "identity"})
    received = bytearray()
    async with exchange as response:
        if response.status_code != 200:
            await exchange.body.drain()
            raise error_of_status(response.status_code, f"GET {url}", response.headers)
        while len(received) <= STATUS_BYTES and (piece := await exchange.body.receive()):
            received += piece
    try:
        installed = msgspec.json.decode(bytes(received), type=Installed)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadAnswer(f"GET {url}: not the status of a Nextcloud or ownCloud") from error
    base = parse_base(exchange.url.partition("?")[0])
    return installed, Base(base.origin, base.host, base.segments[:-1])


async def find_user(session: Session, root: Base) -> str | None:
    """The id of the user who is logged in, as paths have it; None when the server does not tell."""
    try:
        href = await retry(partial(ask_principal, session, root))
    except RemoteError:
        return None
    names = segments_of(href)
    return names[-1] if names[-3:-1] == ("principals", "users") else None


async def ask_principal(session: Session, root: Base) -> str:
    url = root.url_of(("remote.php", "dav"), directory=True)
    headers = {**HEADERS, "Depth": "0", "Accept-Encoding": "gzip"}
    exchange = session.exchange(session.metadata, "PROPFIND", url, headers=headers, content=body((PRINCIPAL,)))
    parser = MultistatusParser(frozenset((PRINCIPAL,)))
    async with exchange as response:
        if response.status_code != 207:
            await exchange.body.drain()
            raise error_of_status(response.status_code, f"PROPFIND {url}", response.headers)
        decoder = Decoder(response.headers.get("content-encoding", ""))
        complete = []
        while raw := await exchange.body.receive():
            for piece in decoder.feed(raw):
                complete += parser.feed(piece)
        decoder.finish()
    complete += parser.close()
    return next((one.found[PRINCIPAL] for one in complete if PRINCIPAL in one.found), "")
