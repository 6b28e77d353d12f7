"""What follows from what was seen: pure functions from pictures to ordered actions. Nothing here acts.

So far the remote's half of the table: rows 1 (create), 2 (modify), 3 (delete) and 4 (rename) with no local change,
for directions that pull. Deletes are only ever *candidates* here: that a name is missing from a listing proves
nothing, so `sync/observe.py` asks for each of them, and `removals_allowed` has the last word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from drivefs.model import Inode, Kind, Listing, Observation, Version

MASS_DELETE_MINIMUM = 10
MASS_DELETE_LIMIT = 10_000
MASS_DELETE_WINDOW = 3600.0
"""Seconds that deletes are added up over."""


class Known(msgspec.Struct, frozen=True, gc=False):
    """The remote picture of one entry, as last observed."""

    inode: Inode
    name: str
    kind: Kind
    version: Version
    seen: float | None
    settled: bool


class Appear(msgspec.Struct, frozen=True, gc=False):
    """Row 1: a remote entry that was not known appears here."""

    observation: Observation


class Adopt(msgspec.Struct, frozen=True, gc=False):
    """Row 2: a known entry is at another version. `content` is False when only a directory's own facts moved."""

    inode: Inode
    observation: Observation
    content: bool


class Confirm(msgspec.Struct, frozen=True, gc=False):
    """The known version was seen again, and now it is settled, or parts of it that were unknown are told."""

    inode: Inode
    observation: Observation
    settled: bool


class Missing(msgspec.Struct, frozen=True, gc=False):
    """Row 3, perhaps: a known entry was not in the listing, or stands there as another kind. To be asked for."""

    inode: Inode
    name: str
    clash: bool = False
    """The name stands in the listing as another kind."""


Action = Appear | Adopt | Confirm | Missing


def plan_listing(known: Mapping[str, Known], listing: Listing) -> list[Action]:
    """Compare what is known of one directory's children with a complete listing of it.

    Equal entries yield nothing. Appearances and changes come first, candidates for removal last. A name that is
    now of another kind yields only Missing: once the old entry is gone, the next look at it is a row 1.
    """
    actions: list[Action] = []
    missing: list[Action] = []
    unseen = dict(known)
    for observation in listing.children:
        entry = unseen.pop(observation.name, None)
        if entry is None:
            actions.append(Appear(observation))
        elif entry.kind is not observation.kind:
            missing.append(Missing(entry.inode, entry.name, clash=True))
        elif (action := plan_known(entry, observation)) is not None:
            actions.append(action)
    missing.extend(Missing(entry.inode, entry.name) for entry in unseen.values())
    return actions + missing


def plan_known(entry: Known, observation: Observation) -> Adopt | Confirm | None:
    """One known entry, seen again as the same kind."""
    if observation.kind is Kind.DIRECTORY:
        moved = observation.version != entry.version
        return Adopt(entry.inode, observation, content=False) if moved else None
    if not entry.version.same(observation.version):
        return Adopt(entry.inode, observation, content=True)
    settled = entry.settled or observation.settled(entry.seen)
    if settled != entry.settled or tells_more(entry.version, observation.version):
        return Confirm(entry.inode, observation, settled)
    return None


def tells_more(known: Version, seen: Version) -> bool:
    """True when `seen` has a part that `known` lacks."""
    return any(
        mine is None and theirs is not None
        for mine, theirs in (
            (known.etag, seen.etag),
            (known.size, seen.size),
            (known.mtime_ns, seen.mtime_ns),
            (known.file_id, seen.file_id),
        )
    )


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """A file that appeared or is gone, as far as a guess about a rename needs it. `settled` and `unique` (its ETag
    is on no other entry) are conditions, not hints."""

    inode: Inode
    version: Version
    settled: bool
    unique: bool


def guess_renames(gone: Iterable[Candidate], appeared: Iterable[Candidate]) -> list[tuple[Inode, Inode]]:
    """Row 4 without file ids: pairs (inode that is gone, inode that appeared) that are one file, renamed.

    Only a guess, made on: size > 0, a strong settled ETag, found on exactly one entry on either side. Size and
    mtime alone never make one. The guess may keep inode and cache, nothing more.
    """
    by_etag = {c.version.etag: c for c in appeared if _can_be_guessed(c)}
    pairs = []
    for candidate in gone:
        match = by_etag.get(candidate.version.etag) if _can_be_guessed(candidate) else None
        if match is not None and match.version.same(candidate.version):
            pairs.append((candidate.inode, match.inode))
    return pairs


def _can_be_guessed(candidate: Candidate) -> bool:
    version = candidate.version
    return bool(version.size and version.etag and not version.weak and candidate.settled and candidate.unique)


class Census(msgspec.Struct, frozen=True, gc=False):
    """The records of a drive and what became of them lately, for the guard against mass deletion.

    `records`: entries with a record at the start of the window (`MASS_DELETE_WINDOW`); `removed`: those removed
    within it.
    """

    records: int
    removed: int


def removals_allowed(planned: int, census: Census, max_delete: str | None = None) -> bool:
    """Whether `planned` more records may be removed. `max_delete` is the user's own limit: `N` or `N%`."""
    total = planned + census.removed
    if max_delete is not None:
        if max_delete.endswith("%"):
            return total * 100 <= census.records * float(max_delete[:-1])
        return total <= int(max_delete)
    if total > MASS_DELETE_LIMIT:
        return False
    return total < MASS_DELETE_MINIMUM or total * 2 <= census.records
