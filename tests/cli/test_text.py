"""What people read: names that cannot steer the terminal, sizes, times, and the rows of a drive's status."""

from __future__ import annotations

import io
from datetime import timedelta

import msgspec
import pytest

from drivefs.cli import status_text, text
from drivefs.cli.cmd_status import exit_code
from drivefs.control.messages import Counts, DriveState, EntryError, InitialSync, Pending, Transfer, moment
from tests.control.fake import STATUS

NOW = moment(1_795_356_185)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("naïve 日本", "naïve 日本"),
        ("a\x1b[2J", "a\\x1b[2J"),
        ("a\nb", "a\\nb"),
        ("\udcff", "\ufffd"),
        ("\u202e", "\\u202e"),
    ],
)
def test_names_are_shown_and_not_obeyed(name: str, shown: str) -> None:
    assert text.printable(name) == shown


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (10 * 2**30, "10.0 GiB"), (2**50, "1024.0 TiB")],
)
def test_sizes(size: int, shown: str) -> None:
    assert text.size_text(size) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0 s"), (75, "1 min 15 s"), (3600, "1 h"), (90061, "1 d 1 h"), (-5, "0 s")]
)
def test_spans(seconds: float, shown: str) -> None:
    assert text.span_text(seconds) == shown


def test_moments_are_told_from_now() -> None:
    assert text.since_text(NOW - timedelta(seconds=75), NOW) == "1 min 15 s ago"
    assert text.since_text(None, NOW) == "never"
    assert text.until_text(NOW + timedelta(seconds=5), NOW) == "in 5 s"
    assert text.until_text(NOW, NOW) == "due"
    assert text.until_text(None, NOW) == "–"


def test_what_to_type_is_quoted() -> None:
    assert text.typed("mkdir", "-p", "/My Drive") == "type: mkdir -p '/My Drive'"


def test_everything_that_happens_has_its_row() -> None:
    status = msgspec.structs.replace(
        STATUS,
        state=DriveState.LISTING,
        message="3 deletes are held",
        initial_sync=InitialSync(done=False, directories=2, entries=5),
        pending=Pending(entries=2, bytes=2048),
        transfers=(Transfer("a", "down", 1024, 2048, 512), Transfer("b", "up", 5, 0)),
        errors=(EntryError("x\x1b", "refused", NOW),),
    )
    rows = status_text.rows(status)
    for row in (
        ("state", "listing – 3 deletes are held"),
        ("first sync", "5 entries in 2 folders so far"),
        ("entries", "5: 2 hydrated, 3 placeholder"),
        ("to send", "2 entries, 2.0 KiB"),
        ("transfer", "down a 1.0 KiB (50 %), 512 B/s"),
        ("transfer", "up b 5 B, 0 B/s"),
        ("error", "x\\x1b: refused"),
    ):
        assert row in rows


def test_a_panel_takes_no_markup_from_outside() -> None:
    from rich.console import Console

    status = msgspec.structs.replace(STATUS, message="[red]not a colour[/red]")
    console = Console(file=io.StringIO(), width=100, force_terminal=False)
    console.print(status_text.panels([status]))
    assert isinstance(console.file, io.StringIO)
    assert "[red]not a colour[/red]" in console.file.getvalue()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, 0),
        ({"state": DriveState.OFFLINE}, 4),
        ({"state": DriveState.ATTENTION}, 3),
        ({"state": DriveState.NEEDS_RESET}, 3),
        ({"state": DriveState.UNMOUNTED}, 0),
        ({"state": DriveState.OFFLINE, "counts": Counts(conflict=1)}, 3),
        ({"errors": (EntryError("x", "refused", NOW),)}, 3),
    ],
)
def test_the_exit_code_says_whether_a_person_is_needed(changes: dict[str, object], code: int) -> None:
    assert exit_code([STATUS, msgspec.structs.replace(STATUS, **changes)]) == code
