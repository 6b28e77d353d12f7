"""The words of drivefs as frozen types; every other room speaks in these.

A *drive* keeps three pictures of every entry: *local* (what programs see here), *remote* (as last observed)
and *record* (what both sides last agreed on). Pending work is the difference between them; it is computed
by `plan`, never stored. Nothing in this file does I/O.

Names are `str` decoded with `surrogateescape`, so that any bytes the kernel or a server gives come back
unchanged; `bytes` names exist only in `mount/fuse.py`, in SQL and on the wire.
Times of files are integers in nanoseconds since the epoch; clocks of servers are floats in seconds.
"""

from __future__ import annotations

import enum
from typing import NewType

import msgspec

Inode = NewType("Inode", int)
"""Number of an entry, for the kernel and for us: given once, never used again, the same after a remount."""

ContentId = NewType("ContentId", int)
"""Number of one version's bytes. A new version gets a new number, so a stale block can never be served."""

ROOT = Inode(1)
NO_CONTENT = ContentId(0)

SETTLE_SECONDS = 2.0
"""How far the server's clock must be past a version's mtime before that version can be trusted to be final.
Servers with one-second ETags (nginx, WsgiDAV, sabre/dav) give one ETag to all same-size writes of a second."""


def encode_name(name: str) -> bytes:
    """The bytes of a name, exactly as they came."""
    return name.encode("utf-8", "surrogateescape")


def decode_name(name: bytes) -> str:
    """A name from bytes; what is not UTF-8 survives as surrogates."""
    return name.decode("utf-8", "surrogateescape")


class Kind(enum.IntEnum):
    FILE = 1
    DIRECTORY = 2
    SYMLINK = 3


class Version(msgspec.Struct, frozen=True, gc=False):
    """What identifies the content of a remote entry. Any part may be unknown (None).

    `etag` is opaque: unquoted, without `W/` and without the suffixes that compressing proxies add.
    `weak` tells how it may be used in a condition and is no part of the identity.
    """

    etag: str | None = None
    size: int | None = None
    mtime_ns: int | None = None
    file_id: str | None = None
    weak: bool = False

    def same(self, other: Version) -> bool:
        """True when all parts known to both are equal, and at least one that tells content is known to both."""
        compared = False
        for mine, theirs in (
            (self.etag, other.etag),
            (self.size, other.size),
            (self.mtime_ns, other.mtime_ns),
        ):
            if mine is not None and theirs is not None:
                if mine != theirs:
                    return False
                compared = True
        if self.file_id is not None and other.file_id is not None and self.file_id != other.file_id:
            return False
        return compared


class Observation(msgspec.Struct, frozen=True, gc=False):
    """One remote entry as one answer of the server showed it.

    `at` is the server's own clock at that answer (its Date header), in seconds; where a server tells none,
    the time here. `permissions` is the server's own string (oc:permissions), None when it tells none; `checksum` is
    the best one that it tells, as in `SHA1:<hex>`.
    """

    name: str
    kind: Kind
    version: Version
    at: float
    permissions: str | None = None
    checksum: str | None = None

    def settled(self, first_seen: float | None = None) -> bool:
        """True when no later write can carry this same version.

        Either the server's clock is past the mtime by `SETTLE_SECONDS`, or the same version was already
        seen that long ago (`first_seen`, same clock): this covers mtimes set into the future and servers
        that tell no mtime.
        """
        mtime = self.version.mtime_ns
        if mtime is not None and self.at - mtime / 1e9 >= SETTLE_SECONDS:
            return True
        return first_seen is not None and self.at - first_seen >= SETTLE_SECONDS


class Listing(msgspec.Struct, frozen=True):
    """A complete, successful listing of one remote directory; there is no such thing as a partial one.

    `directory` is the directory itself, `children` are all entries whose names can exist here, and `hidden`
    counts those whose names cannot (empty, `.`, `..`, NUL, `/`, over 255 bytes).
    """

    directory: Observation
    children: list[Observation]
    hidden: int = 0


class Ref(msgspec.Struct, frozen=True, gc=False):
    """Where an entry is on the remote: the path from the share's root, and the server's id where it has one.

    A remote uses what it needs of the two; nobody above the port may take one for the identity.
    """

    path: tuple[str, ...] = ()
    file_id: str | None = None

    @property
    def name(self) -> str:
        return self.path[-1] if self.path else ""

    @property
    def parent(self) -> Ref:
        return Ref(self.path[:-1])

    def child(self, name: str, file_id: str | None = None) -> Ref:
        return Ref((*self.path, name), file_id)

    def __str__(self) -> str:
        return "/" + "/".join(self.path)


class Space(msgspec.Struct, frozen=True, gc=False):
    """Bytes on the remote; None is unknown."""

    used: int | None = None
    available: int | None = None


class Entry(msgspec.Struct, frozen=True, gc=False):
    """The local picture of one entry, and what is here of its content.

    `size` is in bytes and true; `cached` is how many of them are on this disk. `version` is the version that
    `content` belongs to. `settled` says whether content read under it may be kept as final; `seen` is the
    server's clock when that version was first seen.
    `listed` (directories) is when a complete listing was last applied, in seconds; None is never.
    """

    inode: Inode
    parent: Inode
    name: str
    kind: Kind
    size: int
    mtime_ns: int
    ctime_ns: int
    mode: int
    content: ContentId = NO_CONTENT
    cached: int = 0
    version: Version = Version()
    settled: bool = True
    seen: float | None = None
    listed: float | None = None
    nlink: int = 1

    @property
    def is_directory(self) -> bool:
        return self.kind is Kind.DIRECTORY


class State(enum.StrEnum):
    """The one state of an entry, in order: the first that fits."""

    ERROR = "error"
    CONFLICT = "conflict"
    SENDING = "sending"
    DIRTY = "dirty"
    OVERRIDE = "override"
    LOCAL_ONLY = "local-only"
    IGNORED = "ignored"
    DIVERGED = "diverged"
    HYDRATED = "hydrated"
    PARTIAL = "partial"
    PLACEHOLDER = "placeholder"


class Changed(msgspec.Struct, frozen=True, gc=False):
    """Something that the kernel may hold a copy of has changed; the store emits it, `mount/kernel.py` drains it.

    With a `name`, the name `name` in directory `inode` went away, appeared, or leads to another inode now.
    Without, attributes of `inode` changed; `content` says whether its bytes did too.
    """

    inode: Inode
    name: str | None = None
    content: bool = False
