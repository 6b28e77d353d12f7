"""`drivefs status`: all drives, one drive, or one file."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click

from drivefs.cli.drives import all_drives, drive_of, socket_of, status_of
from drivefs.cli.text import on_terminal
from drivefs.config import DriveSettings
from drivefs.control.messages import DriveState, DriveStatus, EntryStatus, StatusReport, encode
from drivefs.model import State

_WATCH_SECONDS = 1.0


@click.command(name="status")
@click.argument("path", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--watch", is_flag=True, help="Show it again every second, until Ctrl-C.")
def command(path: str | None, as_json: bool, watch: bool) -> int:
    """Show how all drives are, or the drive or the file at PATH.

    Exit code 3: something needs attention; 4: a server is not reachable.
    """
    if path is None:
        return _show_drives(None, as_json, watch)
    drive, below = drive_of(path)
    if below:
        return _show_entry(drive, below, as_json)
    return _show_drives(drive, as_json, watch)


def _statuses(drive: DriveSettings | None) -> tuple[DriveStatus, ...]:
    return tuple(status_of(one) for one in ([drive] if drive else all_drives()))


def _show_drives(drive: DriveSettings | None, as_json: bool, watch: bool) -> int:
    if watch:
        return _watch(drive, as_json)
    statuses = _statuses(drive)
    if as_json:
        click.echo(encode(StatusReport(statuses)))
    else:
        _print(statuses)
    return exit_code(statuses)


def _print(statuses: Sequence[DriveStatus]) -> None:
    from drivefs.cli import status_text

    if not statuses:
        click.echo("No drive is configured. Add one: drivefs mount FOLDER --remote URL")
    elif on_terminal():
        from rich.console import Console

        Console().print(status_text.panels(statuses))
    else:
        click.echo(status_text.plain(statuses))


def _watch(drive: DriveSettings | None, as_json: bool) -> int:
    try:
        if on_terminal() and not as_json:
            _watch_on_terminal(drive)
        while True:
            statuses = _statuses(drive)
            click.echo(encode(StatusReport(statuses))) if as_json else _print(statuses)
            time.sleep(_WATCH_SECONDS)
    except KeyboardInterrupt:
        return 0


def _watch_on_terminal(drive: DriveSettings | None) -> None:
    from rich.live import Live

    from drivefs.cli import status_text

    with Live(auto_refresh=False) as live:
        while True:
            live.update(status_text.panels(_statuses(drive)), refresh=True)
            time.sleep(_WATCH_SECONDS)


def exit_code(statuses: Sequence[DriveStatus]) -> int:
    """3 where a person is needed, else 4 where a server is not reachable, else 0."""
    if any(_needs_attention(status) for status in statuses):
        return 3
    return 4 if any(status.state is DriveState.OFFLINE for status in statuses) else 0


def _needs_attention(status: DriveStatus) -> bool:
    states = (DriveState.ATTENTION, DriveState.NEEDS_RESET)
    return status.state in states or status.counts.conflict > 0 or bool(status.errors)


def _show_entry(drive: DriveSettings, below: str, as_json: bool) -> int:
    socket = socket_of(drive)
    from drivefs.cli import status_text
    from drivefs.control.client import ControlClient

    with ControlClient(socket) as client:
        entry: EntryStatus = client.entry_status(below)
    click.echo(encode(entry) if as_json else status_text.entry(entry))
    return 3 if entry.state in (State.ERROR, State.CONFLICT) else 0
