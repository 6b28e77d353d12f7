"""What both halves of `mount` need: which drive is meant, and what is kept of it once it is mounted.

A new drive is written into the configuration only when its mount answers: a mistyped address must not stand in
the way of the right one. Beside the records of a drive stands what they belong to (`identity`), so that an
edited configuration cannot mix the records of two remotes.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from drivefs import mountpoint as mounts
from drivefs.cli.options import Given, choose_settings
from drivefs.cli.text import typed
from drivefs.config import DrivePaths, DriveSettings, config_file, drive_paths
from drivefs.configfile import load_drives, save_drive, write_private
from drivefs.control.messages import decode, encode
from drivefs.credentials import store_password
from drivefs.errors import UsageError


class Launch(msgspec.Struct, frozen=True):
    """A drive that is to be mounted. `new`: it is not in the configuration yet."""

    settings: DriveSettings
    paths: DrivePaths
    new: bool


class Identity(msgspec.Struct, frozen=True):
    """What the records and the cache of a drive belong to."""

    remote: str
    direction: str


def find_launch(folder: str, given: Given) -> Launch:
    """The drive that `mount FOLDER` with these options means. Raises: UsageError."""
    point = mounts.normalise(folder)
    settings, new = choose_settings(load_drives(config_file()), point, given, _is_free)
    _check_identity(settings)
    return Launch(settings, drive_paths(settings.name), new)


def remember(launch: Launch, password: str | None) -> list[str]:
    """Keep what a new drive needs for its next mount. Answers what was done, in words; may take seconds (keyring)."""
    settings, paths = launch.settings, launch.paths
    write_private(_identity_file(settings.name), encode(_identity(settings)) + "\n")
    if not launch.new:
        return []
    save_drive(paths.config_file, settings)
    done = [f"drive {settings.name} saved in {paths.config_file}"]
    if password and settings.logs_in:
        whose = f"password of {settings.user}" if settings.user else "token"
        done.append(f"{whose} stored {store_password(settings, password, paths.config_file)}")
    return done


def _identity(settings: DriveSettings) -> Identity:
    return Identity(settings.remote, str(settings.direction))


def _identity_file(name: str) -> Path:
    return drive_paths(name).state / "identity"


def _identity_before(name: str) -> Identity | None:
    try:
        return decode(_identity_file(name).read_bytes(), Identity)
    except FileNotFoundError:
        return None


def _is_free(name: str, settings: DriveSettings) -> bool:
    """A name that a forgotten drive left records under is free for the same remote only."""
    return _identity_before(name) in (None, _identity(settings))


def _check_identity(settings: DriveSettings) -> None:
    before, paths = _identity_before(settings.name), drive_paths(settings.name)
    if before is not None and before != _identity(settings):
        raise UsageError(
            f"{settings.mountpoint}: drive {settings.name} was {before.remote} {before.direction} before; "
            f"undo the change in {paths.config_file}, or to start over "
            f"{typed('rm', '-r', str(paths.cache), str(paths.state))}"
        )
