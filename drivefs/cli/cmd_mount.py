"""`drivefs mount`: returns when the mount answers, or says in one line why it cannot be."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from drivefs.cli.options import PASSWORD_HELP, Given, drive_options, given_options
from drivefs.cli.text import printable

if TYPE_CHECKING:
    from drivefs.cli.launch import Launch


@click.command(name="mount", epilog=PASSWORD_HELP)
@click.argument("mountpoint")
@drive_options
@click.option("-f", "--foreground", is_flag=True, help="Stay in the foreground and log to stderr (for systemd).")
@click.option("--ready-fd", type=int, hidden=True)
@click.pass_obj
def command(debug: bool, /, mountpoint: str, foreground: bool, ready_fd: int | None, **options: Any) -> int:
    """Mount a drive at MOUNTPOINT, an empty folder.

    With --remote, a new drive is saved, so that the next time `drivefs mount MOUNTPOINT` is enough. On a drive
    that is configured already, the options are for this mount only.
    """
    from drivefs.cli.launch import find_launch

    given = given_options(options)
    launch = find_launch(mountpoint, given)
    if foreground:
        from drivefs.cli.foreground import serve

        return serve(launch, ready_fd, debug)
    return _mount_in_background(launch, given, debug)


def _mount_in_background(launch: Launch, given: Given, debug: bool) -> int:
    from drivefs.cli.background import start
    from drivefs.cli.checks import check_can_mount, check_free
    from drivefs.cli.launch import remember
    from drivefs.credentials import VARIABLE

    settings = launch.settings
    check_free(settings, launch.paths)
    check_can_mount(settings)
    launch.paths.make()
    if not settings.logs_in and os.environ.get(VARIABLE):
        click.echo(f"drivefs: {VARIABLE} is not used: the drive has no user; add --user NAME", err=True)
    report = start(launch, given, debug)
    if report.error:
        click.echo(f"drivefs: {printable(report.error)}", err=True)
        return report.exit_code
    click.echo(f"{settings.mountpoint}: mounted, {settings.direction}, {settings.remote}")
    if report.message:
        click.echo(f"drivefs: {report.state}: {printable(report.message)}", err=True)
    try:
        for line in remember(launch, os.environ.get(VARIABLE)):
            click.echo(line)
    except OSError as problem:
        click.echo(f"drivefs: mounted, but the drive could not be saved: {problem}", err=True)
    return 0
