"""The JSON of the command line, key by key: scripts and other programs rely on it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from drivefs.config import DriveSettings
from drivefs.control import messages
from drivefs.control.messages import DriveState, DriveStatus, EntryError, StatusReport, decode, encode, moment
from drivefs.model import State
from tests.control.fake import STATUS

COUNTERS = {"entries", "pinned", "whiteout", "hidden", "trash", "remote-only"}


def as_json(message: object) -> Any:
    return json.loads(encode(message))


def test_status_has_exactly_the_keys_of_the_contract() -> None:
    error = EntryError(path="x", reason="refused", since=moment(0))
    report = as_json(StatusReport((msgspec.structs.replace(STATUS, errors=(error,)),)))
    assert list(report) == ["drives"]
    drive = report["drives"][0]
    assert set(drive) == {
        *("name", "mountpoint", "remote", "server", "direction", "mounted", "pid", "state", "message"),
        *("initial_sync", "last_sync", "next_sync", "interval_s", "pending", "transfers", "counts", "cache"),
        *("requests", "down_bytes", "up_bytes", "errors"),
    }
    assert set(drive["initial_sync"]) == {"done", "directories", "entries"}
    assert set(drive["pending"]) == {"entries", "bytes"}
    assert set(drive["transfers"][0]) == {"path", "way", "done", "total", "rate"}
    assert set(drive["cache"]) == {"used", "limit"}
    assert set(drive["requests"]) == {"total", "failed"}
    assert set(drive["errors"][0]) == {"path", "reason", "since"}


def test_counts_name_every_state_and_the_counters_beside() -> None:
    assert set(as_json(messages.Counts())) == {state.value for state in State} | COUNTERS


def test_the_states_of_a_drive_are_those_of_the_contract() -> None:
    assert "|".join(DriveState) == "idle|listing|syncing|paused|offline|attention|needs-reset|unmounted"


def test_the_status_of_one_entry_has_exactly_the_keys_of_the_contract() -> None:
    entry = messages.EntryStatus(path="a", state="partial", pinned=True, size=2, cached=1, version=None)
    assert list(as_json(entry)) == ["path", "state", "pinned", "size", "cached", "version", "reason"]


def test_a_planned_action_has_exactly_the_keys_of_the_contract() -> None:
    action = messages.PlannedAction(action="pull", path="a", bytes=1, why="new")
    assert list(as_json(action)) == ["action", "path", "bytes", "why"]


def test_times_are_utc_in_whole_seconds() -> None:
    assert as_json(STATUS)["last_sync"] == "2026-11-22T14:03:05Z"


def test_names_that_are_no_text_survive_the_way() -> None:
    line = encode(STATUS)
    assert line.isascii()
    assert "\n" not in line
    assert decode(line, DriveStatus) == STATUS


@pytest.mark.parametrize("text", ["", "{}", "[1]", "nonsense"])
def test_nonsense_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 the kind is what is promised
        decode(text, DriveStatus)


def test_an_unmounted_drive_is_told_from_its_settings() -> None:
    settings = DriveSettings(name="d", mountpoint="/m", remote="demo:", interval=5.0, cache_size=7)
    status = messages.unmounted(settings)
    assert (status.state, status.mounted, status.pid, status.cache.limit) == (DriveState.UNMOUNTED, False, None, 7)
