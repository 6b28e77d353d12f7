"""Two clients that change one name in the same moment, again and again, and what became of it."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import Final

import trio

from drivefs.errors import RemoteError
from drivefs.model import Ref, Version
from drivefs.remote.content import BytesContent
from drivefs.remote.writing import NOTHING, Done, Outcome, WritableRemote
from tests.remote.journal import MemoryJournal
from tests.remote.writing_worlds import WritableServerWorld

ONE_WON: Final = "one won"
NONE_WON: Final = "none won"
NOTICED: Final = "both were told yes, and the loser sees it when its version settles"
LOST: Final = "both were told yes, and the loser cannot see it"
BLIND: Final = "the winner was told something else than what is there"
LEFT: Final = "something of ours was left"


class Race:
    """Each side has a client of its own, with its own connections."""

    def __init__(self, world: WritableServerWorld) -> None:
        self.world = world
        self.remotes: list[WritableRemote] = [world.open_writable(), world.open_writable()]
        self.journal = MemoryJournal()

    async def open(self) -> None:
        for remote in self.remotes:
            await remote.connect()
            await remote.prepare(self.journal)

    async def aclose(self) -> None:
        for remote in self.remotes:
            await remote.aclose()

    async def create(self, rounds: int) -> Counter[str]:
        """Both create the same new name."""
        return Counter([await self._round(Ref((f"new {number}",)), NOTHING, number) for number in range(rounds)])

    async def replace(self, rounds: int) -> Counter[str]:
        """Both replace the same version of one name; the next round starts from what is there then."""
        ref, counts = Ref(("file",)), Counter[str]()
        self.world.put(ref.path, b"")
        for number in range(rounds):
            base = (await self.remotes[0].stat(ref)).version
            counts[await self._round(ref, base, number)] += 1
        return counts

    async def _round(self, ref: Ref, expected: Version | None, number: int) -> str:
        """The lengths differ, so that versions do, also where times are whole seconds."""
        contents = [BytesContent(b"a" * (2 * number + 1)), BytesContent(b"b" * (2 * number + 2))]
        outcomes: list[Outcome | None] = [None, None]

        async def run(side: int) -> None:
            with suppress(RemoteError):  # nothing was changed
                outcomes[side] = await self.remotes[side].write(
                    ref, contents[side], expected=expected, journal=self.journal
                )

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, 0)
            nursery.start_soon(run, 1)
        for side in (0, 1):
            await self._put_away(side, outcomes[side])
        return await self._judge(ref, contents, outcomes)

    async def _put_away(self, side: int, outcome: Outcome | None) -> None:
        staged = getattr(outcome, "staged", None)
        if staged is not None:
            await self.remotes[side].discard(staged, self.journal)

    async def _judge(self, ref: Ref, contents: list[BytesContent], outcomes: list[Outcome | None]) -> str:
        if self.journal.left or self.world.names() - {ref.name} - {f"new {number}" for number in range(1000)}:
            return LEFT
        won = [side for side in (0, 1) if isinstance(outcomes[side], Done)]
        there = await self.remotes[0].stat(ref)
        right = [side for side in won if observed_in(outcomes[side]).same(there.version)]
        if len(won) == 2:
            return NOTICED if len(right) == 1 and self._holds(ref, contents[right[0]]) else LOST
        if not won:
            return NONE_WON
        return ONE_WON if right == won and self._holds(ref, contents[won[0]]) else BLIND

    def _holds(self, ref: Ref, content: BytesContent) -> bool:
        return self.world.content(ref.path) == content.data


def observed_in(outcome: Outcome | None) -> Version:
    """The version that the winner was told."""
    assert isinstance(outcome, Done)
    assert outcome.observed is not None
    return outcome.observed.version
