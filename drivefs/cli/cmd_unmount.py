"""`drivefs unmount`: asks the daemon to end, and waits until its process and the mount are gone."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import click

from drivefs import mountpoint as mounts
from drivefs.cli.checks import clear_own_dead_mount, is_ours, unmount_now
from drivefs.cli.text import on_terminal, size_text
from drivefs.config import check_value, config_file, drive_paths
from drivefs.configfile import find_drive, load_drives
from drivefs.control import lock
from drivefs.errors import DriveError, UsageError

_POLL_SECONDS = 0.1
_PROGRESS_SECONDS = 1.0


@click.command(name="unmount")
@click.argument("mountpoint")
@click.option("--timeout", "limit", metavar="DURATION", help="Give up waiting after this time; the unmount goes on.")
@click.option("--no-wait", is_flag=True, help="Return when the unmount was ordered.")
def command(mountpoint: str, limit: str | None, no_wait: bool) -> int:
    """Unmount the drive at MOUNTPOINT, after what is pending was sent."""
    seconds = check_value("interval", limit, "--timeout") if limit is not None else None
    point = mounts.normalise(mountpoint)
    drive = find_drive(load_drives(config_file()), point)
    holder = lock.holder(drive_paths(drive.name)) if drive else None
    if holder is None:
        return _unmount_without_daemon(point, configured=drive is not None)
    with _process(holder.pid) as process:
        _order(Path(holder.socket), process)
        if no_wait:
            return 0
        _wait(point, process, Path(holder.socket), seconds)
    click.echo(f"{point}: unmounted")
    return 0


def _order(socket: Path, process: int | None) -> None:
    """Raises: the daemon's reason why the mount cannot go now."""
    from drivefs.control.client import BrokenOff, ControlClient, NoDaemon

    try:
        # A daemon that ends quickly may do so before its answer is out; whether it did is seen afterwards.
        with contextlib.suppress(BrokenOff), ControlClient(socket) as client:
            client.unmount()
    except NoDaemon:  # it is still starting, or ends already
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(process, signal.SIGTERM)


@contextlib.contextmanager
def _process(pid: int) -> Iterator[int | None]:
    """A descriptor that turns readable when the process ends, even where nobody reaps it; None when it is gone."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _wait(point: str, process: int | None, socket: Path, seconds: float | None) -> None:
    started = time.monotonic()
    reported = started
    while not (_ended(process) and mounts.mounted_at(point) is None):
        now = time.monotonic()
        if _ended(process):
            clear_own_dead_mount(point)  # it was killed, or died on the way out
            continue
        if seconds is not None and now - started > seconds:
            raise DriveError(f"{point}: still busy after {seconds:g} s; the unmount goes on in the background")
        if on_terminal() and now - reported > _PROGRESS_SECONDS:
            reported = now
            _show_pending(socket)
        time.sleep(_POLL_SECONDS)


def _ended(process: int | None) -> bool:
    return process is None or bool(select.select([process], [], [], 0)[0])


def _show_pending(socket: Path) -> None:
    from drivefs.control.client import ControlClient

    with contextlib.suppress(DriveError), ControlClient(socket) as client:
        pending = client.status().pending
        click.echo(f"\rstill to send: {pending.entries} entries, {size_text(pending.bytes)}   ", nl=False, err=True)


def _unmount_without_daemon(point: str, configured: bool) -> int:
    mount = mounts.mounted_at(point)
    if mount is None:
        if configured:
            raise DriveError(f"{point}: is not mounted")
        raise UsageError(f"{point}: no drive is configured or mounted there; `drivefs list` shows all")
    if not is_ours(mount):
        raise UsageError(f"{point}: what is mounted there is no drive ({mount.kind})")
    dead = mounts.is_dead(point)
    unmount_now(point, lazily=dead)
    click.echo(f"{point}: {'the mount of a dead process was cleared' if dead else 'unmounted'}")
    return 0
