"""What can be known to stand in the way of a mount before anything is started, each with what to do about it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from drivefs import mountpoint as mounts
from drivefs.cli.text import typed
from drivefs.config import DrivePaths, DriveSettings
from drivefs.control import lock
from drivefs.direction import Direction
from drivefs.errors import DriveError, UsageError

FUSE_DEVICE = Path("/dev/fuse")
FUSE_CONF = Path("/etc/fuse.conf")


def check_free(settings: DriveSettings, paths: DrivePaths) -> None:
    """Raises: AlreadyMounted when a daemon serves the drive."""
    holder = lock.holder(paths)
    if holder:
        raise lock.AlreadyMounted(f"{settings.mountpoint}: is already mounted, pid {holder.pid}")


def check_supported(settings: DriveSettings) -> None:
    if settings.direction is not Direction.REMOTE_TO_LOCAL:
        raise UsageError(
            f"{settings.mountpoint}: this version of drivefs knows the direction remote-to-local only, "
            f"not {settings.direction}"
        )


def check_can_mount(settings: DriveSettings) -> None:
    """Raises: UsageError or another DriveError, one line that says what to do."""
    check_supported(settings)
    check_fuse(settings)
    clear_own_dead_mount(settings.mountpoint)
    check_folder(settings.mountpoint)


def check_fuse(settings: DriveSettings) -> None:
    if not FUSE_DEVICE.exists():
        raise DriveError(
            f"{FUSE_DEVICE} is missing: type: sudo modprobe fuse "
            "(a container needs --device /dev/fuse --cap-add SYS_ADMIN)"
        )
    if shutil.which("fusermount3") is None:
        raise DriveError("fusermount3 is missing: type: sudo apt install fuse3 (or the package fuse3 of your system)")
    if settings.allow_other and os.geteuid() != 0 and not _others_allowed():
        raise UsageError(f"--allow-other: the line user_allow_other is missing in {FUSE_CONF}; only root can add it")


def _others_allowed() -> bool:
    try:
        lines = FUSE_CONF.read_text().splitlines()
    except OSError:
        return False
    return "user_allow_other" in (line.strip() for line in lines)


def is_ours(mount: mounts.Mount) -> bool:
    return mount.kind == "fuse.drivefs" or (mount.is_fuse and mount.source == "drivefs")


def clear_own_dead_mount(mountpoint: str) -> bool:
    """Unmount what a drivefs that died left behind; True when there was something.

    Raises: DriveError when it cannot be cleared; UsageError when something else is mounted there.
    """
    mount = mounts.mounted_at(mountpoint)
    if mount is None:
        return False
    if not is_ours(mount):
        raise UsageError(f"{mountpoint}: something else is mounted there ({mount.kind}); use another folder")
    if not mounts.is_dead(mountpoint):
        raise UsageError(f"{mountpoint}: another drivefs is mounted there; {typed('drivefs', 'unmount', mountpoint)}")
    unmount_now(mountpoint, lazily=True)
    return True


def unmount_now(mountpoint: str, *, lazily: bool) -> None:
    """fusermount3 -u; with `lazily`, where a program still holds the mount, -uz. Raises: DriveError."""
    said = ""
    for flags in ("-u", "-uz") if lazily else ("-u",):
        run = subprocess.run(["fusermount3", flags, "--", mountpoint], capture_output=True, text=True, check=False)
        if run.returncode == 0:
            return
        said = run.stderr.strip()
    raise DriveError(f"{mountpoint}: cannot be unmounted: {said}")


def check_folder(mountpoint: str) -> None:
    try:
        names = os.listdir(mountpoint)
    except FileNotFoundError:
        raise UsageError(f"{mountpoint}: no such folder; {typed('mkdir', '-p', mountpoint)}") from None
    except NotADirectoryError:
        raise UsageError(f"{mountpoint}: is not a folder; give an empty folder to mount at") from None
    except OSError as problem:
        raise DriveError(f"{mountpoint}: cannot be used: {problem.strerror}") from problem
    if names:
        raise UsageError(
            f"{mountpoint}: is not empty; give an empty folder (--adopt, to take existing files in, is not there yet)"
        )
