"""The changing half of the port: what may be asked of a share that drivefs may change, and how it answers.

Every change names what it expects to find (*expected*): a version, or nothing at all. The remote makes the change only
then, and tells otherwise what it saw instead. It never decides who wins, and never repeats a change by force.

Rules for every implementation, beside those of `base`:
- A file is there whole or not at all: interrupted, refused and lost uploads leave the old version, or nothing. What a
  server cannot promise is told by `WriteCapabilities`, never glossed over.
- Staging names are journalled before anything is sent under them, and removed when they have served.
- `Done` is given only after the share itself showed the new state in an answer of its own.
- An answer that never came is looked up (RFC 9110 section 9.2.2: a change may have been applied though the reply was
  lost). Only when looking fails too is it `Unknown`.
- What cannot be done now but may be later (`temporary` and `account_wide` errors) is raised when nothing of the change
  is left on the share, after the usual patience. Where bytes were sent already it is `Later`, so that they need not be
  sent again.
- Cancelling any call leaves no lock, and no staging name that the journal does not hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

from drivefs.errors import RemoteError, StoreError
from drivefs.model import Kind, Observation, Ref, Version
from drivefs.remote.base import Remote

NOTHING = None
"""As an expectation: no entry stands at that place."""


def as_expected(observed: Observation | None, expected: Version | None) -> bool:
    """Whether what stands at a place (None: nothing) is what a change expects there.

    Directories are told by their id alone: their ETags and times change with what is in them. A version with a size
    is that of a file.
    """
    if observed is None or expected is None:
        return observed is None and expected is None
    if observed.kind is not Kind.DIRECTORY:
        return expected.same(observed.version)
    ids = {expected.file_id, observed.version.file_id} - {None}
    return expected.size is None and len(ids) <= 1


class Pieces(Protocol):
    async def receive(self) -> bytes:
        """The next piece, of any length; `b""` after the last."""
        ...


class Content(Protocol):
    """One consistent version of a file's bytes, on its way out. It can be read again: for a second attempt, or for
    authentication that needs one. `size` in bytes; `mtime_ns` is offered to servers that take it."""

    @property
    def size(self) -> int: ...

    @property
    def mtime_ns(self) -> int | None: ...

    def open(self, offset: int = 0) -> AbstractAsyncContextManager[Pieces]: ...


class Staged(msgspec.Struct, frozen=True):
    """Bytes that lie on the share under a name of ours, on their way to `target`.

    `token` is what else is needed to go on with them or clean up (a lock, an upload id); opaque to all but the remote.
    """

    place: Ref
    target: Ref
    size: int
    token: str = ""


class Journal(Protocol):
    """Where a remote notes what it is about to leave on the share. Both calls are durable when they return."""

    async def begin(self, staged: Staged) -> None:
        """Before the first byte is sent, and again when `token` changes (same `place`)."""
        ...

    async def end(self, staged: Staged) -> None:
        """Nothing is left under that name, or it has become the target."""
        ...


class Done(msgspec.Struct, frozen=True):
    """The change is made. `observed` is what stands there now, None after a delete. Where its version is not settled,
    the caller keeps its bytes until it is."""

    observed: Observation | None = None


class Conflict(msgspec.Struct, frozen=True):
    """Not made: something else than expected is there. `observed` is what, None is nothing.

    `staged`, where the bytes were sent already: they wait under that name for `commit` or `discard`.
    """

    observed: Observation | None
    staged: Staged | None = None


class Unknown(msgspec.Struct, frozen=True):
    """The change may have been made or not, and looking failed too: look before anything else is done there."""

    error: RemoteError
    staged: Staged | None = None


class Later(msgspec.Struct, frozen=True):
    """Not made, for a reason that passes (the name is locked, the link broke before the commit, the share is full; or
    the content failed here, as a StoreError).

    `staged`, where the bytes were sent already: `commit` goes on with them, `discard` gives them up.
    """

    error: RemoteError | StoreError
    staged: Staged | None = None


class Refused(msgspec.Struct, frozen=True):
    """Not made, and asking again will not help: the entry is parked with this reason."""

    error: RemoteError


Outcome = Done | Conflict | Unknown | Later | Refused


class NewFile(msgspec.Struct, frozen=True):
    """One of a batch: a file that is not on the share yet."""

    name: str
    content: Content


class WriteCapabilities(msgspec.Struct, frozen=True):
    """What this server was seen, or is documented, to do for changes. Unknown is False: the careful way always
    works."""

    atomic_put: bool = False
    """An interrupted PUT leaves what was there; nobody sees half of it."""
    put_creates: bool = False
    """PUT with `If-None-Match: *` refuses a name that is taken, though perhaps not by who writes it just now."""
    checks_put: bool = False
    """PUT with If-Match or If-None-Match is checked, and as late as when the bytes are in."""
    checks_move: bool = False
    """MOVE checks the If header against the destination's ETag."""
    checks_delete: bool = False
    """DELETE checks the If or If-Match header."""
    checks_mkdir: bool = False
    """MKCOL refuses a name that is taken."""
    moves_keep_version: bool = False
    """A file that is renamed keeps its ETag and its time, so that a rename can be told after its answer was lost."""
    locks: bool = False
    """LOCK works (RFC 4918 class 2), and keeps other clients that use locks out."""
    finds_locks: bool = False
    """A lock of ours can be found, and released, when the answer that told it was lost. If not, the name stays locked
    until the lock ends by itself."""
    keeps_mtime: bool = False
    """The server takes a file's mtime from us (X-OC-Mtime)."""
    chunks: int = 0
    """Files above this size are sent in chunks of it; 0: never."""
    file_ids_stay: bool = False
    """Replacing a file must keep its id (shares and versions hang on it), so it is never staged and moved."""
    unusable: str = ""
    """Characters that a name cannot have here: the server would take another name for it."""
    window: str = ""
    """In words for people: what another client could still do unnoticed. Empty when there is nothing."""


