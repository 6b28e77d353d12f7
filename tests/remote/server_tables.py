"""What `docs/servers.md` says of each server, measured on it: `python -m tests.remote.server_tables` writes the file.

The capabilities and the counts of requests are held by `test_server_tables.py`; the races are counted by 200 rounds
each when the file is written, and by fewer in the tests.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import trio

from drivefs.model import Observation, Ref
from drivefs.remote.content import BytesContent
from drivefs.remote.writing import NOTHING, Done, NewFile, Outcome, WriteCapabilities
from tests.remote.journal import MemoryJournal
from tests.remote.races import LOST, NONE_WON, NOTICED, ONE_WON, Race
from tests.remote.writing_worlds import WRITABLE_SERVERS, WritableFarm, WritableServerWorld

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "servers.md"
ROUNDS: Final = 200
BATCH: Final = 20

COLUMNS: Final = {
    "wsgidav": "WsgiDAV 4.4",
    "apache": "Apache 2.4 mod_dav_fs",
    "apache-deflate": "Apache, mod_deflate",
    "apache-tls": "Apache, TLS, password",
    "apache-nolock": "Apache, no LOCK",
    "nginx": "nginx 1.22 dav-ext",
    "nginx-nolock": "nginx, no LOCK",
    "lighttpd": "lighttpd 1.4",
    "rclone": "rclone 1.60 (Go)",
    "sabre": "sabre/dav 1.8",
}
CAPABILITIES: Final = {
    "atomic_put": "an interrupted PUT leaves what was there",
    "put_creates": "PUT refuses a name that is taken",
    "checks_put": "PUT checks the version when all bytes are in",
    "checks_move": "MOVE checks the version",
    "checks_delete": "DELETE checks the version",
    "checks_mkdir": "MKCOL refuses a name that is taken",
    "moves_keep_version": "a rename within a folder keeps ETag and time",
    "locks": "locks",
    "finds_locks": "a lock is found again when its answer was lost",
    "unusable": "characters that no name may have",
}


async def capabilities(world: WritableServerWorld) -> WriteCapabilities:
    remote = world.open_writable()
    await remote.connect()
    journal = MemoryJournal()
    learned = await remote.prepare(journal)
    assert (journal.left, world.names()) == ({}, set())
    await remote.aclose()
    return learned


class Meter:
    """Counts requests, one operation at a time."""

    def __init__(self, world: WritableServerWorld) -> None:
        self.world = world
        self.remote = world.open_writable(hook=self._count)
        self.journal = MemoryJournal()
        self.sent = 0

    def _count(self, event: str, method: str, path: str) -> None:
        self.sent += event == "request"

    def taken(self) -> int:
        sent, self.sent = self.sent, 0
        return sent

    async def measure(self) -> dict[str, int]:
        """Requests by operation."""
        remote, journal = self.remote, self.journal
        await remote.connect()
        await remote.prepare(journal)
        table: dict[str, int] = {}
        file, moved, folder = Ref(("file",)), Ref(("moved",)), Ref(("folder",))
        self.taken()
        observed = told(await remote.write(file, BytesContent(b"1"), expected=NOTHING, journal=journal))
        table["new small file"] = self.taken()
        told(await remote.mkdir(folder))
        table["new folder"] = self.taken()
        files = [NewFile(f"{number}", BytesContent(b"1")) for number in range(BATCH)]
        for outcome in await remote.create(folder, files, journal):
            told(outcome)
        table[f"{BATCH} new small files in a folder"] = self.taken()
        observed = told(await remote.write(file, BytesContent(b"22"), expected=observed.version, journal=journal))
        table["replace"] = self.taken()
        observed = told(await remote.move(file, moved, expected=observed.version))
        table["rename"] = self.taken()
        assert await remote.delete(moved, expected=observed.version) == Done()
        table["delete"] = self.taken()
        await remote.list(folder)
        table["list a folder"] = self.taken()
        await remote.aclose()
        assert journal.left == {}
        return table


def told(outcome: Outcome) -> Observation:
    assert isinstance(outcome, Done), outcome
    assert outcome.observed is not None
    return outcome.observed


async def race(world: WritableServerWorld, kind: str, rounds: int) -> Counter[str]:
    """`kind`: create or replace."""
    contest = Race(world)
    await contest.open()
    counts = await (contest.create(rounds) if kind == "create" else contest.replace(rounds))
    await contest.aclose()
    return counts


def table(first: str, names: Sequence[str], rows: Mapping[str, Mapping[str, str]]) -> str:
    """Markdown; `rows` by heading, then by server."""
    lines = [f"| {first} | {' | '.join(COLUMNS[name] for name in names)} |", "|---" * (len(names) + 1) + "|"]
    lines += [f"| {heading} | {' | '.join(cells[name] for name in names)} |" for heading, cells in rows.items()]
    return "\n".join(lines)


def capability_table(learned: Mapping[str, WriteCapabilities]) -> str:
    def cell(name: str, field: str) -> str:
        value = getattr(learned[name], field)
        if isinstance(value, str):
            return " ".join(f"`{character}`" for character in value) or "–"
        return "yes" if value else "–"

    rows = {words: {name: cell(name, field) for name in learned} for field, words in CAPABILITIES.items()}
    return table("", list(learned), rows)


def window_list(learned: Mapping[str, WriteCapabilities]) -> str:
    return "\n".join(f"- {COLUMNS[name]}: {can.window or 'nothing known'}" for name, can in learned.items())


def request_table(measured: Mapping[str, Mapping[str, int]]) -> str:
    operations = next(iter(measured.values())).keys()
    rows = {operation: {name: str(measured[name][operation]) for name in measured} for operation in operations}
    return table("requests", list(measured), rows)


def race_table(counted: Mapping[str, Mapping[str, Counter[str]]]) -> str:
    names = list(counted)
    rows = {
        f"{words}: {what}": {name: str(counted[name][kind][what]) for name in names}
        for kind, words in (("create", "same new name"), ("replace", "same version"))
        for what in (ONE_WON, NONE_WON, NOTICED, LOST)
    }
    return table(f"of {ROUNDS} rounds", names, rows)


TEXT = """# What servers do

