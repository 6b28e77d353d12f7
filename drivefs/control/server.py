"""The daemon's side of the control socket: HTTP with JSON, on the daemon's own loop.

    GET  /status     DriveStatus
    POST /entry      {"path": …}  → EntryStatus
    POST /sync       SyncRequest  → lines of `Event`; the last one is Done or Failure
    POST /unmount    → Done at once; the client then watches the process and the mount go

The socket is mode 0600 in a folder of mode 0700: who may connect may do everything. What is answered comes from a
`DriveControl`; nothing is decided here. An error of `drivefs.errors` travels as `Failure`. A client that goes away
does not stop a sync.

hypercorn and starlette cost 7 MB and 0.1 s; only the daemon imports this file.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import stat
from pathlib import Path
from typing import Any, Protocol, cast

import msgspec
import trio
from hypercorn.config import Config
from hypercorn.trio import serve as serve_http
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from drivefs.control.messages import (
    Done,
    DriveStatus,
    EntryStatus,
    Event,
    Failure,
    SyncRequest,
    SyncResult,
    decode,
    encode,
    progress_of,
)
from drivefs.errors import DriveError, UsageError

GRACE_SECONDS = 1.0
_PROGRESS_SECONDS = 0.5
_log = logging.getLogger(__name__)


class DriveControl(Protocol):
    """What a daemon lets the command line ask and order."""

    async def status(self) -> DriveStatus: ...

    async def entry_status(self, path: str) -> EntryStatus:
        """One entry; `path` is relative to the drive's root, "" is the root. Raises: NoSuchEntry."""
        ...

    async def sync(self, *, dry_run: bool, accept_deletes: bool, wait: bool) -> SyncResult:
        """One sync now; with `wait` the answer comes when it is done, else as soon as it was ordered."""
        ...

    async def unmount(self) -> None:
        """Start the orderly shutdown, and return before it ends."""
        ...


async def serve(
    control: DriveControl, path: Path, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Answer on the socket `path` until cancelled; started when clients can connect. The socket is removed at the end.

    Requests that run at the cancellation get `GRACE_SECONDS` to be answered; a sync is told off at once.
    Raises: UsageError when another daemon answers there.
    """
    listener = bind_socket(path)
    identity = os.stat(path).st_ino
    ending = trio.Event()
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(_serve_http, application(control, ending), listener, ending)
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                ending.set()
    finally:
        with contextlib.suppress(FileNotFoundError):
            if os.stat(path).st_ino == identity:
                os.unlink(path)


async def _serve_http(
    app: Starlette, listener: socket.socket, ending: trio.Event, *, task_status: trio.TaskStatus[list[str]]
) -> None:
    """Shielded, and ended by `ending` instead: cancelled, hypercorn leaves connections open."""
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn")
    config.include_server_header = False
    config.graceful_timeout = GRACE_SECONDS
    with trio.CancelScope(shield=True):
        # hypercorn's types name each ASGI event; starlette's leave them open.
        await serve_http(cast(Any, app), config, shutdown_trigger=ending.wait, task_status=task_status)


def bind_socket(path: Path) -> socket.socket:
    """A bound socket of mode 0600. One that a dead daemon left is replaced, one that answers never."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        listener.bind(str(path))
        path.chmod(0o600)
        return listener
    except BaseException:
        listener.close()
        raise


def _remove_stale(path: Path) -> None:
    """Connecting tells a live socket from a dead one, but refuses an ordinary file in the same way as a dead one."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise UsageError(f"{path}: is in the way of the control socket; move it away")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
    raise UsageError(f"{path}: another drivefs process answers here")


def application(control: DriveControl, ending: trio.Event) -> Starlette:
    """The four requests as an ASGI application. At `ending` a running sync is no longer waited for."""

    async def status(request: Request) -> Response:
        return _answer(await control.status())

    async def entry(request: Request) -> Response:
        return _answer(await control.entry_status(str(json.loads(await request.body())["path"])))

    async def sync(request: Request) -> Response:
        return _SyncStream(control, decode(await request.body(), SyncRequest), ending)

    async def unmount(request: Request) -> Response:
        await control.unmount()
        return _answer(Done())

    return Starlette(
        routes=[
            Route("/status", status),
            Route("/entry", entry, methods=["POST"]),
            Route("/sync", sync, methods=["POST"]),
            Route("/unmount", unmount, methods=["POST"]),
        ],
        exception_handlers={DriveError: _failed, KeyError: _malformed, ValueError: _malformed},
    )


def _answer(message: msgspec.Struct, status_code: int = 200) -> Response:
    return Response(encode(message), status_code, media_type="application/json")


async def _failed(request: Request, problem: Exception) -> Response:
    return _answer(failure_of(problem), 500)


async def _malformed(request: Request, problem: Exception) -> Response:
    return _answer(Failure("UsageError", f"the control request was not understood: {problem}", 2), 400)


def failure_of(problem: Exception) -> Failure:
    exit_code = problem.exit_code if isinstance(problem, DriveError) else 1
    return Failure(type(problem).__name__, str(problem) or type(problem).__name__, exit_code)


class _SyncStream(Response):
    """Runs one sync and sends a line of progress twice a second, then the result."""

    def __init__(self, control: DriveControl, request: SyncRequest, ending: trio.Event) -> None:
        super().__init__()
        self._control = control
        self._request = request
        self._ending = ending
        self._outcome: Event = Failure("DriveError", "the daemon ended before the sync was done", 1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/x-ndjson")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._report, send)
            nursery.start_soon(self._run, nursery.cancel_scope)
            await self._ending.wait()
            nursery.cancel_scope.cancel()
        await _send_line(send, self._outcome, more=False)

    async def _run(self, race: trio.CancelScope) -> None:
        wanted = self._request
        try:
            self._outcome = Done(
                await self._control.sync(dry_run=wanted.dry_run, accept_deletes=wanted.accept_deletes, wait=wanted.wait)
            )
        except DriveError as problem:
            self._outcome = failure_of(problem)
        race.cancel()

    async def _report(self, send: Send) -> None:
        while True:
            await trio.sleep(_PROGRESS_SECONDS)
            with contextlib.suppress(DriveError):  # no progress to tell is no reason to stop the sync
                await _send_line(send, progress_of(await self._control.status()), more=True)


async def _send_line(send: Send, event: Event, *, more: bool) -> None:
    body = encode(event).encode() + b"\n"
    await send({"type": "http.response.body", "body": body, "more_body": more})
