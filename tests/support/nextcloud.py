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

import base64
import hashlib
import json
import math
import re
import unicodedata
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from functools import partial
from urllib.parse import quote, unquote_to_bytes, urlsplit

import msgspec
import trio

from drivefs.model import Kind, Observation, decode_name, encode_name
from drivefs.remote.memory import MemoryRemote, Options, ServerClock
from tests.support.cloudhttp import Asked, Connection, Dropped, Reply, Truncated

Path = tuple[str, ...]

USER = "ann"
LOGIN = "ann@example.org"
"""Another name that the same user may log in with; it is no part of any address."""
PASSWORD = "app-pass-word-12345"
INSTANCE = "ocdrivefs01"
EXPIRY_SECONDS = 24 * 3600
FILE_PERMISSIONS, FOLDER_PERMISSIONS = "RGDNVW", "RGDNVCK"


class Product(msgspec.Struct, frozen=True):
    """What differs between the two."""

    name: str
    version: str
    tells_readable: bool
    """The permission `G` is told; ownCloud and old Nextclouds have no letter for it."""
    answers_infinity: bool
    compares_checksums: bool
    hashes: bool
    """X-Hash of a PUT is answered."""
    minimum_chunk: int


NEXTCLOUD = Product("Nextcloud", "31.0.4.1", True, True, False, True, 5_000_000)
OWNCLOUD = Product("ownCloud", "10.15.0.3", False, False, True, False, 0)


class Refusal(Exception):
    def __init__(self, status: int, message: str = "") -> None:
        super().__init__(message)
        self.status = status


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


class Storage(MemoryRemote):
    """A share in memory, in which storage from elsewhere is mounted: its changes show in no folder above it."""

    mounts: tuple[Path, ...] = ()

    def _entry_changed(self, directory: Path) -> None:
        if not any(directory[: len(mount)] == mount for mount in self.mounts):
            super()._entry_changed(directory)


