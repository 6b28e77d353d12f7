"""What a PROPFIND asks for, and what its answer says: from parsed responses to observations and listings.

Invariants: a listing has its own directory in it, or it is no listing of it. The kind of an entry is told by the
server, never guessed: a directory taken for a file would look like a directory that was deleted.
"""

from __future__ import annotations

from typing import Final

from drivefs.errors import BadAnswer, RemoteError
from drivefs.model import Kind, Listing, Observation, Ref, Space, Version
from drivefs.names import can_exist_here
from drivefs.remote.webdav.errors import error_of_status
from drivefs.remote.webdav.owncloud import best_checksum
from drivefs.remote.webdav.paths import Base, decode_segment
from drivefs.remote.webdav.values import parse_date, parse_etag, parse_size
from drivefs.remote.webdav.xml import DAV, OC, RESOURCETYPE, Limits, MultistatusParser, Response

ETAG, LENGTH, MODIFIED = DAV + "getetag", DAV + "getcontentlength", DAV + "getlastmodified"
ISCOLLECTION = DAV + "iscollection"
FILE_ID, ID, PERMISSIONS, CHECKSUMS = OC + "fileid", OC + "id", OC + "permissions", OC + "checksums"
USED, AVAILABLE = DAV + "quota-used-bytes", DAV + "quota-available-bytes"

PLAIN: Final = (RESOURCETYPE, ETAG, LENGTH, MODIFIED)
OWNCLOUD: Final = (FILE_ID, ID, PERMISSIONS, CHECKSUMS)
QUOTA: Final = (USED, AVAILABLE)
WANTED: Final = frozenset((*PLAIN, *OWNCLOUD, *QUOTA, ISCOLLECTION))

HEADERS: Final = {"Content-Type": "application/xml; charset=utf-8"}
"""lighttpd answers 415 to a PROPFIND without a type."""


def body(properties: tuple[str, ...]) -> bytes:
    """A PROPFIND that names what it wants: allprop costs more, and may bring texts that break the XML."""
    names = "".join(f"<{name.replace(DAV, 'd:').replace(OC, 'o:')}/>" for name in properties)
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        f'<d:propfind xmlns:d="DAV:" xmlns:o="{OC.strip()}"><d:prop>{names}</d:prop></d:propfind>'
    ).encode()


def kind_of(response: Response) -> Kind:
    """Raises BadAnswer when it cannot be told."""
    found = response.found
    if found.get(RESOURCETYPE) == "collection" or found.get(ISCOLLECTION) in ("1", "true", "TRUE"):
        return Kind.DIRECTORY
    if RESOURCETYPE in found or (RESOURCETYPE not in response.failed and LENGTH in found):
        return Kind.FILE
    if response.href.endswith("/"):
        return Kind.DIRECTORY
    raise BadAnswer(f"the server does not tell whether {response.href} is a file or a folder")


def observation(response: Response, name: str, at: float) -> Observation:
    """The entry of one response. `at`: the server's clock, in seconds.

    The id is oc:id, which the header OC-FileId tells, too, and which holds the name of the installation: the number
    alone (oc:fileid) would mean another file after the server was set up anew. Both stay over renames and rewrites.
    """
    found = response.found
    kind = kind_of(response)
    etag = parse_etag(found.get(ETAG))
    version = Version(
        etag=etag[0] if etag else None,
        size=parse_size(found.get(LENGTH)) if kind is Kind.FILE else None,  # lighttpd tells one for folders, too
        mtime_ns=parse_date(found.get(MODIFIED)),
        file_id=found.get(ID) or found.get(FILE_ID) or None,
        weak=bool(etag and etag[1]),
    )
    return Observation(name, kind, version, at, found.get(PERMISSIONS), best_checksum(found.get(CHECKSUMS)))


def space_of(response: Response) -> Space:
    """RFC 4331. Negative numbers mean "unknown" or "no limit" on ownCloud and Nextcloud: they are None."""
    return Space(parse_size(response.found.get(USED)), parse_size(response.found.get(AVAILABLE)))


class ListingReader:
    """Takes the body of a PROPFIND of `ref`, Depth 0 or 1, and gives the listing when all of it was there."""

    def __init__(self, base: Base, ref: Ref, at: float, limits: Limits | None = None) -> None:
        self._base = base
        self._ref = ref
        self._at = at
        self._parser = MultistatusParser(WANTED, limits)
        self._own_prefix: str | None = None
        self._children: dict[str, Observation] = {}
        self._hidden: set[str] = set()
        self._foreign = ""
        self.own: Response | None = None
        """The response about `ref` itself."""

    def feed(self, piece: bytes) -> None:
        for response in self._parser.feed(piece):
            self._take(response)

    def finish(self) -> Listing:
        """The complete listing.

        Raises: BadAnswer when the document was cut, or is not about `ref`; the error of its status when the
        server said in it that `ref` is not there, or not for us.
        """
        for response in self._parser.close():
            self._take(response)
        if self.own is None:
            about = f" but about {self._foreign}" if self._foreign else ""
            raise BadAnswer(f"PROPFIND {self._ref}: the answer is not about it{about}")
        if self.own.status is not None and not 200 <= self.own.status < 300:
            raise error_of_status(self.own.status, f"PROPFIND {self._ref}")
        own = observation(self.own, self._ref.name, self._at)
        return Listing(own, list(self._children.values()), len(self._hidden))

    def _take(self, response: Response) -> None:
        name = self._name_of(response.href)
        if name is None:
            self._foreign = self._foreign or response.href
        elif name == "":
            self.own = self.own or response
        else:
            self._take_child(response, name)

    def _name_of(self, href: str) -> str | None:
        """The child's name, empty for the directory itself, None for what is elsewhere."""
        prefix = self._own_prefix
        if prefix is not None and href.startswith(prefix):  # nearly always: spelt like the directory itself
            rest = href[len(prefix) :].rstrip("/")
            if rest and "/" not in rest:
                return decode_segment(rest)
        path = self._base.below(href)
        depth = len(self._ref.path)
        if path is None or path[:depth] != self._ref.path or len(path) > depth + 1:
            return None
        if len(path) == depth:
            self._own_prefix = href.rstrip("/") + "/"
            return ""
        return path[depth]

    def _take_child(self, response: Response, name: str) -> None:
        status = response.status
        if status is not None and not 200 <= status < 300:
            if status in (404, 410):  # deleted while the server was listing
                return
            if status >= 500:
                raise BadAnswer(f"PROPFIND {self._ref}: the server failed at {name!r} ({status})")
            self._hidden.add(name)  # it exists, but not for us
        elif can_exist_here(name):
            self._children[name] = observation(response, name, self._at)
        else:
            self._hidden.add(name)


def is_refusal(error: RemoteError) -> bool:
    """Whether an error may only mean that the entry is of another kind than the form of the URL said."""
    return not error.temporary and not error.account_wide
