"""`drivefs list`: the configured drives, mounted or not."""

from __future__ import annotations

import json

import click

from drivefs.cli.drives import all_drives
from drivefs.cli.text import on_terminal, printable
from drivefs.config import DriveSettings, drive_paths
from drivefs.control import lock


@click.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> int:
    """List the configured drives, mounted or not."""
    drives = [(drive, lock.holder(drive_paths(drive.name)) is not None) for drive in all_drives()]
    if as_json:
        click.echo(json.dumps({"drives": [_object(drive, mounted) for drive, mounted in drives]}))
    elif not drives:
        click.echo("No drive is configured. Add one: drivefs mount FOLDER --remote URL")
    elif on_terminal():
        _print_table(drives)
    else:
        for drive, mounted in drives:
            click.echo("\t".join(_cells(drive, mounted)))
    return 0


def _object(drive: DriveSettings, mounted: bool) -> dict[str, object]:
    return {
        "name": drive.name,
        "mountpoint": drive.mountpoint,
        "remote": drive.remote,
        "direction": str(drive.direction),
        "content": drive.content,
        "interval_s": drive.interval,
        "mounted": mounted,
    }


def _cells(drive: DriveSettings, mounted: bool) -> list[str]:
    state = "mounted" if mounted else "unmounted"
    return [printable(cell) for cell in (drive.mountpoint, state, str(drive.direction), drive.remote, drive.name)]


def _print_table(drives: list[tuple[DriveSettings, bool]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("Folder", "State", "Direction", "Remote", "Name", box=None, pad_edge=False)
    for drive, mounted in drives:
        table.add_row(*(Text(cell) for cell in _cells(drive, mounted)))
    Console().print(table)