class Cloud:
    """See the module. `folder` is where on the host it is installed, as in `/nextcloud`."""

    def __init__(self, product: Product, nursery: trio.Nursery, *, folder: str = "") -> None:
        self.product = product
        self.folder = folder
        self.clock = ServerClock()
        self.storage = Storage(Options(file_ids=True, tree_etags=True, whole_seconds=True), now=self.clock)
        self.uploads: dict[str, Upload] = {}
        self.requests: list[Asked] = []
        self.faults: list[Fault] = []
        self.port = 0
        self.maintenance = False
        self.minimum_chunk = product.minimum_chunk
        self.available = -3
        """What `quota-available-bytes` tells: -1 not computed, -2 unknown, -3 unlimited."""
        self.assembly_seconds = 0.0
        self.permissions: dict[Path, str] = {}
        self.keeps_mtime = True
        self.stores_checksums = True
        self.meanwhile: Callable[[], object] | None = None
        """Called once, between the check of the next change's conditions and the change: another client."""
        self.on_arrival: dict[str, Callable[[], object]] = {}
        """Called once, when a request arrives that ends so, as in `path METHOD`."""
        self.damage = 0
        """How many of the next files are stored without their last byte, and nothing is said of it."""
        self.gateway: tuple[float, int] | None = None
        """A proxy in front that waits so long for the MOVE of an upload, and then answers that status."""
        self._nursery = nursery
        self._checksums: dict[str, tuple[str | None, str]] = {}
        self._locked: set[Path] = set()

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

    def mount(self, path: Path) -> None:
        """From now on, storage from elsewhere is there."""
        self.storage.mkdir(path)
        self.storage.mounts += (path,)

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
            return self._files(asked, tuple(map(composed, names[4:])))
        if names[1:4] == ("dav", "uploads", USER) and len(names) > 4:
            return await self._uploads(asked, names[4], names[5:])
        raise Refusal(404, "no such principal or folder")

    def _names(self, target: str) -> Path:
        path = urlsplit(target).path.removeprefix(self.folder)
        return tuple(decode_name(unquote_to_bytes(part)) for part in path.split("/") if part)

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

    # Files

    def _files(self, asked: Asked, path: Path) -> Reply:
        handlers = {
            "OPTIONS": self._options,
            "PROPFIND": self._propfind,
            "GET": self._get,
            "HEAD": self._get,
            "PUT": self._put,
            "MKCOL": self._mkcol,
            "DELETE": self._delete,
            "MOVE": self._move,
            "COPY": self._move,
            "LOCK": self._lock,
            "UNLOCK": self._lock,
        }
        if asked.method not in handlers:
            raise Refusal(501, f"There was no plugin in the system that was willing to handle this {asked.method}")
        self._check_conditions(asked, path)
        return handlers[asked.method](asked, path)

    def _options(self, asked: Asked, path: Path) -> Reply:
        allowed = "OPTIONS, GET, HEAD, DELETE, PROPFIND, PUT, PROPPATCH, COPY, MOVE, REPORT, LOCK, UNLOCK"
        return Reply(200, b"", {"DAV": "1, 3, extended-mkcol, access-control, 2", "Allow": allowed})

    def _lock(self, asked: Asked, path: Path) -> Reply:
        """Always granted, to everybody, for nothing."""
        token = "opaquelocktoken:" + hashlib.md5(repr(path).encode()).hexdigest()
        return Reply(200 if asked.method == "LOCK" else 204, b"", {"Lock-Token": f"<{token}>"})

    def _propfind(self, asked: Asked, path: Path) -> Reply:
        depth = asked.headers.get("depth", "infinity")
        if depth == "infinity" and not self.product.answers_infinity:
            raise Refusal(412, "Depth infinity not supported")
        own = self._existing(path)
        href = quote(unquote_to_bytes(urlsplit(asked.target).path), safe=SAFE)
        parts = [self._response(asked, href, path, own)]
        if depth != "0" and own.kind is Kind.DIRECTORY:
            parts += self._children(asked, href.rstrip("/") + "/", path, deep=depth == "infinity")
        return multistatus(*parts)

    def _children(self, asked: Asked, href: str, path: Path, *, deep: bool) -> list[str]:
        parts = []
        for name in self.storage.names(path):
            where, place = (*path, name), href + quote(encode_name(name), safe=SAFE)
            child = self._existing(where)
            folder = child.kind is Kind.DIRECTORY
            parts.append(self._response(asked, place + "/" if folder else place, where, child))
            if deep and folder:
                parts += self._children(asked, place + "/", where, deep=True)
        return parts

    def _response(self, asked: Asked, href: str, path: Path, node: Observation) -> str:
        told = {name.rpartition(":")[2]: xml for name, xml in self._properties(path, node).items()}
        wanted = re.findall(r"<(?:\w+:)?([\w-]+)\s*/>", text(asked))
        missing = "".join(f"<d:{name}/>" for name in wanted if name not in told)
        return response(href, "".join(told[name] for name in wanted if name in told), missing)

    def _properties(self, path: Path, node: Observation) -> dict[str, str]:
        version, folder = node.version, node.kind is Kind.DIRECTORY
        number = (version.file_id or "").removeprefix("id-")
        assert version.mtime_ns is not None
        values = {
            "d:getlastmodified": http_date(version.mtime_ns / 1e9),
            "d:getetag": f"&quot;{version.etag}&quot;",
            "oc:id": f"{number:0>8}{INSTANCE}",
            "oc:fileid": number,
            "oc:permissions": self.permissions_of(path, folder=folder),
            "oc:size": str(version.size or 0),
        }
        if folder:
            values["d:quota-used-bytes"] = str(self.storage.used())
            values["d:quota-available-bytes"] = str(self.available)
        else:
            values["d:getcontentlength"] = str(version.size)
        xml = {name: f"<{name}>{value}</{name}>" for name, value in values.items()}
        xml["d:resourcetype"] = f"<d:resourcetype>{'<d:collection/>' if folder else ''}</d:resourcetype>"
        if checksum := self._checksum(node):
            each = "".join(f"<oc:checksum>{one}</oc:checksum>" for one in checksum.split(","))
            xml["oc:checksums"] = f"<oc:checksums>{each}</oc:checksums>"
        return xml

    def permissions_of(self, path: Path, *, folder: bool) -> str:
        letters = self.permissions.get(path) or (FOLDER_PERMISSIONS if folder else FILE_PERMISSIONS)
        if any(path[: len(mount)] == mount for mount in self.storage.mounts):
            letters = letters.replace("R", "RM")
        return letters if self.product.tells_readable else letters.replace("G", "")

    def set_checksum(self, path: Path, node: Observation, checksum: str) -> None:
        self._checksums[node.version.file_id or ""] = (node.version.etag, checksum)

    def _checksum(self, node: Observation) -> str:
        etag, checksum = self._checksums.get(node.version.file_id or "", (None, ""))
        return checksum if etag == node.version.etag else ""

    def _get(self, asked: Asked, path: Path) -> Reply:
        node = self._existing(path)
        if node.kind is Kind.DIRECTORY:
            raise Refusal(501, "GET requests are only handled for files")
        content, headers = self.storage.content(path), self._headers(node)
        assert node.version.mtime_ns is not None
        headers |= {"Last-Modified": http_date(node.version.mtime_ns / 1e9), "Accept-Ranges": "bytes"}
        if checksum := self._checksum(node):
            headers["OC-Checksum"] = checksum
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", asked.headers.get("range", ""))
        if wanted is None or asked.headers.get("if-range", headers["ETag"]) != headers["ETag"]:
            return Reply(200, content, headers)
        first, last = int(wanted[1]), min(int(wanted[2] or len(content)), len(content) - 1)
        if first >= len(content):
            raise Refusal(416, "The start offset exceeded the size of the entity")
        headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        return Reply(206, content[first : last + 1], headers)

    def _headers(self, node: Observation) -> dict[str, str]:
        number = (node.version.file_id or "").removeprefix("id-")
        etag = f'"{node.version.etag}"'
        return {"ETag": etag, "OC-ETag": etag, "OC-FileId": f"{number:0>8}{INSTANCE}"}

    def _put(self, asked: Asked, path: Path) -> Reply:
        checked_name(path[-1])
        existing = self._may_store(path)
        if 0 <= self.available < len(asked.body):
            raise Refusal(507, "Insufficient space")
        self._compare_checksum(asked, bytes(asked.body))
        stored = self._store(asked, path, bytes(asked.body))
        if isinstance(asked.body, Truncated):
            raise Refusal(400, "Expected filesize of more bytes than read")
        return Reply(204 if existing else 201, b"", stored)

    def _may_store(self, path: Path) -> Observation | None:
        """What is there. Raises when a file may not be written there."""
        parent = self.storage.look(path[:-1])
        if parent is None or parent.kind is not Kind.DIRECTORY:
            raise Refusal(409, "Files cannot be created in non-existent collections")
        existing = self.storage.look(path)
        if existing is not None and existing.kind is Kind.DIRECTORY:
            raise Refusal(409, "PUT is not allowed on non-files.")
        place, letter = (path[:-1], "C") if existing is None else (path, "W")
        if letter not in self.permissions_of(place, folder=existing is None):
            raise Refusal(403)
        if path in self._locked:
            raise Refusal(423, "the file is locked")
        return existing

    def _compare_checksum(self, asked: Asked, content: bytes) -> None:
        told = asked.headers.get("oc-checksum", "")
        sums = f"SHA1:{hashlib.sha1(content).hexdigest()} MD5:{hashlib.md5(content).hexdigest()} ADLER32:0"
        if self.product.compares_checksums and told not in sums:
            raise Refusal(400, "The computed checksum does not match the one received from the client.")

    def _store(self, asked: Asked, path: Path, content: bytes) -> dict[str, str]:
        if self.damage:
            self.damage, content = self.damage - 1, content[:-1]
        mtime = asked.headers.get("x-oc-mtime") if self.keeps_mtime else None
        self.storage.put(path, content, mtime_ns=None if mtime is None else int(float(mtime)) * 10**9)
        node = self._existing(path)
        if self.stores_checksums and "oc-checksum" in asked.headers:
            self.set_checksum(path, node, asked.headers["oc-checksum"])
        headers = self._headers(node)
        if mtime is not None:
            headers["X-OC-MTime"] = "accepted"
        if self.product.hashes and asked.headers.get("x-hash") == "sha1":
            headers["X-Hash-SHA1"] = hashlib.sha1(content).hexdigest()
        return headers

    def _mkcol(self, asked: Asked, path: Path) -> Reply:
        checked_name(path[-1])
        if self.storage.look(path) is not None:
            raise Refusal(405, "The resource you tried to create already exists")
        parent = self.storage.look(path[:-1])
        if parent is None or parent.kind is not Kind.DIRECTORY:
            raise Refusal(409, "Parent node does not exist")
        if "K" not in self.permissions_of(path[:-1], folder=True):
            raise Refusal(403)
        self.storage.mkdir(path)
        return Reply(201, b"", {"OC-FileId": self._headers(self._existing(path))["OC-FileId"]})

    def _delete(self, asked: Asked, path: Path) -> Reply:
        node = self._existing(path)
        if not path or "D" not in self.permissions_of(path, folder=node.kind is Kind.DIRECTORY):
            raise Refusal(403)
        if path in self._locked:
            raise Refusal(423, "the file is locked")
        self.storage.delete(path)
        return Reply(204)

    def _move(self, asked: Asked, path: Path) -> Reply:
        node = self._existing(path)
        target, existing = self._destination(asked)
        if asked.method == "MOVE" and "N" not in self.permissions_of(path, folder=node.kind is Kind.DIRECTORY):
            raise Refusal(403, "cannot be renamed")
        if {path, target} & self._locked:
            raise Refusal(423, "the file is locked")
        if asked.method == "MOVE":
            self.storage.move(path, target)
        elif node.kind is Kind.FILE:
            if existing is not None:
                self.storage.delete(target)
            self.storage.put(target, self.storage.content(path), mtime_ns=node.version.mtime_ns)
        else:
            raise Refusal(501, "this server of the tests copies files only")
        return Reply(201 if existing is None else 204, b"", self._headers(self._existing(target)))

    def _destination(self, asked: Asked) -> tuple[Path, Observation | None]:
        """Where to, and what is there. Raises when it must not be replaced, or cannot be."""
        names = self._names(asked.headers.get("destination", ""))
        if names[:4] != ("remote.php", "dav", "files", USER):
            raise Refusal(403, "Destination is not in the files of this user")
        target = tuple(map(composed, names[4:]))
        checked_name(target[-1])
        parent = self.storage.look(target[:-1])
        if parent is None or parent.kind is not Kind.DIRECTORY:
            raise Refusal(409, "The destination node is not found")
        existing = self.storage.look(target)
        if existing is not None and asked.headers.get("overwrite", "T") == "F":
            raise Refusal(412, "The destination node already exists, and the overwrite header is set to false")
        return target, existing

    def _existing(self, path: Path) -> Observation:
        found = self.storage.look(path)
        if found is None:
            raise Refusal(404, f"File with name {path!r} could not be located")
        return found

    # Conditions

    def _check_conditions(self, asked: Asked, path: Path, etag: str | None = None) -> None:
        """As they are when the request begins. `etag`: of what is no file (an upload)."""
        if etag is None:
            etag = self._etag(path)
        match = asked.headers.get("if-match")
        if match is not None and (etag is None or match not in ("*", etag)):
            raise Refusal(412, "An If-Match header was specified, but none of the specified the ETags matched.")
        if asked.headers.get("if-none-match") == "*" and etag is not None:
            raise Refusal(412, "An If-None-Match header was specified, but the ETag matched (or * was specified).")
        self._check_if(asked.headers.get("if", ""), etag)
        if asked.method in ("PUT", "MOVE", "DELETE") and self.meanwhile is not None:
            other, self.meanwhile = self.meanwhile, None
            other()

    def _check_if(self, header: str, own: str | None) -> None:
        """RFC 4918 section 10.4, without `Not`: one list of one tag must hold. Any lock token is good."""
        lists = re.findall(r"(?:<([^>]*)>\s*)?((?:\([^)]*\)\s*)+)", header)
        for tag, conditions in lists:
            etag = own if not tag else self._etag(tuple(map(composed, self._names(tag)[4:])))
            for condition in re.findall(r"\(([^)]*)\)", conditions):
                wanted = re.findall(r"\[([^\]]*)\]", condition)
                if all(each == etag for each in wanted):
                    return
        if lists:
            raise Refusal(412, "One of the tokens you specified, did not match")

    def _etag(self, path: Path) -> str | None:
        found = self.storage.look(path)
        return None if found is None else f'"{found.version.etag}"'

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


