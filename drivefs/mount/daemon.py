"""One mounted drive as one process: start, serve, stop.

    server reached (or known before) → kernel mounts → `Operations.init` says that the mount answers → sync begins
    unmounted, by command, signal or from outside → no new requests → services end → the store is saved

If this process dies, its mountpoint stays behind broken (ENOTCONN), on purpose: an empty folder would tell programs
that mirror it that everything was deleted.
"""

from __future__ import annotations

import contextlib
import logging
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pyfuse3
import trio

from drivefs.config import DEMO, DrivePaths, DriveSettings
from drivefs.control.server import serve as serve_control
from drivefs.errors import Busy, alone
from drivefs.mount.drive import Drive
from drivefs.mount.fuse import Operations
from drivefs.mount.status import Control
from drivefs.remote.base import Remote
from drivefs.remote.open import open_remote
from drivefs.remote.share import DemoShare
from drivefs.remote.webdav.auth import Credentials

log = logging.getLogger(__name__)

GRACE_SECONDS = 5.0
"""How long requests that programs wait for may still take when the mount goes down."""

READ_AHEAD_KB = 1024
"""The kernel's own 128 KiB costs a third of the speed of sequential reads; only root may change it."""

MAX_REQUESTS = 512
"""Requests of the kernel answered at a time: reads that wait for the server must not hold up metadata."""

Ready = Callable[[str, str], None]
"""Called once, with state and message, when the mount answers."""


def run(settings: DriveSettings, paths: DrivePaths, credentials: Credentials | None, *, ready: Ready) -> int:
    """Serve the drive until it is unmounted. Returns the exit code; raises DriveError when it could not start."""
    with _remote(settings, paths, credentials) as remote:
        with alone():
            trio.run(_main, settings, paths, remote, ready)
    log.info("%s: unmounted", settings.mountpoint)
    return 0


@contextlib.contextmanager
def _remote(settings: DriveSettings, paths: DrivePaths, credentials: Credentials | None) -> Iterator[Remote]:
    """The remote of the settings; `demo:` is started here and stopped with the mount."""
    if settings.remote != DEMO:
        yield _open(settings, settings.remote, credentials)
        return
    with DemoShare(paths.state / "demo") as share:
        yield _open(settings, share.url, Credentials(share.user, share.password))


def _open(settings: DriveSettings, url: str, credentials: Credentials | None) -> Remote:
    return open_remote(
        url,
        credentials=credentials,
        auth=settings.auth,
        ca_cert=_path(settings.ca_cert),
        client_cert=_path(settings.client_cert),
        client_key=_path(settings.client_key),
        pin_cert=settings.pin_cert,
        allow_insecure_auth=settings.insecure_auth,
    )


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


async def _main(settings: DriveSettings, paths: DrivePaths, remote: Remote, ready: Ready) -> None:
    drive = Drive(settings, paths, remote)
    control = Control(drive, lambda: unmount(settings.mountpoint))
    stop, mounted, ended = trio.Event(), trio.Event(), trio.Event()
    in_use = False
    async with trio.open_nursery() as nursery:
        await nursery.start(_wait_for_signal, stop)
        await nursery.start(drive.run)
        message = await drive.first_contact()
        await nursery.start(serve_control, control, paths.socket)
        pyfuse3.init(Operations(drive.fs, mounted.set), settings.mountpoint, _options(settings))
        try:
            await nursery.start(_serve_mount, stop, ended)
            await mounted.wait()
            _raise_read_ahead(settings.mountpoint)
            nursery.start_soon(drive.kernel.run)
            await nursery.start(drive.sync)
            log.info("%s: mounted %s", settings.mountpoint, settings.remote)
            in_use = True
            ready(control.state, message)
            await stop.wait()
            in_use = False
            pyfuse3.terminate()
            with trio.move_on_after(GRACE_SECONDS):
                await ended.wait()
            nursery.cancel_scope.cancel()
            await trio.lowlevel.checkpoint_if_cancelled()
        finally:
            pyfuse3.close(unmount=not in_use)  # a defect leaves a broken mount, never an empty folder


async def _serve_mount(stop: trio.Event, ended: trio.Event, task_status: trio.TaskStatus[None]) -> None:
    """Answer the kernel until the mount is gone or the session is terminated."""
    task_status.started()
    try:
        await pyfuse3.main(max_tasks=MAX_REQUESTS)
    finally:
        ended.set()
        stop.set()


async def _wait_for_signal(stop: trio.Event, task_status: trio.TaskStatus[None]) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        task_status.started()
        async for number in signals:
            log.info("stopped by signal %d", number)
            stop.set()


async def unmount(mountpoint: str) -> None:
    """Take the mount away as a program would; then the session ends by itself. Raises Busy when it is in use."""
    command = ["fusermount3", "-u", mountpoint]
    result = await trio.run_process(command, capture_stderr=True, check=False)
    if result.returncode != 0:
        reason = result.stderr.decode(errors="replace").strip().removeprefix("fusermount3: ")
        raise Busy(
            f"{mountpoint} is still mounted: {reason}; close what uses it (fuser -vm {mountpoint}) and try again"
        )


def _options(settings: DriveSettings) -> set[str]:
    # `df` and the mount table show where the files come from; a comma would end the option.
    source = settings.remote.replace("\\", "\\\\").replace(",", "\\,")
    options = {*pyfuse3.default_options, f"fsname={source}", "subtype=drivefs", "ro"}
    if settings.allow_other:
        options.add("allow_other")
    return options


def _raise_read_ahead(mountpoint: str) -> None:
    """Where permitted. The mountpoint itself must not be touched: we would wait for our own answer."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
        fields = next(line.split() for line in reversed(lines) if line.split()[4] == mountpoint.replace(" ", "\\040"))
        Path(f"/sys/class/bdi/{fields[2]}/read_ahead_kb").write_text(str(READ_AHEAD_KB))
