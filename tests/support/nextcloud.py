"""A Nextcloud, or an ownCloud 10, of the tests' own: what their documentation and sources say of WebDAV, and no more.

    async with nextcloud() as cloud:
        cloud.storage.put("folder/file", b"...")         # the world behind our back
        ... cloud.url, cloud.requests, cloud.fail(...) ...

It runs in the test's own trio loop, over the share in memory. Its peculiarities are switches of `Cloud`. Three things
that matter are as on the real ones: conditions are checked when a request begins and not when it ends; `If-Match` of
the MOVE that assembles an upload is that of the upload, not of the file that it becomes; and Nextcloud stores the
checksum that a client gives without looking at the content, where ownCloud compares.
"""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from urllib.parse import unquote_to_bytes, urlsplit

import msgspec
import trio

from tests.support.clouddav import (
    LOGIN,
    NEXTCLOUD,
    OWNCLOUD,
    PASSWORD,
    USER,
    Path,
    Product,
    Refusal,
    authorised,
    composed,
    multistatus,
    refused,
    response,
    text,
)
from tests.support.cloudfiles import Files
from tests.support.cloudhttp import Asked, Connection, Dropped, Reply, Truncated

__all__ = ["LOGIN", "NEXTCLOUD", "OWNCLOUD", "PASSWORD", "USER", "Cloud", "Product", "nextcloud"]

EXPIRY_SECONDS = 24 * 3600
"""How long an upload is kept after its last request."""


class Fault(msgspec.Struct):
    """What goes wrong with the next `times` requests of `method` to a path that holds `where`.

    `status` is answered instead; without one the request is carried out, and then the connection is closed. `after`:
    only so many bytes of the body arrive before it is closed; `keeps`: and what arrived is stored.
    """

    method: str
    where: str
    times: int
    status: int = 0
    after: int | None = None
    keeps: bool = False


class Upload(msgspec.Struct):
    """A folder of chunks. `named_target`: its MKCOL had a Destination."""

    touched: float
    named_target: bool
    chunks: dict[str, bytes] = {}


