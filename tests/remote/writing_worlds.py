"""The remotes that the contract of changes runs over, each with a hand on the other side of it."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

from drivefs.remote.base import RequestHook
from drivefs.remote.faulty_writing import FaultyWritable
from drivefs.remote.memory import Options
from drivefs.remote.memory_writing import PERFECT, WritableMemory
from drivefs.remote.webdav.auth import Credentials
from drivefs.remote.webdav.tls import Tls
from drivefs.remote.webdav.writable import WritableWebDav
from drivefs.remote.writing import WritableRemote, WriteCapabilities
from tests.remote.worlds import OLD, MemoryWorld, ServerWorld
from tests.support import servers
from tests.support.servers import MODULES, Server, apache, give_to_server

ANN = Credentials("ann", "s3cret ü")
SERVER_FILES = (".DAV", ".davfs.tmp", ".sabredav")
"""What Apache and sabre keep beside the files of users, and show to nobody: properties, and uploads that go on."""


class WritableMemoryWorld(MemoryWorld):
    def __init__(self, options: Options, capabilities: WriteCapabilities = PERFECT, *, faulty: bool = False) -> None:
        super().__init__(options)
        self.capabilities = capabilities
        self.wrapped = faulty

    def open_writable(self, hook: RequestHook | None = None) -> WritableRemote:
        remote = WritableMemory(self.memory, self.capabilities)
        return FaultyWritable(remote) if self.wrapped else remote

    def content(self, path: tuple[str, ...]) -> bytes:
        return self.memory.content(path)

    def names(self, path: tuple[str, ...] = ()) -> set[str]:
        return self.memory.names(path)


class WritableServerWorld(ServerWorld):
    """The server's own folder for one test; what the world puts there belongs to the server."""

    def __init__(self, server: Server, folder: str) -> None:
        super().__init__(server, folder)
        give_to_server(self.place(()))

    def open_writable(self, hook: RequestHook | None = None, url: str | None = None) -> WritableWebDav:
        secure = self.server.ca_cert is not None
        return WritableWebDav(
            f"{url or self.server.url}{self.folder}/",
            credentials=ANN if secure else None,
            tls=Tls(self.server.ca_cert),
            hook=hook,
        )

    def put(self, path: tuple[str, ...], content: bytes, *, mtime: int = OLD) -> None:
        super().put(path, content, mtime=mtime)
        give_to_server(self.place(path))

    def mkdir(self, path: tuple[str, ...]) -> None:
        for depth in range(1, len(path) + 1):
            place = self.place(path[:depth])
            if not place.exists():
                place.mkdir()
                give_to_server(place)

    def delete(self, path: tuple[str, ...]) -> None:
        place = self.place(path)
        shutil.rmtree(place) if place.is_dir() else place.unlink()

    def content(self, path: tuple[str, ...]) -> bytes:
        return self.place(path).read_bytes()

    def names(self, path: tuple[str, ...] = ()) -> set[str]:
        return {name for name in os.listdir(self.place(path)) if not name.startswith(SERVER_FILES)}


WritableWorld = WritableMemoryWorld | WritableServerWorld

WRITABLE_MEMORIES: dict[str, Callable[[], WritableMemoryWorld]] = {
    "memory": lambda: WritableMemoryWorld(Options(total_bytes=2**40)),
    "memory-plain": lambda: WritableMemoryWorld(
        Options(ranges=False, strong_etags=False, whole_seconds=True), WriteCapabilities(window="all")
    ),
    "memory-rich": lambda: WritableMemoryWorld(Options(file_ids=True, tree_etags=True)),
    "faulty": lambda: WritableMemoryWorld(Options(), faulty=True),
}

DEFLATE = f"""
LoadModule filter_module {MODULES}/mod_filter.so
LoadModule deflate_module {MODULES}/mod_deflate.so
SetOutputFilter DEFLATE
"""
NO_LOCKS = """
<Location "/">
  <Limit LOCK UNLOCK>
    Require all denied
  </Limit>
</Location>
"""
"""Without a DavLockDB this version of Apache answers 500 to every PROPFIND: no share at all."""

WRITABLE_SERVERS: dict[str, Callable[[], AbstractContextManager[Server]]] = {
    "wsgidav": servers.wsgidav,
    "apache": lambda: apache(extra="LimitRequestBody 0"),  # else it takes no more than 1 GiB
    "apache-deflate": lambda: apache(extra=DEFLATE),
    "apache-tls": lambda: apache(users={ANN.user: ANN.password}, tls=True),
    "apache-nolock": lambda: apache(extra=NO_LOCKS),
    "nginx": servers.nginx,
    "nginx-nolock": lambda: servers.nginx(locks=False),
    "lighttpd": servers.lighttpd,
    "rclone": servers.rclone,
    "sabre": servers.sabre,
}


class WritableFarm:
    """Real servers, each started when it is first asked for."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._running: dict[str, Server] = {}
        self._numbers = itertools.count(1)

    def __getitem__(self, name: str) -> Server:
        if name not in self._running:
            self._running[name] = self._stack.enter_context(WRITABLE_SERVERS[name]())
        return self._running[name]

    def world(self, name: str) -> WritableServerWorld:
        return WritableServerWorld(self[name], f"changes {next(self._numbers)}")
