"""A journal of staging names that keeps everything in memory."""

from __future__ import annotations

import trio

from drivefs.model import Ref
from drivefs.remote.writing import Staged


class MemoryJournal:
    """`left` is what a crash now would leave to clean up."""

    def __init__(self) -> None:
        self.left: dict[Ref, Staged] = {}
        self.begun = 0

    async def begin(self, staged: Staged) -> None:
        await trio.lowlevel.checkpoint()
        self.begun += 1
        self.left[staged.place] = staged

    async def end(self, staged: Staged) -> None:
        await trio.lowlevel.checkpoint()
        del self.left[staged.place]
