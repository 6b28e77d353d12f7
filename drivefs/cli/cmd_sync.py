"""`drivefs sync`: one sync now, followed to its end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import click

from drivefs.cli.drives import drive_at, socket_of
from drivefs.cli.text import on_terminal, printable, size_text
from drivefs.control.messages import Progress, SyncRequest, SyncResult, encode

if TYPE_CHECKING:
    from rich.console import Console


@click.command(name="sync")
@click.argument("mountpoint")
@click.option("--no-wait", is_flag=True, help="Return when the sync was ordered.")
@click.option("--dry-run", is_flag=True, help="Say what a sync would do, and do nothing.")
@click.option("--accept-deletes", is_flag=True, help="Accept the deletes that were held, exactly those last shown.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: the actions and their totals.")
def command(mountpoint: str, no_wait: bool, dry_run: bool, accept_deletes: bool, as_json: bool) -> int:
    """Sync the drive at MOUNTPOINT now; returns when it is done."""
    socket = socket_of(drive_at(mountpoint))
    from drivefs.control.client import ControlClient

    request = SyncRequest(dry_run=dry_run, accept_deletes=accept_deletes, wait=not no_wait)
    with ControlClient(socket) as client, _progress(shown=on_terminal() and not as_json) as show:
        result = client.sync(request, show)
    if as_json:
        click.echo(encode({"actions": result.actions, "totals": result.totals}))
    else:
        _print(result, dry_run)
    return result.exit_code


def _progress(shown: bool) -> AbstractContextManager[Callable[[Progress], None]]:
    return _Spinner() if shown else nullcontext(lambda progress: None)


class _Spinner:
    """A line that says what the sync is at, while it runs."""

    def __enter__(self) -> Callable[[Progress], None]:
        from rich.console import Console

        console: Console = Console(stderr=True)
        self._status = console.status("Syncing")
        self._status.start()
        return lambda progress: self._status.update(_progress_text(progress))

    def __exit__(self, *problem: object) -> None:
        self._status.stop()


def _progress_text(progress: Progress) -> str:
    from rich.markup import escape

    first = progress.initial_sync
    text = progress.state.value
    if not first.done:
        text += f": {first.entries} entries in {first.directories} folders"
    if progress.transfers:
        transfer = progress.transfers[0]
        text += f": {transfer.path} {size_text(transfer.done)} of {size_text(transfer.total)}"
    return escape(printable(text))


def _print(result: SyncResult, dry_run: bool) -> None:
    for action in result.actions if dry_run else ():
        size = f" ({size_text(action.bytes)})" if action.bytes else ""
        click.echo(printable(f"{action.action} {action.path}{size}: {action.why}"))
    text = printable(result.message) or ("would do nothing" if dry_run else "done")
    click.echo(text if result.ok else f"drivefs: {text}", err=not result.ok)
