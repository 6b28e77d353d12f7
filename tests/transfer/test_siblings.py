"""Who reads many small files of a folder in order gets the next ones early; nobody else gets anything unasked."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivefs.errors import NotPermitted
from drivefs.model import ContentId, Entry, Inode, Kind
from drivefs.remote.faulty import Call, Fault
from drivefs.transfer.siblings import FIRST_WINDOW, LAST_WINDOW, SIBLING_BYTES, Siblings
from tests.transfer.world import World, pattern, read

FOLDER = Inode(1)


def entry(name: str, size: int = 100, *, cached: int = 0, settled: bool = True, kind: Kind = Kind.FILE) -> Entry:
    number = sum(map(ord, name)) + 10
    return Entry(
        Inode(number), FOLDER, name, kind, size, 0, 0, 0o644, ContentId(number), cached=cached, settled=settled
    )


class Folder:
    """Entries in the order of their names, and what fetching ahead asked for."""

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = sorted(entries, key=lambda entry: entry.name)
        self.siblings = Siblings(self.following)

    def following(self, directory: Inode, name: str, limit: int) -> list[Entry]:
        return [entry for entry in self.entries if entry.name > name][:limit]

    def open(self, name: str, *, missed: bool = False) -> list[str]:
        opened = next(entry for entry in self.entries if entry.name == name)
        wanted = [entry.name for entry in self.siblings.opened(opened)]
        if missed:
            self.siblings.missed(opened)
        return wanted


def many(count: int) -> Folder:
    return Folder([entry(f"f{number:03}") for number in range(count)])


def test_one_file_brings_nothing_along() -> None:
    assert many(10).open("f000", missed=True) == []


def test_the_second_in_order_brings_the_next_few_and_the_window_grows() -> None:
    folder = many(200)
    folder.open("f000", missed=True)
    assert folder.open("f001") == ["f002", "f003", "f004", "f005"]
    most = FIRST_WINDOW
    for number in range(2, 100):
        most = max(most, len(folder.open(f"f{number:03}")))
    assert FIRST_WINDOW < most <= LAST_WINDOW


def test_every_file_is_asked_for_once_and_stays_in_reach_of_the_reader() -> None:
    folder = many(300)
    folder.open("f000", missed=True)
    asked = [name for number in range(1, 300) for name in folder.open(f"f{number:03}")]
    assert asked == [f"f{number:03}" for number in range(2, 300)]


def test_files_that_are_here_bring_nothing() -> None:
    folder = many(10)
    assert [folder.open(f"f{number:03}") for number in range(5)] == [[]] * 5, "without a miss there is no run"


def test_a_step_back_ends_the_run() -> None:
    folder = many(10)
    folder.open("f005", missed=True)
    assert folder.open("f002") == []
    assert folder.open("f003") == []


def test_who_picks_files_here_and_there_gets_none_of_those_between() -> None:
    folder = many(200)
    folder.open("f000", missed=True)
    assert [folder.open(f"f{number:03}", missed=True) for number in range(20, 200, 20)] == [[]] * 9


def test_who_leaves_out_one_now_and_then_still_reads_all() -> None:
    folder = many(20)
    folder.open("f000", missed=True)
    assert folder.open("f002") == ["f003", "f004", "f005", "f006"]


@pytest.mark.parametrize(
    "other",
    [
        entry("f2", SIBLING_BYTES + 1),
        entry("f2", cached=100),
        entry("f2", settled=False),
        entry("f2", 0),
        entry("f2", kind=Kind.DIRECTORY),
    ],
    ids=["large", "here", "unsettled", "empty", "folder"],
)
def test_what_is_not_worth_it_is_left_out(other: Entry) -> None:
    folder = Folder([entry("f0"), entry("f1"), other, entry("f3")])
    folder.open("f0", missed=True)
    assert folder.open("f1") == ["f3"]


def test_an_error_ends_the_run() -> None:
    folder = many(10)
    folder.open("f000", missed=True)
    folder.siblings.failed(folder.entries[3])
    assert folder.open("f001") == []


async def test_files_fetched_ahead_are_right_and_come_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    files = {f"f{number:02}": pattern(1000 + number, number) for number in range(30)}
    entries = [world.put(name, data) for name, data in files.items()]
    world.following = lambda directory, name, limit: [e for e in entries if e.name > name][:limit]
    async with world.start() as downloads:
        for file in entries:
            shared = downloads.open(file)
            assert await read(shared, 0, file.size) == files[file.name]
            shared.close()
    assert len(world.asked()) == len(files)


async def test_a_file_that_fails_ahead_fails_only_for_who_opens_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    entries = [world.put(f"f{number}", pattern(100, number)) for number in range(6)]
    world.following = lambda directory, name, limit: [e for e in entries if e.name > name][:limit]

    def decide(call: Call) -> Fault | None:
        return Fault(before=NotPermitted("403")) if call.ref.name == "f3" else None

    world.remote.decide = decide
    async with world.start() as downloads:
        for file in entries:
            shared = downloads.open(file)
            if file.name == "f3":
                with pytest.raises(NotPermitted):
                    await read(shared, 0, 100)
            else:
                assert await read(shared, 0, 100) == world.share.content(file.name)
            shared.close()
