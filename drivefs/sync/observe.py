"""What is on the remote now: list one directory and take over what is new in it.

A listing is applied in small transactions, appearances and changes first, so that the loop stays free; that is safe
because it is complete before the first of them, and because each stands for itself. What is *missing* from a listing
is only returned: see `removal.py`.
"""

from __future__ import annotations

from itertools import islice

import msgspec
import trio

from drivefs.errors import NoSuchEntry, NotFound
from drivefs.model import ROOT, Entry, Inode, Listing, Observation
from drivefs.plan import Action, Adopt, Appear, Confirm, Missing, plan_known, plan_listing
from drivefs.remote.base import Remote
from drivefs.store.takeover import Takeover
from drivefs.store.tree import Tree

BATCH = 200
"""Actions per transaction: some milliseconds of the loop's time."""


class Observed(msgspec.Struct, frozen=True):
    """What one listing brought. `missing` is still there, here; `again` says that a name in it is of another kind now,
    so that the directory is to be listed again once the old entry is gone; `empty`, that it had no entry at all."""

    appeared: list[Inode]
    missing: list[Inode]
    changed: int = 0
    again: bool = False
    empty: bool = False


class Observer:
    def __init__(self, remote: Remote, tree: Tree, takeover: Takeover) -> None:
        self._remote = remote
        self._tree = tree
        self._takeover = takeover

    async def observe(self, directory: Inode) -> Observed:
        """List `directory` and take over what appeared and what changed.

        Raises RemoteError; then nothing was taken over. That the directory itself is not found is told as a missing
        entry, not as an error.
        """
        entry = self._tree.get(directory)
        try:
            listing = await self._remote.list(self._tree.ref(directory))
        except NotFound:
            if directory == ROOT:
                raise
            return Observed([], [directory])
        actions = plan_listing(self._tree.remote_children(directory), listing)
        if directory == ROOT and (known := self._tree.known(ROOT)) is not None:
            own = plan_known(known, msgspec.structs.replace(listing.directory, name=""))
            actions.extend([own] if own is not None else [])
        return await self._apply(entry, listing, actions)

    async def _apply(self, directory: Entry, listing: Listing, actions: list[Action]) -> Observed:
        missing = [action.inode for action in actions if isinstance(action, Missing)]
        appeared: list[Inode] = []
        changed = 0
        remaining = iter(actions)
        while batch := list(islice(remaining, BATCH)):
            moves = {a.observation.name: await self._moved(a.observation) for a in batch if isinstance(a, Appear)}
            with self._tree.transaction():
                for action in batch:
                    changed += self._take(directory, action, moves, appeared)
            await trio.lowlevel.checkpoint()
        if directory.listed is None or changed or listing.hidden:
            with self._tree.transaction():
                self._takeover.listed(directory.inode, listing.hidden)
        again = any(isinstance(action, Missing) and action.clash for action in actions)
        return Observed(appeared, missing, changed, again, empty=not listing.children and not listing.hidden)

    def _take(self, directory: Entry, action: Action, moves: dict[str, Inode | None], appeared: list[Inode]) -> bool:
        """One action; False when it did nothing, because its entry went away meanwhile."""
        try:
            match action:
                case Appear(observation):
                    if (inode := moves[observation.name]) is not None and self._tree.exists(inode):
                        self._move(inode, directory.inode, observation)
                    else:
                        tell = directory.listed is not None
                        appeared.extend(self._takeover.appear(directory.inode, action, tell=tell))
                case Adopt():
                    self._takeover.adopt(action)
                case Confirm():
                    self._takeover.confirm(action)
                case Missing():
                    return False
        except NoSuchEntry:
            return False
        return True

    async def _moved(self, observation: Observation) -> Inode | None:
        """Row 4 by file id: the entry that this one was until now, when its old place is proven to be empty."""
        file_id = observation.version.file_id
        if file_id is None:
            return None
        for inode in self._tree.with_file_id(file_id):
            entry = self._tree.get(inode)
            if inode == ROOT or entry.kind is not observation.kind:
                continue
            try:
                there = await self._remote.stat(self._tree.ref(inode))
            except NotFound:
                return inode
            if there.version.file_id != file_id:
                return inode
        return None

    def _move(self, inode: Inode, parent: Inode, observation: Observation) -> None:
        known = self._tree.known(inode)
        assert known is not None, "found by its file id, so it is known"
        if self._tree.is_below(parent, inode):
            # We still have the new parent below it: its own move is not known here yet. The next sync puts it right.
            return
        self._takeover.move(inode, parent, observation)
        change = plan_known(known, observation)
        if isinstance(change, Adopt):
            self._takeover.adopt(change)
        elif change is not None:
            self._takeover.confirm(change)
