"""Row 3 and its guards: what is missing from a listing is removed only when it is proven to be gone.

In this order: ask for the entry itself, and for its parent; pair what is gone with what appeared (a rename, guessed);
ask the guard against mass deletion; keep the bytes of whole files in the trash; only then remove.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress

import msgspec
import trio

from drivefs.errors import NoSuchEntry, NotFound, alone
from drivefs.model import ContentId, Entry, Inode, Kind, Ref
from drivefs.plan import MASS_DELETE_WINDOW, Candidate, Census, guess_renames, removals_allowed
from drivefs.remote.base import Remote
from drivefs.store.blocks import BlockStore
from drivefs.store.takeover import Takeover
from drivefs.store.trash import Trash
from drivefs.store.tree import Tree

log = logging.getLogger(__name__)

PARALLEL = 4
REASON = "removed on the server"


class Removed(msgspec.Struct, frozen=True):
    """What became of the missing. `held` are proven to be gone, but too many to go without being asked."""

    renamed: int = 0
    removed: int = 0
    held: frozenset[Inode] = frozenset()


class Removal:
    def __init__(
        self,
        remote: Remote,
        tree: Tree,
        takeover: Takeover,
        blocks: BlockStore,
        trash: Trash,
        max_delete: str | None = None,
    ) -> None:
        self._remote = remote
        self._tree = tree
        self._takeover = takeover
        self._blocks = blocks
        self._trash = trash
        self._max_delete = max_delete

    async def settle(
        self, missing: Iterable[Inode], appeared: Iterable[Inode], *, hold: bool, accepted: frozenset[Inode]
    ) -> Removed:
        """Find out what became of `missing`, and do it.

        `appeared`: entries that this sync brought, for the guess. `hold`: remove nothing whatever the numbers (the
        root came back empty, or as another root). `accepted`: entries that a person agreed to remove.
        Raises RemoteError when asking failed; what was not proven stays.
        """
        gone = await self._prove(missing)
        renamed = self._pair(gone, appeared)
        gone = [inode for inode in gone if self._tree.exists(inode) and inode not in renamed]
        removed = 0
        for inode in [inode for inode in gone if inode in accepted]:
            removed += await self._remove(inode)
        gone = [inode for inode in gone if inode not in accepted]
        planned = sum(len(self._tree.subtree(inode)) for inode in gone)
        if hold or not removals_allowed(planned, self._census(), self._max_delete):
            return Removed(len(renamed), removed, frozenset(gone))
        for inode in gone:
            removed += await self._remove(inode)
        return Removed(len(renamed), removed)

    def begin(self) -> None:
        """Count the records before a sync (and after the first one, which began with none), so that later ones can tell
        how many there were an hour ago."""
        now = time.time()
        with self._tree.db.transaction():
            self._tree.db.execute("INSERT OR REPLACE INTO census VALUES (?, ?, 0)", (now, self._tree.record_count()))
            self._tree.db.execute("DELETE FROM census WHERE at < ?", (now - 2 * MASS_DELETE_WINDOW,))

    def _census(self) -> Census:
        since = time.time() - MASS_DELETE_WINDOW
        rows = self._tree.db.execute(
            "SELECT records, removed FROM census WHERE at >= ? ORDER BY at", (since,)
        ).fetchall()
        if not rows:
            return Census(self._tree.record_count(), 0)
        return Census(rows[0][0], sum(removed for _, removed in rows))

    async def _prove(self, missing: Iterable[Inode]) -> list[Inode]:
        """Those that an answer about that very entry says are gone, topmost first, none twice."""
        gone: set[Inode] = set()
        parents: dict[Inode, bool] = {}
        limiter = trio.CapacityLimiter(PARALLEL)

        async def ask(inode: Inode) -> None:
            async with limiter:
                with suppress(NoSuchEntry):  # changed here while we asked: the next sync looks again
                    if await self._is_gone(inode, parents):
                        gone.add(inode)

        with alone():
            async with trio.open_nursery() as nursery:
                for inode in set(missing):
                    nursery.start_soon(ask, inode)
        return self._topmost({inode for inode in gone if self._tree.exists(inode)})

    async def _is_gone(self, inode: Inode, parents: dict[Inode, bool]) -> bool:
        try:
            entry, ref, parent = self._tree.get(inode), self._tree.ref(inode), self._tree.remote_parent(inode)
        except NoSuchEntry:
            return False  # gone already, with a directory above it
        if not await self._absent(ref, entry.kind):
            return False
        if parent not in parents:
            parents[parent] = not await self._absent(self._tree.ref(parent), Kind.DIRECTORY)
        if not parents[parent]:
            return False  # then the parent is the one to ask for
        if self._remote.capabilities.hides_dotfiles:
            return await self._hidden_are_gone(inode)
        return True

    async def _absent(self, ref: Ref, kind: Kind) -> bool:
        """Whether the server said that there is no such entry there (one of another kind is another entry)."""
        try:
            return (await self._remote.stat(ref)).kind is not kind
        except NotFound:
            return True

    async def _hidden_are_gone(self, inode: Inode) -> bool:
        """The server leaves dotfiles out of its listings: each that we know at or below `inode` is asked for."""
        for number in self._tree.subtree(inode):
            entry = self._tree.get(number)
            if entry.name.startswith(".") and not await self._absent(self._tree.ref(number), entry.kind):
                return False
        return True

    def _topmost(self, gone: set[Inode]) -> list[Inode]:
        """Entries below others that go too go with them."""
        top = []
        for inode in sorted(gone):
            above = self._tree.get(inode).parent
            while above not in gone and above != self._tree.get(above).parent:
                above = self._tree.get(above).parent
            if above not in gone:
                top.append(inode)
        return top

    def _pair(self, gone: Iterable[Inode], appeared: Iterable[Inode]) -> set[Inode]:
        """Row 4 without ids: `gone` files that stand elsewhere now keep inode and cache. Returns those."""
        if self._remote.capabilities.file_ids or not self._remote.capabilities.strong_etags:
            return set()
        old = self._files(gone)
        # What was opened or read at its new place already keeps the inode that it has there.
        new = [e for e in self._files(appeared) if not e.cached and not self._tree.references.is_open(e.inode)]
        etags = {e.version.etag for e in old if e.version.etag} & {e.version.etag for e in new if e.version.etag}
        if not etags:
            return set()
        holders = Counter(etag for _, etag in self._tree.with_etags(etags))
        pairs = guess_renames([_candidate(e, holders) for e in old], [_candidate(e, holders) for e in new])
        with self._tree.transaction():
            for gone_inode, new_inode in pairs:
                self._takeover.replace(gone_inode, new_inode)
        return {gone_inode for gone_inode, _ in pairs}

    def _files(self, inodes: Iterable[Inode]) -> list[Entry]:
        entries = [self._tree.get(inode) for inode in inodes if self._tree.exists(inode)]
        return [entry for entry in entries if entry.kind is Kind.FILE]

    async def _remove(self, inode: Inode) -> int:
        """Whole files below go to the trash, then the rows. Returns how many records went; what the trash cannot take,
        and what came back meanwhile, stays for the next sync to look at."""
        try:
            before = self._contents(inode)
            kept = [await self._keep(entry) for entry in map(self._tree.get, self._tree.subtree(inode))]
            if self._contents(inode) != before:
                return 0  # it came back while its bytes were being kept: the proof was about what was there before
            with self._tree.transaction():
                for file, entry, path in filter(None, kept):
                    self._trash.add(file, path, entry.size, entry.mtime_ns, REASON)
                count = self._takeover.remove(inode)
                self._tree.db.execute(
                    "UPDATE census SET removed = removed + ? WHERE at = (SELECT max(at) FROM census)", (count,)
                )
        except NoSuchEntry:
            return 0
        except OSError as error:
            log.warning("inode %d stays, though it is gone on the server: the trash cannot take it: %s", inode, error)
            return 0
        return count

    def _contents(self, inode: Inode) -> list[tuple[Inode, ContentId]]:
        return [(entry.inode, entry.content) for entry in map(self._tree.get, self._tree.subtree(inode))]

    async def _keep(self, entry: Entry) -> tuple[str, Entry, str] | None:
        """Put a file that is whole here into the trash folder; None when it is not."""
        if entry.kind is not Kind.FILE or not entry.size or entry.cached < entry.size or not entry.settled:
            return None
        path = "/".join(self._tree.path(entry.inode))
        file = self._trash.new_name()
        if not await self._blocks.export(entry.inode, entry.content, entry.size, self._trash.unfinished(file)):
            return None
        await trio.to_thread.run_sync(self._trash.finish, file)
        return file, entry, path


def _candidate(entry: Entry, holders: Mapping[str, int]) -> Candidate:
    """Old and new place of one renamed file both carry its ETag: two holders are unique, three are not."""
    return Candidate(entry.inode, entry.version, entry.settled, unique=holders.get(entry.version.etag or "", 0) == 2)
