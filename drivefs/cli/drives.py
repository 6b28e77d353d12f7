"""Which drives there are, and how each is: from its daemon where one runs, else from the configuration."""

from __future__ import annotations

from pathlib import Path

from drivefs import mountpoint as mounts
from drivefs.cli.checks import is_ours
from drivefs.cli.text import typed
from drivefs.config import DriveSettings, config_file, drive_paths
from drivefs.configfile import find_drive, load_drives
from drivefs.control import lock
from drivefs.control.messages import DriveState, DriveStatus, unmounted
from drivefs.errors import DriveError, UsageError


def all_drives() -> list[DriveSettings]:
    """Sorted by mountpoint. Raises: UsageError for a wrong configuration."""
    return sorted(load_drives(config_file()).values(), key=lambda drive: drive.mountpoint)


def drive_at(folder: str) -> DriveSettings:
    """The drive configured at a folder. Raises: UsageError."""
    point = mounts.normalise(folder)
    drive = find_drive(load_drives(config_file()), point)
    if drive is None:
        raise UsageError(f"{point}: no drive is configured there; `drivefs list` shows all")
    return drive


def drive_of(path: str) -> tuple[DriveSettings, str]:
    """The drive that a path is in, and the path below its mountpoint ("" for the mountpoint). Raises: UsageError."""
    drives = load_drives(config_file())
    found = mounts.split_at_mountpoint(path, (drive.mountpoint for drive in drives.values()))
    drive = find_drive(drives, found[0]) if found else None
    if found is None or drive is None:
        raise UsageError(f"{path}: is in no drive; `drivefs list` shows all")
    return drive, found[1]


def socket_of(drive: DriveSettings) -> Path:
    """Where the drive's daemon listens. Raises: DriveError when it is not mounted."""
    holder = lock.holder(drive_paths(drive.name))
    if holder is None:
        raise DriveError(f"{drive.mountpoint}: is not mounted; {typed('drivefs', 'mount', drive.mountpoint)}")
    return Path(holder.socket)


def status_of(drive: DriveSettings) -> DriveStatus:
    """The drive's status, in bounded time, whatever its daemon does."""
    holder = lock.holder(drive_paths(drive.name))
    if holder is None:
        return _without_daemon(drive)
    from drivefs.control.client import ControlClient, NoDaemon

    try:
        with ControlClient(Path(holder.socket)) as client:
            return client.status()
    except NoDaemon:
        return unmounted(drive, message="starting, or ending")
    except DriveError as problem:
        return _attention(drive, str(problem), pid=holder.pid)


def _without_daemon(drive: DriveSettings) -> DriveStatus:
    mount = mounts.mounted_at(drive.mountpoint)
    if mount is None or not is_ours(mount):
        return unmounted(drive)
    return _attention(drive, f"its process died; {typed('drivefs', 'mount', drive.mountpoint)} (or unmount)")


def _attention(drive: DriveSettings, message: str, pid: int | None = None) -> DriveStatus:
    import msgspec

    lost = unmounted(drive, message)
    return msgspec.structs.replace(lost, state=DriveState.ATTENTION, pid=pid, mounted=pid is not None)
