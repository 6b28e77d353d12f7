"""A share in memory that keeps the port's contract: the model of a well-behaved server, for tests and for play.

The async half is the port (`base.Remote`) as drivefs sees it. The plain half (`mkdir`, `put`, `delete`, `move`)
is the world behind our back: it changes the share at once, from anywhere, with no request. What the share can do
is chosen by `Options`, so that one suite can run against a server with file ids and against one that has nothing.

Invariants: contents are immutable `bytes`, so a stream goes on giving the version it was opened at; every change
gives a new serial, and ETags are made of serials, so two versions never share one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import NamedTuple

import msgspec
import trio

from drivefs.errors import BadAnswer, NotFound, VersionMismatch
from drivefs.model import Kind, Listing, Observation, Ref, Space, Version
from drivefs.names import can_exist_here
from drivefs.remote.base import Capabilities, Traffic

Where = Ref | str | tuple[str, ...]
"""A place in the share, as is handiest: `"a/b"`, `("a", "b")` (any names at all), or a `Ref`."""


class Options(msgspec.Struct, frozen=True):
    """What this share can do. The field names are those of `Capabilities` where they mean the same."""

    ranges: bool = True
    strong_etags: bool = True
    """If not, versions have no ETag at all: size and mtime must do."""
    file_ids: bool = False
    tree_etags: bool = False
    folder_versions: bool = False
    hides_dotfiles: bool = False
    whole_seconds: bool = False
    """Times are cut to seconds, as on most servers."""
    total_bytes: int | None = None
    """Room on the share; None: it does not tell."""
    piece_bytes: int = 64 * 1024
    """At most so many bytes per `receive`."""


class ServerClock:
    """A server's clock that stands still until told otherwise. Seconds since the epoch."""

    def __init__(self, start: float = 1_750_000_000.0) -> None:
        self.time = start

    def __call__(self) -> float:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += seconds


class Request(NamedTuple):
    """One request as the server's access log would show it. `method` is the name of the port's call."""

    method: str
    path: str
    offset: int = 0
    length: int | None = None


class Node:
    """An entry as the server keeps it. A file has `content`, a directory `children`."""

    def __init__(self, kind: Kind, file_id: str) -> None:
        self.kind = kind
        self.file_id = file_id
        self.serial = 0
        self.mtime_ns = 0
        self.content = b""
        self.children: dict[str, Node] = {}

    def walk(self) -> Iterator[Node]:
        yield self
        for child in self.children.values():
            yield from child.walk()