class WritableRemote(Remote, Protocol):
    """A share that may be changed. No request of these is ever sent for a drive whose direction does not send."""

    @property
    def write_capabilities(self) -> WriteCapabilities: ...

    async def prepare(self, journal: Journal) -> WriteCapabilities:
        """Learn what the server does, before the first change: from what it says of itself, or by a test on files of
        our own in a folder of our own, journalled like any staging name, and removed afterwards."""
        ...

    async def write(
        self, ref: Ref, content: Content, *, expected: Version | None, journal: Journal, resume: Staged | None = None
    ) -> Outcome:
        """Create (`expected` is NOTHING) or replace a file.

        `resume`: what an interrupted write of this same content left on the share: gone on with, or removed.
        """
        ...

    async def create(self, folder: Ref, files: Sequence[NewFile], journal: Journal) -> Sequence[Outcome]:
        """Create many small files in one folder; the outcomes in the same order.

        The same promises as `write`, with fewer requests: where one is enough to create a file, all of the batch are
        verified by one listing. Whatever hinders one of them is its own outcome (`Later` for what passes).
        """
        ...

    async def commit(self, staged: Staged, target: Ref, *, expected: Version | None, journal: Journal) -> Outcome:
        """Give bytes that were sent already a name, after a Conflict or a crash; not a second upload."""
        ...

    async def discard(self, staged: Staged, journal: Journal) -> None:
        """Remove what lies under a staging name, if it is still there. Also after a crash, from the journal."""
        ...

    async def mkdir(self, ref: Ref) -> Outcome:
        """Conflict when anything stands there already, a directory too: `observed` tells which."""
        ...

    async def delete(self, ref: Ref, *, expected: Version, recursive: bool = False) -> Outcome:
        """Remove a file at this version, or a directory: an empty one, unless `recursive`. Done when it is gone."""
        ...

    async def move(self, source: Ref, target: Ref, *, expected: Version, replaces: Version | None = NOTHING) -> Outcome:
        """Rename an entry at version `expected`. `replaces`: the version of the file whose name it takes.

        A Conflict tells of one of the two places: look at both.
        """
        ...

    async def copy(self, source: Ref, target: Ref, *, expected: Version) -> Outcome:
        """Copy a file at this version to a place where nothing stands."""
        ...