SAFE = "/!$'()*,-.:=@_~"
"""What sabre/dav leaves as it is in an href."""


def composed(name: str) -> str:
    """Nextcloud's and ownCloud's files have names in NFC, whatever a request says."""
    return unicodedata.normalize("NFC", name)


def checked_name(name: str) -> None:
    low = name.lower()
    if low == ".htaccess" or low.endswith((".part", ".filepart")) or "\\" in name or len(encode_name(name)) > 250:
        raise Refusal(400, "invalid name")


def authorised(header: str) -> bool:
    method, _, coded = header.partition(" ")
    return method == "Basic" and base64.b64decode(coded).decode() in {f"{who}:{PASSWORD}" for who in (USER, LOGIN)}


def http_date(seconds: float) -> str:
    return formatdate(seconds, usegmt=True)


def text(asked: Asked) -> str:
    return bytes(asked.body).decode()


def response(href: str, found: str, missing: str) -> str:
    parts = [f"<d:propstat><d:prop>{found}</d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat>"]
    if missing:
        status = "<d:status>HTTP/1.1 404 Not Found</d:status>"
        parts.append(f"<d:propstat><d:prop>{missing}</d:prop>{status}</d:propstat>")
    return f"<d:response><d:href>{href}</d:href>{''.join(parts)}</d:response>"


def multistatus(*responses: str) -> Reply:
    names = 'xmlns:d="DAV:" xmlns:s="http://sabredav.org/ns" xmlns:oc="http://owncloud.org/ns"'
    body = f'<?xml version="1.0"?>\n<d:multistatus {names}>{"".join(responses)}</d:multistatus>'
    return Reply(207, body.encode(), {"Content-Type": "application/xml; charset=utf-8"})


def refused(refusal: Refusal) -> Reply:
    body = f'<?xml version="1.0"?><d:error xmlns:d="DAV:" xmlns:s="urn:s"><s:message>{refusal}</s:message></d:error>'
    return Reply(refusal.status, body.encode(), {"Content-Type": "application/xml; charset=utf-8"})


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
