"""What known servers do with changes, as data; each line was seen on that server. Pure.

A name alone proves little, so a server is known by what nothing else says of itself. What is not known here is found
out by `selftest`, or gets the careful way: send aside, compare, rename.
"""

from __future__ import annotations

import enum
from typing import Final

import httpx
import msgspec

from drivefs.model import Version, encode_name
from drivefs.remote.webdav.conditions import is_condition
from drivefs.remote.webdav.learn import MOD_DAV_FS
from drivefs.remote.writing import WriteCapabilities

COARSE: Final = "a change to the same size within the same second is not seen"
UNLOCKED: Final = "a change in the milliseconds between the comparison and the rename, or the delete, is not seen"


class Check(enum.Enum):
    """How a server is asked to check a version itself, if at all."""

    COMPARE = enum.auto()
    """It does not: compare immediately before, under a lock where there are locks."""
    IF_MATCH = enum.auto()
    IF = enum.auto()


class Habits(msgspec.Struct, frozen=True):
    """How to speak to one server: what it can do, and which form of asking it takes.

    `moves` tells how MOVE checks a version without a lock. `lock_rename`: under a lock, the server takes a MOVE with
    our token. `longest_put`: bytes of the longest name that a PUT may have. `makes_parents`: MOVE and COPY make missing
    folders on the way instead of refusing.
    """

    can: WriteCapabilities = WriteCapabilities(window=UNLOCKED)
    name: str = ""
    deletes: Check = Check.COMPARE
    moves: Check = Check.COMPARE
    lock_rename: bool = False
    longest_put: int = 255
    makes_parents: bool = True

    def puts(self, name: str, expected: Version | None) -> bool:
        """Whether one PUT at the final name is safe for this change; else the bytes are sent aside and renamed."""
        if not self.can.atomic_put or len(encode_name(name)) > self.longest_put:
            return False
        return self.can.put_creates if expected is None else self.can.checks_put and is_condition(expected)


CAREFUL: Final = Habits()

APACHE: Final = Habits(
    name="Apache mod_dav_fs",
    can=WriteCapabilities(
        atomic_put=True,
        put_creates=True,
        checks_move=True,
        checks_delete=True,
        checks_mkdir=True,
        moves_keep_version=True,
        locks=True,
        finds_locks=True,
        window="of two clients that create the same new name in the same moment, one may overwrite the other",
    ),
    deletes=Check.IF,
    moves=Check.IF,
    lock_rename=True,
    makes_parents=False,
)
LIGHTTPD: Final = Habits(
    name="lighttpd mod_webdav",
    can=WriteCapabilities(
        atomic_put=True,
        put_creates=True,
        checks_put=True,
        checks_delete=True,
        checks_mkdir=True,
        moves_keep_version=True,
        locks=True,
        window="names of more than 240 bytes: " + UNLOCKED,
    ),
    deletes=Check.IF_MATCH,
    lock_rename=False,  # any If header on MOVE is answered 412
    longest_put=240,  # it adds a suffix while it writes, and fails when that is too long
    makes_parents=False,
)
NGINX: Final = Habits(
    name="nginx dav-ext",
    can=WriteCapabilities(atomic_put=True, checks_mkdir=True, moves_keep_version=True, locks=True, window=COARSE),
    lock_rename=True,
)
WSGIDAV: Final = Habits(
    name="WsgiDAV",
    # It decodes a Destination before it looks for parameters and a query in it: MOVE would take a shorter name.
    can=WriteCapabilities(
        checks_mkdir=True, moves_keep_version=True, locks=True, finds_locks=True, unusable="?;", window=COARSE
    ),
    # If-Match on DELETE works for files, but the file's condition also deletes a folder that took its name.
    lock_rename=True,
    makes_parents=False,
)
SABRE: Final = Habits(
    name="sabre/dav",
    can=WriteCapabilities(
        checks_move=True,
        checks_delete=True,
        checks_mkdir=True,
        moves_keep_version=True,
        locks=True,
        window="with ETags made of times in seconds, " + COARSE,
    ),
    deletes=Check.IF,
    moves=Check.IF,
    lock_rename=True,
    makes_parents=False,
)


def recognise(options: httpx.Headers, answer: httpx.Headers) -> Habits | None:
    """The habits of a server that is known, from the headers of an OPTIONS and of a PROPFIND; None for others."""
    server = answer.get("server", "")
    classes = {word.strip() for word in options.get("dav", "").split(",")}
    known: Habits | None = None
    if MOD_DAV_FS in classes:
        known = APACHE
    elif server.startswith("lighttpd") and {"1", "3"} <= classes <= {"1", "2", "3"}:
        known = LIGHTTPD
    elif server.startswith("nginx") and classes == {"2"}:
        known = NGINX
    elif server.startswith("WsgiDAV/"):
        known = WSGIDAV
    elif "x-sabre-version" in options or "extended-mkcol" in classes:
        known = SABRE
    return known if known is None or "2" in classes else without_locks(known)


def without_locks(habits: Habits) -> Habits:
    """The same server where LOCK is not set up. Apache checks the If header of a MOVE, and renames a little later."""
    window = "; ".join(filter(None, (habits.can.window, UNLOCKED)))
    return msgspec.structs.replace(
        habits,
        lock_rename=False,
        can=msgspec.structs.replace(habits.can, locks=False, finds_locks=False, window=window),
    )
