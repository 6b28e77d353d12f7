"""The embedded share: a folder served over WebDAV by WsgiDAV on cheroot, an extra (`drivefs[share]`).

Two uses: `serve` for a person who wants to share a folder, and `DemoShare` for the remote `demo:`, which
lives and dies with its mount. What is served is ordinary WebDAV: nothing here may help our own client along.
Locks and properties are kept in memory only; no folder is ever rendered as a page.

No password is printed except the one that `serve` made itself, none is on a command line or in a log.
Neither WsgiDAV nor cheroot is imported before it is known to be there.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import msgspec

from drivefs.errors import Unreachable, UsageError
from drivefs.remote.samples import make_samples

THREADS = 16
"""Requests answered at a time: more than our own client ever sends at once."""

BACKLOG = 128
"""Connections the kernel holds while all threads are busy; cheroot's own 5 refuses a client that lists fast."""

StartResponse = Callable[..., Any]
Application = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


class ShareSettings(msgspec.Struct, frozen=True):
    """What is shared, where and with whom. Without `user` everybody who reaches the port is let in."""

    directory: str
    host: str = "127.0.0.1"
    port: int = 0
    """0 takes a free one."""
    user: str | None = None
    password: str | None = None
    read_only: bool = False


def serve(directory: Path, host: str, port: int, user: str | None, password: str | None, read_only: bool) -> None:
    """Share `directory` until SIGINT or SIGTERM; prints the address, and the password when it made one.

    Must be called in the main thread. Raises: UsageError for a folder that is none, an address that cannot be
    had, an open door to the network, or the missing extra.
    """
    settings = _checked(ShareSettings(str(directory), host, port, user, password, read_only))
    # Waited for instead of handled: an exception out of a signal handler, raised while cheroot holds the lock
    # of its queue, leaves threads waiting for good. Blocked before the first thread, which inherits it.
    ending = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ending)
    try:
        server = _started(settings)
        threading.Thread(target=server.serve, daemon=True).start()
        sys.stdout.write(_announcement(settings, server, made_password=password is None))
        sys.stdout.flush()
        signal.sigwait(ending)
        server.stop()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ending)


def _checked(settings: ShareSettings) -> ShareSettings:
    if not Path(settings.directory).is_dir():
        raise UsageError(f"{settings.directory} is not a folder: give the folder to share")
    if settings.user is None and settings.password is not None:
        raise UsageError("a password needs a user: add --user NAME")
    if settings.user is None and not _is_loopback(settings.host):
        raise UsageError(f"{settings.host} can be reached from other machines: add --user NAME")
    if settings.user is not None and settings.password is None:
        return msgspec.structs.replace(settings, password=secrets.token_urlsafe(12))
    return settings


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _announcement(settings: ShareSettings, server: Any, made_password: bool) -> str:
    lines = [f"Sharing {settings.directory} at {_url(server)}{' (read-only)' if settings.read_only else ''}"]
    if settings.user is not None:
        lines.append(f"User {settings.user}" + (f", password {settings.password}" if made_password else ""))
    return "\n".join([*lines, "Stop with Ctrl-C"]) + "\n"