Measured by `python -m tests.remote.server_tables` on the versions of Debian 12; the tests hold that it is still so.

## Changes

Where a server checks nothing by itself, drivefs sends the bytes aside, takes a lock, compares, renames, and unlocks.
After every change it looks at what is there. Servers that are not known are put to a test on files of our own, in a
folder of our own, before the first change (here: rclone).

{capabilities}

What another client could still do unnoticed:

{windows}

On every server a file that somebody makes in a folder in the milliseconds between the look that shows the folder empty
and its removal goes with it; and who changes files on the server itself, past WebDAV, is not stopped by locks.

## Requests

{requests}

Taking over a name that is in use costs a lock on most servers; several new files in one folder are verified by one
listing where one PUT is enough to create a file.

## Races

Two clients, each with connections of its own, write other bytes to one name in the same moment. *One won* means that
the other was told of the conflict, with its bytes kept. *None won*: both were told to come again. Bytes that were sent
stay on this computer until the server's clock is two seconds past their version, so a loser that sees another version
then still has them.

{races}
"""


async def write(path: Path) -> None:
    learned: dict[str, WriteCapabilities] = {}
    measured: dict[str, dict[str, int]] = {}
    counted: dict[str, dict[str, Counter[str]]] = {}
    with ExitStack() as stack:
        farm = WritableFarm(stack)
        for name in WRITABLE_SERVERS:
            learned[name] = await capabilities(farm.world(name))
            measured[name] = await Meter(farm.world(name)).measure()
            counted[name] = {kind: await race(farm.world(name), kind, ROUNDS) for kind in ("create", "replace")}
            sys.stderr.write(f"{name}: { ({kind: dict(counts) for kind, counts in counted[name].items()}) }\n")
    text = TEXT.format(
        capabilities=capability_table(learned),
        windows=window_list(learned),
        requests=request_table(measured),
        races=race_table(counted),
    )
    await trio.Path(path).write_text(text)


if __name__ == "__main__":
    trio.run(write, DOCUMENT)
