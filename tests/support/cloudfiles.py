"""The files of the `nextcloud` of the tests: WebDAV as sabre/dav answers it there, over the share in memory."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from urllib.parse import quote, unquote_to_bytes, urlsplit

from drivefs.model import Kind, Observation, decode_name, encode_name
from drivefs.remote.memory import MemoryRemote, Options, ServerClock
from tests.support.clouddav import (
    FILE_PERMISSIONS,
    FOLDER_PERMISSIONS,
    INSTANCE,
    SAFE,
    USER,
    Path,
    Product,
    Refusal,
    checked_name,
    composed,
    http_date,
    multistatus,
    response,
    text,
)
from tests.support.cloudhttp import Asked, Reply, Truncated


class Storage(MemoryRemote):
    """A share in memory, in which storage from elsewhere is mounted: its changes show in no folder above it."""

    mounts: tuple[Path, ...] = ()

    def _entry_changed(self, directory: Path) -> None:
        if not any(directory[: len(mount)] == mount for mount in self.mounts):
            super()._entry_changed(directory)


class Files:
    """The files of one user. Its switches are what tests set."""

    def __init__(self, product: Product, folder: str) -> None:
        self.product = product
        self.folder = folder
        self.clock = ServerClock()
        self.storage = Storage(Options(file_ids=True, tree_etags=True, whole_seconds=True), now=self.clock)
        self.available = -3
        """What `quota-available-bytes` tells: -1 not computed, -2 unknown, -3 unlimited."""
        self.permissions: dict[Path, str] = {}
        self.keeps_mtime = True
        self.stores_checksums = True
        self.meanwhile: Callable[[], object] | None = None
        """Called once, between the check of the next change's conditions and the change: another client."""
        self.damage = 0
        """How many of the next files are stored without their last byte, and nothing is said of it."""
        self._checksums: dict[str, tuple[str | None, str]] = {}
        self._locked: set[Path] = set()

    def mount(self, path: Path) -> None:
        """From now on, storage from elsewhere is there."""
        self.storage.mkdir(path)
        self.storage.mounts += (path,)

    def _names(self, target: str) -> Path:
        path = urlsplit(target).path.removeprefix(self.folder)
        return tuple(decode_name(unquote_to_bytes(part)) for part in path.split("/") if part)

    # Requests

    def answer_files(self, asked: Asked, path: Path) -> Reply:
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
