"""The options that describe a drive, shared by `setup` and `mount`, and what they make of a drive's settings."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click
import msgspec

from drivefs.cli.text import typed
from drivefs.config import DriveSettings, check_value
from drivefs.configfile import find_drive, free_name
from drivefs.direction import Direction
from drivefs.errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])
Given = dict[str, Any]
"""Settings by key, as typed: only those that were given."""

_OPTIONS = (
    click.option("--remote", metavar="URL", help="Address of the share: https://host/path/, or demo: for a sample."),
    click.option(
        "--direction",
        type=click.Choice([direction.value for direction in Direction]),
        help="Who is the master. [remote-to-local]",
    ),
    click.option("--interval", metavar="DURATION", help="Time between two syncs, like 30s, 5m, 1h. [60s]"),
    click.option(
        "--content",
        type=click.Choice(["on-demand", "mirror"]),
        help="Fetch content when it is read, or all of it in the background. [on-demand]",
    ),
    click.option("--cache-size", metavar="SIZE", help="Disk space for content, like 500M or 10G. [10G]"),
    click.option("--user", metavar="NAME", help="User name on the server. The password: DRIVEFS_PASSWORD, see below."),
    click.option("--password-command", metavar="CMD", help="A program that prints the password."),
    click.option(
        "--auth",
        type=click.Choice(["auto", "basic", "digest", "bearer"]),
        help="How to log in; bearer: the password is a token. [auto: as the server asks]",
    ),
    click.option(
        "--ca-cert", metavar="FILE", type=click.Path(), help="Trust the certificates in this file (PEM) as well."
    ),
    click.option("--client-cert", metavar="FILE", type=click.Path(), help="Your own certificate (PEM) to log in with."),
    click.option("--client-key", metavar="FILE", type=click.Path(), help="Its key, if not in the same file."),
    click.option(
        "--pin-cert", metavar="SHA256:…", help="Trust the server's certificate with this fingerprint, and no other."
    ),
    click.option("--read-only", is_flag=True, default=None, help="Refuse all local changes (EROFS)."),
    click.option("--ignore", metavar="PATTERN", multiple=True, help="Add a pattern, as in .gitignore; repeatable."),
    click.option("--limit-up", metavar="RATE", help="Bytes per second up, like 5M. [no limit]"),
    click.option("--limit-down", metavar="RATE", help="Bytes per second down, like 5M. [no limit]"),
    click.option("--allow-other", is_flag=True, default=None, help="Let other users of this computer in."),
    click.option(
        "--insecure-auth", is_flag=True, default=None, help="Send the password over http:// to another machine, too."
    ),
)

_FILES = {"ca_cert", "client_cert", "client_key"}

PASSWORD_HELP = """The password is taken from the variable DRIVEFS_PASSWORD, else from --password-command, else from
the keyring or the file where it was stored. It cannot be given on the command line, where others could read it."""


def drive_options(command: Command) -> Command:
    """Adds the options that describe a drive."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def given_options(values: dict[str, Any]) -> Given:
    """What was given on the command line, with file names made absolute: the daemon runs in another folder."""
    given = {key: value for key, value in values.items() if value not in (None, ())}
    for key in _FILES & given.keys():
        given[key] = os.path.abspath(given[key])
        if not os.path.isfile(given[key]):
            raise UsageError(f"--{key.replace('_', '-')}: {given[key]}: no such file")
    return given


def as_arguments(given: Given) -> list[str]:
    """The command line that gives the same options again."""
    arguments = []
    for key, value in given.items():
        option = "--" + key.replace("_", "-")
        if value is True:
            arguments.append(option)
        else:
            arguments += [f"{option}={item}" for item in (value if isinstance(value, tuple) else (value,))]
    return arguments


def choose_settings(
    drives: dict[str, DriveSettings], mountpoint: str, given: Given, is_free: Callable[[str, DriveSettings], bool]
) -> tuple[DriveSettings, bool]:
    """The settings of the drive at `mountpoint` with the given options on top, and whether the drive is new.

    Raises: UsageError for a wrong value, for a missing address, and for another address or direction than
    the drive has: its cache and records belong to those. `is_free` may rule out names for a new drive.
    """
    checked = {key: check_value(key, value, "--" + key.replace("_", "-")) for key, value in given.items()}
    drive = find_drive(drives, mountpoint)
    if drive is None:
        if "remote" not in checked:
            raise UsageError(
                f"{mountpoint}: no drive is configured there; "
                f"{typed('drivefs', 'mount', mountpoint, '--remote', 'https://HOST/PATH/', '--user', 'NAME')}"
            )
        new = _with_options(DriveSettings(name="", mountpoint=mountpoint, remote=checked["remote"]), checked)
        name = free_name(drives, mountpoint, lambda name: is_free(name, new))
        return msgspec.structs.replace(new, name=name), True
    for key in ("remote", "direction"):
        if key in checked and checked[key] != getattr(drive, key):
            raise UsageError(
                f"{mountpoint}: drive {drive.name} has the {key} {getattr(drive, key)}, which cannot be changed yet; "
                f"use another folder for {checked[key]}"
            )
    return _with_options(drive, checked), False


def _with_options(drive: DriveSettings, checked: dict[str, Any]) -> DriveSettings:
    if "ignore" in checked:
        checked = {**checked, "ignore": tuple(dict.fromkeys((*drive.ignore, *checked["ignore"])))}
    return msgspec.structs.replace(drive, **checked)