class MemoryRemote:
    """See the module. `now` is the server's clock, in seconds since the epoch."""

    def __init__(self, options: Options | None = None, *, now: Callable[[], float] = time.time) -> None:
        self.options = options or Options()
        self.now = now
        self.requests: list[Request] = []
        self.traffic = Traffic()
        self._last_serial = 0
        self._last_file_id = 0
        self._root = self._new_node(Kind.DIRECTORY)
        self._touch(self._root)

    # The world behind our back

    def mkdir(self, where: Where) -> None:
        """Make a directory and those above it that are missing."""
        path = path_of(where)
        node = self._root
        for depth, name in enumerate(path):
            if name not in node.children:
                node.children[name] = self._new_node(Kind.DIRECTORY)
                self._touch(node.children[name])
                self._entry_changed(path[:depth])
            node = node.children[name]
            if node.kind is not Kind.DIRECTORY:
                raise NotADirectoryError(str(Ref(path[: depth + 1])))

    def put(self, where: Where, content: bytes, *, mtime_ns: int | None = None) -> Version:
        """Create or replace a file, at once and whole; missing directories are made. Gives the new version."""
        path = path_of(where)
        self.mkdir(path[:-1])
        siblings = self._find(path[:-1]).children
        node = siblings.setdefault(path[-1], self._new_node(Kind.FILE))
        if node.kind is not Kind.FILE:
            raise IsADirectoryError(str(Ref(path)))
        node.content = bytes(content)
        self._touch(node, mtime_ns)
        self._entry_changed(path[:-1])
        return self._version(node)

    def delete(self, where: Where) -> None:
        """Remove an entry, with all below it."""
        path = path_of(where)
        del self._find(path[:-1]).children[path[-1]]
        self._entry_changed(path[:-1])

    def move(self, source: Where, destination: Where) -> None:
        """Rename an entry, with all below it; what was at the destination is replaced. Ids, ETags, times stay."""
        old, new = path_of(source), path_of(destination)
        parent = self._find(new[:-1])
        parent.children[new[-1]] = self._find(old[:-1]).children.pop(old[-1])
        self._entry_changed(old[:-1])
        self._entry_changed(new[:-1])

    def content(self, where: Where) -> bytes:
        """The bytes of a file as they are on the share now."""
        return self._find(path_of(where)).content

    def names(self, where: Where = ()) -> set[str]:
        """The names in a directory as they are on the share now."""
        return set(self._find(path_of(where)).children)

    def look(self, where: Where) -> Observation | None:
        """An entry as the share would show it now; None when there is none."""
        path = path_of(where)
        try:
            return self._observe(path[-1] if path else "", self._find(path))
        except KeyError:
            return None

    def used(self) -> int:
        """Bytes of all files."""
        return sum(len(node.content) for node in self._root.walk())

    # The port

    @property
    def capabilities(self) -> Capabilities:
        options = self.options
        return Capabilities(
            server="memory",
            ranges=options.ranges,
            file_ids=options.file_ids,
            strong_etags=options.strong_etags,
            tree_etags=options.tree_etags,
            folder_versions=options.folder_versions or options.tree_etags,
            hides_dotfiles=options.hides_dotfiles,
            space=options.total_bytes is not None,
        )

    async def connect(self) -> Observation:
        await self.request("connect", Ref())
        return self._observe("", self._root)

    async def list(self, ref: Ref) -> Listing:
        await self.request("list", ref)
        node = self._answer(ref)
        if node.kind is not Kind.DIRECTORY:
            raise BadAnswer(f"{ref} is no directory")
        shown = [name for name in node.children if not (self.options.hides_dotfiles and name.startswith("."))]
        children = [self._observe(name, node.children[name]) for name in shown if can_exist_here(name)]
        return Listing(self._observe(ref.name, node), children, hidden=len(shown) - len(children))

    async def stat(self, ref: Ref) -> Observation:
        await self.request("stat", ref)
        return self._observe(ref.name, self._answer(ref))

    def read(self, ref: Ref, *, version: Version, offset: int = 0, length: int | None = None) -> MemoryRead:
        return MemoryRead(self, ref, version, offset, length)

    async def space(self) -> Space:
        await self.request("space", Ref())
        total = self.options.total_bytes
        return Space(None, None) if total is None else Space(self.used(), max(0, total - self.used()))

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()

    async def open_stream(self, ref: Ref, version: Version, offset: int, length: int | None) -> MemoryStream:
        """What entering `read` does: the request, the checks, and the stream."""
        await self.request("read", ref, offset, length)
        node = self._answer(ref)
        if node.kind is not Kind.FILE:
            raise BadAnswer(f"{ref} is no file")
        observed = self._observe(ref.name, node)
        if version != Version() and not version.same(observed.version):
            raise VersionMismatch(f"{ref} is not at the expected version any more", observed)
        start = min(offset, len(node.content)) if self.options.ranges else 0
        end = len(node.content) if length is None or not self.options.ranges else offset + length
        return MemoryStream(observed, start, node.content[start:end], self.options.piece_bytes, self.traffic)

    async def request(self, method: str, ref: Ref, offset: int = 0, length: int | None = None) -> None:
        """Log a request, as a server would at its arrival; other tasks get their turn."""
        await trio.lowlevel.checkpoint()
        self.traffic.requests += 1
        self.requests.append(Request(method, str(ref), offset, length))

    # Inside

    def _answer(self, ref: Ref) -> Node:
        try:
            return self._find(ref.path)
        except KeyError:
            self.traffic.failed += 1
            raise NotFound(f"{ref} is not on the share") from None

    def _find(self, path: tuple[str, ...]) -> Node:
        node = self._root
        for name in path:
            node = node.children[name]
        return node

    def _new_node(self, kind: Kind) -> Node:
        self._last_file_id += 1
        return Node(kind, f"id-{self._last_file_id}")

    def _touch(self, node: Node, mtime_ns: int | None = None) -> None:
        self._last_serial += 1
        node.serial = self._last_serial
        node.mtime_ns = round(self.now() * 1_000_000) * 1000 if mtime_ns is None else mtime_ns
        if self.options.whole_seconds:
            node.mtime_ns -= node.mtime_ns % 1_000_000_000

    def _entry_changed(self, directory: tuple[str, ...]) -> None:
        """An entry of `directory` was created, replaced, or went away."""
        if self.options.tree_etags:
            for depth in range(len(directory) + 1):
                self._touch(self._find(directory[:depth]))
        elif self.options.folder_versions:
            self._touch(self._find(directory))

    def _version(self, node: Node) -> Version:
        options = self.options
        file_id = node.file_id if options.file_ids else None
        etag = f"etag-{node.serial}" if options.strong_etags else None
        if node.kind is Kind.FILE:
            return Version(etag, len(node.content), node.mtime_ns, file_id)
        if options.tree_etags or options.folder_versions:
            return Version(etag, None, node.mtime_ns, file_id)
        return Version(file_id=file_id)

    def _observe(self, name: str, node: Node) -> Observation:
        return Observation(name, node.kind, self._version(node), at=self.now())


class MemoryRead:
    """The context of one `read`."""

    def __init__(self, remote: MemoryRemote, ref: Ref, version: Version, offset: int, length: int | None) -> None:
        self._remote = remote
        self._what = (ref, version, offset, length)

    async def __aenter__(self) -> MemoryStream:
        return await self._remote.open_stream(*self._what)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await trio.lowlevel.checkpoint()


class MemoryStream:
    """A `ReadStream` over bytes."""

    def __init__(self, observed: Observation, offset: int, content: bytes, piece_bytes: int, traffic: Traffic) -> None:
        self.observed = observed
        self.offset = offset
        self._content = content
        self._position = 0
        self._piece_bytes = piece_bytes
        self._traffic = traffic

    async def receive(self) -> bytes:
        await trio.lowlevel.checkpoint()
        piece = self._content[self._position : self._position + self._piece_bytes]
        self._position += len(piece)
        self._traffic.down_bytes += len(piece)
        return piece


def path_of(where: Where) -> tuple[str, ...]:
    """The path of a `Where`, from the share's root."""
    if isinstance(where, Ref):
        return where.path
    return tuple(part for part in where.split("/") if part) if isinstance(where, str) else where
