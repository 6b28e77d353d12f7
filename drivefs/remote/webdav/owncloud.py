"""What Nextcloud and ownCloud tell beyond WebDAV, in our words: permissions, checksums, ids, where their parts are.

Pure. From the Nextcloud developer manual ("Client APIs", WebDAV: basic, chunking) and the sources of both servers
(`apps/dav`). Nothing is guessed from a server's name: what has `oc:id` is one of them, or does as they do.
"""

from __future__ import annotations

import unicodedata
from typing import Final

import msgspec

from drivefs.model import Ref, encode_name
from drivefs.remote.webdav.paths import Base
from drivefs.remote.writing import WriteCapabilities

MIB: Final = 1024 * 1024
CHUNK_BYTES: Final = 10 * MIB
"""Above this a file goes in chunks. Nextcloud's version 2 takes 5 MB to 5 GB each."""
LONGEST_NAME: Final = 250
"""Bytes: a column of their database."""
ALGORITHMS: Final = ("SHA256", "SHA3-256", "SHA1", "MD5", "ADLER32")
"""Of checksums, the best first."""
WINDOW: Final = (
    "what another program writes to the same file in the moment it is replaced; "
    "the server keeps it as an earlier version of the file (Versions)"
)


class Permissions(msgspec.Struct, frozen=True):
    """What the user may do with one entry. `create`, `mkdir`: in this folder; `write`: replace this file's content.

    `rename` is within its folder; `move` to another one, which needs `delete`, too. `shared`: it came from, or is
    shared with, somebody else. `mounted`: it lies on storage from elsewhere, whose changes need not show in the ETags
    of the folders above it.
    """

    read: bool
    write: bool
    create: bool
    mkdir: bool
    delete: bool
    rename: bool
    move: bool
    reshare: bool
    shared: bool
    mounted: bool


def parse_permissions(letters: str | None, *, tells_read: bool = False) -> Permissions | None:
    """From `Observation.permissions`; None when the server tells none, and all must be tried.

    `tells_read`: this server has the letter for it, which is so when the root's permissions have a `G`. ownCloud and
    old Nextclouds have none: there a missing `G` says nothing.
    """
    if letters is None:
        return None
    has = set(letters)
    return Permissions(
        read="G" in has or not tells_read,
        write="W" in has,
        create="C" in has,
        mkdir="K" in has,
        delete="D" in has,
        rename="N" in has,
        move="V" in has and "D" in has,
        reshare="R" in has,
        shared="S" in has,
        mounted="M" in has,
    )


def best_checksum(told: str | None) -> str | None:
    """The strongest of oc:checksums, as `SHA1:<hex>`. None without one of a known kind.

    ownCloud tells several in one element, with spaces between; Nextcloud what the last writer claimed, one element
    each. On Nextcloud it was never compared with the content: it proves who wrote, not what is there.
    """
    found: dict[str, str] = {}
    for word in (told or "").replace(",", " ").split():
        kind, _, digits = word.partition(":")
        if digits:
            found.setdefault(kind.upper(), digits.lower())
    return next((f"{kind}:{found[kind]}" for kind in ALGORITHMS if kind in found), None)


def composed(name: str) -> str:
    """A name as these servers keep it: Unicode's composed form (NFC), whatever form it was sent in."""
    return unicodedata.normalize("NFC", name)


def composed_ref(ref: Ref) -> Ref:
    return Ref(tuple(map(composed, ref.path)), ref.file_id)


def write_capabilities(base: Base) -> WriteCapabilities:
    """What these servers are documented to do, for a share at `base`.

    Their LOCK is always granted and keeps nobody out (FakeLockerPlugin), so it counts as none.
    """
    return WriteCapabilities(
        atomic_put=True,
        put_creates=True,
        checks_put=False,  # when the request begins
        checks_move=True,
        checks_delete=True,
        checks_mkdir=True,
        moves_keep_version=True,
        keeps_mtime=True,
        chunks=CHUNK_BYTES if dav_root(base) is not None else 0,
        file_ids_stay=True,
        window=WINDOW,
    )


def dav_root(base: Base) -> tuple[Base, str, tuple[str, ...]] | None:
    """Of a share at `.../remote.php/dav/files/USER/...`: the part up to `dav`, the user's id, and what follows `dav`.

    None for addresses of another form: the old `remote.php/webdav` does not tell whose uploads are meant.
    """
    segments = base.segments
    for start in range(len(segments) - 3):
        if segments[start : start + 3] == ("remote.php", "dav", "files"):
            root = Base(base.origin, base.host, segments[: start + 2])
            return root, segments[start + 3], segments[start + 2 :]
    return None


def why_refused(name: str) -> str | None:
    """Why both servers refuse a name for a new file, in words; None when it may be tried.

    Their own lists, which administrators may make longer: a file of many gigabytes should not find out at its end.
    """
    low = name.lower()
    if low == ".htaccess" or low.endswith(".part"):
        return f"names like {name} are kept for the server's own files"
    if "\\" in name:
        return "a backslash cannot be in a name on this server"
    return "names have at most 250 bytes on this server" if len(encode_name(name)) > LONGEST_NAME else None
