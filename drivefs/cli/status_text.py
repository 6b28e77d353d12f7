"""How a drive's status is written: the same rows as a panel for a terminal, and as plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from drivefs.cli.text import now, printable, since_text, size_text, span_text, until_text
from drivefs.control.messages import Counts, DriveState, DriveStatus, EntryStatus, Transfer

if TYPE_CHECKING:
    from rich.console import Group

_COLOURS = {
    DriveState.IDLE: "green",
    DriveState.LISTING: "cyan",
    DriveState.SYNCING: "cyan",
    DriveState.PAUSED: "yellow",
    DriveState.OFFLINE: "yellow",
    DriveState.ATTENTION: "red",
    DriveState.NEEDS_RESET: "red",
    DriveState.UNMOUNTED: "bright_black",
}


def panels(statuses: Sequence[DriveStatus]) -> Group:
    """One panel per drive. Names become text, never markup."""
    from rich.console import Group
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    made = []
    for status in statuses:
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        for label, value in rows(status):
            grid.add_row(Text(label), Text(value, style=_COLOURS[status.state] if label == "state" else ""))
        title = Text(printable(status.mountpoint), style="bold")
        made.append(Panel(grid, title=title, title_align="left", border_style=_COLOURS[status.state]))
    return Group(*made)


def plain(statuses: Sequence[DriveStatus]) -> str:
    blocks = []
    for status in statuses:
        lines = [f"  {label + ':':<11} {value}" for label, value in rows(status)]
        blocks.append("\n".join([printable(status.mountpoint), *lines]))
    return "\n".join(blocks)


def rows(status: DriveStatus) -> list[tuple[str, str]]:
    """Label and value of everything worth a line, in reading order."""
    state = status.state.value + (f" – {status.message}" if status.message else "")
    table = [("state", state), ("remote", _remote(status)), ("direction", status.direction)]
    if status.mounted:
        table += _activity(status)
    table += [("error", f"{problem.path}: {problem.reason}") for problem in status.errors]
    return [(label, printable(value)) for label, value in table]


def _remote(status: DriveStatus) -> str:
    return f"{status.remote} ({status.server})" if status.server else status.remote


def _activity(status: DriveStatus) -> list[tuple[str, str]]:
    at = now()
    first, cache, requests = status.initial_sync, status.cache, status.requests
    table = []
    if not first.done:
        table.append(("first sync", f"{first.entries} entries in {first.directories} folders so far"))
    table.append(("entries", _counts(status.counts)))
    if status.pending.entries:
        table.append(("to send", f"{status.pending.entries} entries, {size_text(status.pending.bytes)}"))
    table.append(("cache", f"{size_text(cache.used)} of {size_text(cache.limit)}"))
    table += [("transfer", _transfer(transfer)) for transfer in status.transfers]
    table.append(("last sync", since_text(status.last_sync, at)))
    table.append(("next sync", f"{until_text(status.next_sync, at)} (every {span_text(status.interval_s)})"))
    failed = f", {requests.failed} failed" if requests.failed else ""
    traffic = f"{size_text(status.down_bytes)} down, {size_text(status.up_bytes)} up"
    table.append(("traffic", f"{traffic}, {requests.total} requests{failed}"))
    return table


def _counts(counts: Counts) -> str:
    """ "10201: 12 hydrated, 1 partial …", without what is 0."""
    named: dict[str, int] = msgspec.to_builtins(counts)
    total = named.pop("entries")
    parts = ", ".join(f"{count} {name}" for name, count in named.items() if count)
    return f"{total}: {parts}" if parts else str(total)


def _transfer(transfer: Transfer) -> str:
    share = f" ({transfer.done * 100 // transfer.total} %)" if transfer.total else ""
    return f"{transfer.way} {transfer.path} {size_text(transfer.done)}{share}, {size_text(transfer.rate)}/s"


def entry(status: EntryStatus) -> str:
    """One file, as plain lines."""
    lines = [status.path, f"  state:   {status.state}" + (f" – {status.reason}" if status.reason else "")]
    lines.append(f"  content: {size_text(status.cached)} of {size_text(status.size)} is here")
    if status.pinned:
        lines.append("  pinned:  kept here")
    return "\n".join(printable(line) for line in lines)
