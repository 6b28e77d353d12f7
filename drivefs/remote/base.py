"""The port to a remote share: what the rest of drivefs may ask of any server, and what it may rely on.

Nothing here presumes ETags, ranges, paths as identity, or atomic replace; what a server can do is told by
its `Capabilities`. Every implementation (`webdav`, `memory`, the `faulty` wrapper) passes one contract
suite: `tests/remote/contract.py`.

Rules for every implementation:
- Errors are those of `drivefs.errors.RemoteError` and its children; no library's own error gets out.
- `NotFound` means that a complete, successful answer about that very entry said so. Anything else that went
  wrong is another error, and says nothing about what exists.
- A listing is complete or it is an error.
- Names come and go as exact bytes (see `model`): no case folding, no Unicode folding.
- Reads that failed for a temporary reason are retried inside, within the caller's cancel scope; there are no
  `timeout=` parameters. An implementation bounds the time without progress, not the total.
- Cancelling any call leaves the remote usable.
- After Unauthorized a remote may refuse at once for a while, sending nothing: servers lock accounts. `connect`, and
  `stat` of the root, always ask.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

from drivefs.model import Listing, Observation, Ref, Space, Version


class Capabilities(msgspec.Struct, frozen=True):
    """What this server was seen, or is documented, to do. Unknown is False: the careful way always works."""

    server: str = ""
    """Name of the server as it tells it, for people ("Apache/2.4")."""
    ranges: bool = False
    """A read may start in the middle. If not, `ReadStream.offset` may be before what was asked."""
    file_ids: bool = False
    """Entries carry an id that survives a rename."""
    strong_etags: bool = False
    """Versions carry ETags that tell two contents apart (once settled)."""
    tree_etags: bool = False
    """A change anywhere below changes a directory's version, up to the root (Nextcloud, ownCloud)."""
    folder_versions: bool = False
    """A directory's own version changes when an entry is created, deleted, renamed or replaced in it."""
    hides_dotfiles: bool = False
    """Names that start with a dot are left out of listings though they exist (nginx)."""
    composes_names: bool = False
    """Names are kept in Unicode's composed form (NFC), whatever form they were sent in (Nextcloud, ownCloud): an entry
    is found by either, and listed by that one."""
    space: bool = False
    """The share tells how much room is left."""


class ReadStream(Protocol):
    """Bytes of one version of one file, as they arrive, in order.

    `offset` is where the first byte stands in the file. `observed` is what this very answer showed of the
    file: its version is the one asked for, and `observed.at` tells whether it is settled by now.
    """

    @property
    def offset(self) -> int: ...

    @property
    def observed(self) -> Observation: ...

    async def receive(self) -> bytes:
        """The next piece, of any length; `b""` after the last promised byte, never before it.

        Raises: Unreachable when the connection ended early or stalled; nothing is ever zero-filled.
        """
        ...


class Remote(Protocol):
    """The read half of a remote share. All paths are below the share's root; `Ref()` is the root itself."""

    @property
    def capabilities(self) -> Capabilities:
        """As known so far; `connect` learns most of it, later answers may add to it."""
        ...

    @property
    def traffic(self) -> Traffic:
        """Counters since the start."""
        ...

    async def connect(self) -> Observation:
        """Ask for the root, learn the capabilities, and tell what the root is.

        Raises: Unreachable, TlsError, Unauthorized, NotAShare, and the other remote errors.
        """
        ...

    async def list(self, ref: Ref) -> Listing:
        """All entries of one directory, complete.

        Raises: NotFound; BadAnswer when it is no directory or the answer was not whole.
        """
        ...

    async def stat(self, ref: Ref) -> Observation:
        """One entry, asked for by itself. NotFound here is the proof that it does not exist."""
        ...

    def read(
        self, ref: Ref, *, version: Version, offset: int = 0, length: int | None = None
    ) -> AbstractAsyncContextManager[ReadStream]:
        """Content of exactly `version`, from `offset`, `length` bytes or to the end.

        Entering the context sends the request. Raises VersionMismatch when the file is at another version,
        NotFound when it is gone. Not retried inside once the first byte was handed out: the caller knows
        best from where to go on.
        """
        ...

    async def space(self) -> Space:
        """How much is used and left; parts that the server does not tell are None."""
        ...

    async def aclose(self) -> None:
        """Let go of all connections. The remote is not used afterwards."""
        ...


class Traffic(msgspec.Struct):
    """Counters of one remote, for `status`. Bytes are content, not headers."""

    requests: int = 0
    failed: int = 0
    down_bytes: int = 0
    up_bytes: int = 0


RequestHook = Callable[[str, str, str], None]
"""Called with (event, method, path) for logs and tests; never with headers or bodies."""
