"""`drivefs setup`: writes a drive into the configuration, and stores its password."""

from __future__ import annotations

import os
from typing import Any

import click

from drivefs import mountpoint as mounts
from drivefs.cli.options import PASSWORD_HELP, drive_options, given_options
from drivefs.cli.text import typed
from drivefs.errors import UsageError


@click.command(name="setup", epilog=PASSWORD_HELP)
@click.argument("mountpoint")
@drive_options
@click.option("--no-input", is_flag=True, help="Ask nothing: what is missing is an error, or its default.")
def command(mountpoint: str, no_input: bool, **options: Any) -> int:
    """Configure the drive at MOUNTPOINT.

    On a drive that is configured and not mounted, the given options replace its settings for good.
    """
    point = mounts.normalise(mountpoint)
    if not no_input:
        what = typed("drivefs", "setup", point, "--no-input", "--remote", "URL")
        raise UsageError(f"asking is not available yet; {what} (and more options: drivefs setup --help)")
    from drivefs.cli.checks import check_free, check_supported
    from drivefs.cli.launch import find_launch
    from drivefs.configfile import save_drive
    from drivefs.credentials import VARIABLE, store_password

    launch = find_launch(mountpoint, given_options(options))
    settings, paths = launch.settings, launch.paths
    check_supported(settings)
    check_free(settings, paths)
    password = os.environ.get(VARIABLE)
    if password and not settings.logs_in:
        raise UsageError(f"{VARIABLE} is set, but the drive has no user: add --user NAME")
    save_drive(paths.config_file, settings)
    click.echo(f"Drive {settings.name}: {settings.remote} at {point}, {settings.direction}")
    click.echo(f"Saved in {paths.config_file}")
    if password:
        whose = f"Password of {settings.user}" if settings.user else "Token"
        click.echo(f"{whose} stored {store_password(settings, password, paths.config_file)}")
    click.echo(f"To mount it, {typed('drivefs', 'mount', point)}")
    return 0