class Cloud(Files):
    """See the module. `folder` is where on the host it is installed, as in `/nextcloud`."""

    def __init__(self, product: Product, nursery: trio.Nursery, *, folder: str = "") -> None:
        super().__init__(product, folder)
        self.uploads: dict[str, Upload] = {}
        self.requests: list[Asked] = []
        self.faults: list[Fault] = []
        self.port = 0
        self.maintenance = False
        self.minimum_chunk = product.minimum_chunk
        self.assembly_seconds = 0.0
        self.on_arrival: dict[str, Callable[[], object]] = {}
        """Called once, when a request arrives that ends so, as in `path METHOD`."""
        self.gateway: tuple[float, int] | None = None
        """A proxy in front that waits so long for the MOVE of an upload, and then answers that status."""
        self._nursery = nursery

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def address(self) -> str:
        """What people know: the address of the web site."""
        return f"{self.origin}{self.folder}/"

    @property
    def url(self) -> str:
        """The address of the WebDAV share."""
        return f"{self.origin}{self.folder}/remote.php/dav/files/{USER}/"

    def fail(self, method: str, where: str = "", *, times: int = 1, status: int = 0, after: int | None = None) -> Fault:
        self.faults.append(Fault(method, where, times, status, after))
        return self.faults[-1]

    def sent(self, *methods: str) -> list[str]:
        """The requests so far as `METHOD path`, decoded, the path without what all have in common."""
        start = f"{self.folder}/remote.php/dav/"
        shown = [(asked.method, unquote_to_bytes(asked.target).decode().removeprefix(start)) for asked in self.requests]
        return [f"{method} {path}" for method, path in shown if not methods or method in methods]

    def forget(self) -> None:
        self.requests.clear()

    # One request

    async def answer(self, asked: Asked) -> Reply:
        self.requests.append(asked)
        for where in [where for where in self.on_arrival if f"{asked.target} {asked.method}".endswith(where)]:
            self.on_arrival.pop(where)()
        fault = self._fault(asked)
        if fault is not None and fault.status:
            return Reply(fault.status, b"a fault of the tests", {"Retry-After": "1"} if fault.status == 503 else {})
        if isinstance(asked.body, Truncated) and not (fault and fault.keeps):
            raise Dropped
        try:
            reply = await self._route(asked)
        except Refusal as refusal:
            reply = refused(refusal)
        if fault is not None and fault.after is None:
            raise Dropped
        return reply

    def cut(self, method: str, target: str) -> int | None:
        """After how many bytes of its body a request is cut, None: not at all."""
        for fault in self.faults:
            if fault.times and fault.method == method and fault.where in target and fault.after is not None:
                return fault.after
        return None

    def _fault(self, asked: Asked) -> Fault | None:
        for fault in self.faults:
            if fault.times and fault.method == asked.method and fault.where in asked.target:
                fault.times -= 1
                return fault
        return None

    async def _route(self, asked: Asked) -> Reply:
        names = self._names(asked.target)
        if names == ("status.php",):
            return self._status()
        if names[:1] != ("remote.php",):
            return Reply(200 if asked.method == "GET" else 405, b"<!DOCTYPE html><title>Files</title>")
        if self.maintenance:
            raise Refusal(503, "System in maintenance mode.")
        if not authorised(asked.headers.get("authorization", "")):
            return Reply(401, b"", {"WWW-Authenticate": f'Basic realm="{self.product.name}", charset="UTF-8"'})
        if names[1:] == ("dav",) and asked.method == "PROPFIND":
            return self._principal(asked)
        if names[1:4] == ("dav", "files", USER):
            return self.answer_files(asked, tuple(map(composed, names[4:])))
        if names[1:4] == ("dav", "uploads", USER) and len(names) > 4:
            return await self._uploads(asked, names[4], names[5:])
        raise Refusal(404, "no such principal or folder")

    def _status(self) -> Reply:
        told = {
            "installed": True,
            "maintenance": self.maintenance,
            "needsDbUpgrade": False,
            "version": self.product.version,
            "versionstring": self.product.version.rpartition(".")[0],
            "edition": "",
            "productname": self.product.name,
        }
        return Reply(200, json.dumps(told).encode(), {"Content-Type": "application/json"})

    def _principal(self, asked: Asked) -> Reply:
        path = f"{self.folder}/remote.php/dav/"
        href = f"<d:href>{path}principals/users/{USER}/</d:href>"
        found = f"<d:current-user-principal>{href}</d:current-user-principal>"
        return multistatus(response(path, found if "current-user-principal" in text(asked) else "", ""))

    # Uploads

    async def _uploads(self, asked: Asked, name: str, rest: Path) -> Reply:
        self._expire()
        if asked.method == "MKCOL" and not rest:
            if name in self.uploads:
                raise Refusal(405, "The resource you tried to create already exists")
            self.uploads[name] = Upload(self.clock(), "destination" in asked.headers)
            return Reply(201)
        upload = self.uploads.get(name)
        if upload is None:
            raise Refusal(409 if asked.method == "PUT" else 404, f"no upload {name}")
        upload.touched = self.clock()
        match asked.method, rest:
            case "PROPFIND", ():
                return self._list_upload(asked, upload)
            case "DELETE", ():
                del self.uploads[name]
                return Reply(204)
            case "PUT", (chunk,):
                return self._put_chunk(asked, upload, chunk)
            case "MOVE", (".file",):
                self._check_conditions(asked, (), etag='"of-the-upload"')
                return await self._finish(asked, name, upload)
        raise Refusal(405, "Reading intermediate uploads is not allowed")

    def _expire(self) -> None:
        old = [name for name, upload in self.uploads.items() if self.clock() - upload.touched > EXPIRY_SECONDS]
        for name in old:
            del self.uploads[name]

    def _list_upload(self, asked: Asked, upload: Upload) -> Reply:
        href = urlsplit(asked.target).path.rstrip("/") + "/"
        total = sum(map(len, upload.chunks.values()))
        parts = [response(href, "<d:resourcetype><d:collection/></d:resourcetype>", "")]
        for name, size in [(".file", total), *((name, len(chunk)) for name, chunk in upload.chunks.items())]:
            length = f"<d:getcontentlength>{size}</d:getcontentlength>"
            parts.append(response(href + name, f"<d:resourcetype/>{length}", ""))
        return multistatus(*parts)

    def _put_chunk(self, asked: Asked, upload: Upload, name: str) -> Reply:
        if not (name.isdigit() and 1 <= int(name) <= 10_000):
            raise Refusal(400, "Invalid chunk name, must be numeric between 1 and 10000")
        if "destination" in asked.headers and not upload.named_target:
            raise Refusal(412, "Missing metadata for chunked upload.")
        if "destination" in asked.headers and 0 <= self.available < int(asked.headers.get("oc-total-length", 0)):
            raise Refusal(507, "Insufficient space")
        if self.product.compares_checksums:
            self._compare_checksum(asked, bytes(asked.body))
        upload.chunks[name] = bytes(asked.body)
        return Reply(201)

    async def _finish(self, asked: Asked, name: str, upload: Upload) -> Reply:
        target, existing = self._destination(asked)
        self._may_store(target)
        content = b"".join(upload.chunks[chunk] for chunk in sorted(upload.chunks, key=int))
        if len(content) != int(asked.headers.get("oc-total-length", len(content))):
            raise Refusal(400, f"Chunks on server do not sum up but to {len(content)} bytes")
        if any(len(upload.chunks[chunk]) < self.minimum_chunk for chunk in sorted(upload.chunks, key=int)[:-1]):
            raise Refusal(400, "Your proposed upload is smaller than the minimum allowed size")
        if 0 <= self.available < len(content):
            raise Refusal(507, "Insufficient space")
        self._compare_checksum(asked, content)
        stored: list[dict[str, str]] = []
        done = trio.Event()
        self._nursery.start_soon(self._assemble, asked, name, target, content, stored, done)
        with trio.move_on_after(self.gateway[0] if self.gateway else math.inf):
            await done.wait()
        if self.gateway and not done.is_set():
            return Reply(self.gateway[1], b"a proxy of the tests")
        return Reply(201 if existing is None else 204, b"", stored[0])

    async def _assemble(
        self, asked: Asked, name: str, target: Path, content: bytes, stored: list[dict[str, str]], done: trio.Event
    ) -> None:
        """Goes on when the client is gone, or a proxy has lost its patience."""
        self._locked.add(target)
        await trio.sleep(self.assembly_seconds)
        stored.append(self._store(asked, target, content))
        self.uploads.pop(name, None)
        self._locked.discard(target)
        done.set()


@asynccontextmanager
async def nextcloud(product: Product = NEXTCLOUD, *, folder: str = "") -> AsyncIterator[Cloud]:
    async with trio.open_nursery() as nursery:
        cloud = Cloud(product, nursery, folder=folder)
        connection = Connection(cloud.answer, cloud.cut, cloud.clock)
        serve = partial(trio.serve_tcp, connection.serve, 0, host="127.0.0.1")
        (listener, *_) = await nursery.start(serve)
        cloud.port = listener.socket.getsockname()[1]
        yield cloud
        nursery.cancel_scope.cancel()