def _url(server: Any) -> str:
    """With the port that was really taken."""
    host, port = server.bind_addr[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def require_extra() -> None:
    """Raises: UsageError when the packages of the extra are not installed."""
    if any(importlib.util.find_spec(name) is None for name in ("wsgidav", "cheroot")):
        raise UsageError("sharing a folder needs more packages: pip install 'drivefs[share]'")


def _started(settings: ShareSettings) -> Any:
    """A cheroot server that is bound and accepts connections; its `serve` answers them."""
    require_extra()
    from cheroot import wsgi

    server = wsgi.Server(
        (settings.host, settings.port),
        _application(settings),
        numthreads=THREADS,
        request_queue_size=BACKLOG,
        shutdown_timeout=1,
    )
    try:
        server.prepare()
    except OSError as error:
        raise UsageError(
            f"cannot listen on {settings.host}, port {settings.port}: {error.strerror or error}"
        ) from error
    return server


def _application(settings: ShareSettings) -> Application:
    from wsgidav.fs_dav_provider import FilesystemProvider
    from wsgidav.wsgidav_app import WsgiDAVApp

    # Its warnings are advice for a public server (Basic without TLS); errors go to stderr with their traceback.
    logging.getLogger("wsgidav").setLevel(logging.ERROR)
    accounts: Any = {settings.user: {"password": settings.password}} if settings.user else True
    # A provider instead of a path: WsgiDAV would expand `~` and `$` in it.
    provider = FilesystemProvider(os.path.abspath(settings.directory), readonly=settings.read_only, fs_opts={})
    app: Application = WsgiDAVApp(
        {
            "provider_mapping": {"/": provider},
            "simple_dc": {"user_mapping": {"*": accounts}},
            "http_authenticator": {"accept_basic": True, "accept_digest": True, "default_to_digest": True},
            "lock_storage": True,
            "property_manager": True,
            "mutable_live_props": ["{DAV:}getlastmodified"],
            "hotfixes": {"emulate_win32_lastmod": True},
            "dir_browser": {"enable": False},
            "logging": {"enable": False},
            "verbose": 1,
        }
    )
    return offering_basic_too(app)


def offering_basic_too(app: Application) -> Application:
    """WsgiDAV accepts Basic and Digest, but its 401 names one; most servers that accept both name both."""

    def answer(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            challenges = [value for name, value in headers if name == "WWW-Authenticate"]
            if challenges and all(value.startswith("Digest") for value in challenges):
                headers = [*headers, ("WWW-Authenticate", 'Basic realm="/", charset="UTF-8"')]
            return start_response(status, headers, *rest)

        return app(environ, start)

    return answer


class DemoShare:
    """The remote `demo:`: sample content at `directory`, served by a process of its own while the context is open.

    What is at `directory` already is kept, so that changes made to "the remote side" outlive the mount.
    A process of its own does not share the interpreter lock with the daemon; it ends with the end of its
    stdin, so also when the daemon is killed. `url`, `user` and `password` are valid inside the context.

    Entering and leaving block for less than a second each: not for the event loop.
    Raises: UsageError without the extra, Unreachable when the process did not come up.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.user = "demo"
        self.password = secrets.token_urlsafe(16)
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the server while it runs."""
        return self._process.pid if self._process else None

    def __enter__(self) -> Self:
        require_extra()
        make_samples(self.directory)
        settings = ShareSettings(str(self.directory), user=self.user, password=self.password)
        # -P: nothing in the current folder can take the place of a module. A session of its own: Ctrl-C in a
        # terminal reaches the daemon only, which then ends us after its last requests.
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "drivefs.remote.share"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        self._process = process
        self.url = self._introduce(process, msgspec.json.encode(settings))
        return self

    def _introduce(self, process: subprocess.Popen[bytes], settings: bytes) -> str:
        """Hand over the settings and wait for the line that tells the address."""
        stdin, stdout = _pipe(process.stdin), _pipe(process.stdout)
        try:
            stdin.write(settings + b"\n")
            url = stdout.readline().decode().strip()
        except BrokenPipeError:
            url = ""
        if not url:
            self._stop(process)
            raise Unreachable("the demo share did not start: see the lines above, or in the log of this drive")
        return url

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._stop(self._process)

    def _stop(self, process: subprocess.Popen[bytes]) -> None:
        self._process = None
        _pipe(process.stdin).close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _pipe(process.stdout).close()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def serve_until_end_of_stdin() -> None:
    """The process of `DemoShare`: settings as one line of JSON in, the address out, then answers until EOF."""
    settings = msgspec.json.decode(sys.stdin.buffer.readline(), type=ShareSettings)
    server = _started(settings)
    threading.Thread(target=server.serve, daemon=True).start()
    sys.stdout.write(_url(server) + "\n")
    sys.stdout.flush()
    sys.stdin.buffer.read()
    server.stop()


if __name__ == "__main__":
    serve_until_end_of_stdin()
