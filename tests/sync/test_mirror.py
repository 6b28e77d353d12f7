"""`content = "mirror"`: everything is pulled, and pulled again when it changes, as far as the disk has room."""

from __future__ import annotations

from pathlib import Path

import trio

from drivefs.errors import NoSpace, Unreachable
from drivefs.model import Entry, Inode
from drivefs.sync.mirror import PARALLEL, Mirror
from tests.sync.world import World, share, world

GIB = 1 << 30


class Fetches:
    """Brings contents at once, and remembers which; `fail` is raised for those names."""

    def __init__(self, made: World, contents: dict[str, bytes]) -> None:
        self._made = made
        self._contents = contents
        self.fetched: list[str] = []
        self.fail: dict[str, Exception] = {}
        self.running = self.most = 0

    async def fetch(self, entry: Entry) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        await trio.lowlevel.checkpoint()
        self.running -= 1
        self.fetched.append(entry.name)
        if entry.name in self.fail:
            raise self.fail[entry.name]
        await self._made.cache("/".join(self._made.tree.path(entry.inode)), self._contents[entry.name])


CONTENTS = {f"file{n}": b"x" * n for n in range(1, 12)}


async def test_every_file_is_pulled_a_few_at_a_time(tmp_path: Path) -> None:
    async with world(tmp_path, share({f"a/{name}": data for name, data in CONTENTS.items()})) as made:
        fetches = Fetches(made, CONTENTS)
        await Mirror(made.tree, fetches, made.link, lambda: GIB).pull()
        assert sorted(fetches.fetched) == sorted(CONTENTS)
        assert fetches.most <= PARALLEL
        assert made.tree.incomplete_files(Inode(0), 10) == []


async def test_without_room_it_stops_and_says_so(tmp_path: Path) -> None:
    async with world(tmp_path, share(CONTENTS)) as made:
        fetches = Fetches(made, CONTENTS)
        mirror = Mirror(made.tree, fetches, made.link, lambda: 3)
        await mirror.pull()
        assert mirror.full
        assert "file11" not in fetches.fetched


async def test_a_full_disk_while_fetching_stops_it_too(tmp_path: Path) -> None:
    async with world(tmp_path, share(CONTENTS)) as made:
        fetches = Fetches(made, CONTENTS)
        fetches.fail = dict.fromkeys(CONTENTS, NoSpace("full"))
        mirror = Mirror(made.tree, fetches, made.link, lambda: GIB)
        await mirror.pull()
        assert mirror.full
        assert len(fetches.fetched) <= PARALLEL


async def test_a_file_that_fails_is_left_for_the_next_round(tmp_path: Path) -> None:
    async with world(tmp_path, share(CONTENTS)) as made:
        fetches = Fetches(made, CONTENTS)
        fetches.fail["file3"] = Unreachable("cut")
        mirror = Mirror(made.tree, fetches, made.link, lambda: GIB)
        await mirror.pull()
        assert [entry.name for entry in made.tree.incomplete_files(Inode(0), 10)] == ["file3"]
        fetches.fail.clear()
        await mirror.pull()
        assert made.tree.incomplete_files(Inode(0), 10) == []
