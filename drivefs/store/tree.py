"""The tree of one drive: inodes, names, and what is known of them. Reading it never touches the network.

`Tree` answers; `takeover.Takeover` changes it after what was observed on the remote. Both work on the table `entry`
(see `db.py` for its columns). Every change commits before it is told to anybody: `transaction` collects `Changed`
events and sends them after the commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from drivefs.errors import NoSuchEntry
from drivefs.model import ROOT, Changed, ContentId, Entry, Inode, Kind, Ref, Version, decode_name, encode_name
from drivefs.plan import Known
from drivefs.store.db import Database
from drivefs.store.references import References

# The version of an entry's content is the record's; whether its ETag is weak only the remote picture tells.
_ENTRY = (
    "SELECT inode, parent, name, kind, size, mtime_ns, ctime_ns, mode, content, cached,"
    " b_etag, b_size, b_mtime_ns, b_id, r_weak, r_settled, r_seen, listed FROM entry"
)
_KNOWN = "SELECT inode, r_name, r_kind, r_etag, r_size, r_mtime_ns, r_id, r_weak, r_seen, r_settled FROM entry"


class Totals(msgspec.Struct, frozen=True):
    """Entries of a drive, without the root, by how much of them is here. A directory is hydrated when all below it is,
    else a placeholder; `directories` and those of them that are `unlisted` are counted beside."""

    directories: int = 0
    unlisted: int = 0
    hydrated: int = 0
    partial: int = 0
    placeholder: int = 0
    hidden: int = 0
    cached_bytes: int = 0

    @property
    def entries(self) -> int:
        return self.hydrated + self.partial + self.placeholder


class Tree:
    def __init__(self, db: Database, references: References, emit: Callable[[Changed], None]) -> None:
        self.db = db
        self.references = references
        self._emit = emit
        self._pending: list[Changed] = []
        self.changes = 0
        """Counts on with every change of an entry that may have been read before."""

    # --- reading

    def get(self, inode: Inode) -> Entry:
        """The entry; also one that lost its name while it is open. Raises NoSuchEntry."""
        row = self.db.execute(f"{_ENTRY} WHERE inode = ?", (inode,)).fetchone()
        return self.references.get_orphan(inode) if row is None else _entry(row)

    def exists(self, inode: Inode) -> bool:
        return self.db.execute("SELECT 1 FROM entry WHERE inode = ?", (inode,)).fetchone() is not None

    def find(self, parent: Inode, name: str) -> Entry | None:
        """The entry of that name, None when there is none (the directory may never have been listed)."""
        row = self.db.execute(f"{_ENTRY} WHERE parent = ? AND name = ?", (parent, encode_name(name))).fetchone()
        return None if row is None else _entry(row)

    def children(self, parent: Inode, after: str, limit: int) -> list[Entry]:
        """At most `limit` entries of a directory in the order of their bytes, from the first past `after`."""
        rows = self.db.execute(
            f"{_ENTRY} WHERE parent = ? AND name > ? ORDER BY name LIMIT ?", (parent, encode_name(after), limit)
        )
        return [_entry(row) for row in rows]

    def path(self, inode: Inode) -> tuple[str, ...]:
        """Names from the drive's root down to the entry, as programs see it. Raises NoSuchEntry."""
        return self._climb(inode, "parent", "name")

    def inode_at(self, path: tuple[str, ...]) -> Inode:
        """The inverse of `path`. Raises NoSuchEntry."""
        inode = ROOT
        for depth, name in enumerate(path, 1):
            entry = self.find(inode, name)
            if entry is None:
                raise NoSuchEntry(f"/{'/'.join(path[:depth])}: there is no such entry on this drive")
            inode = entry.inode
        return inode

    def ref(self, inode: Inode) -> Ref:
        """Where the entry is on the remote. Raises NoSuchEntry when it is not there, as far as we know."""
        row = self.db.execute("SELECT r_id FROM entry WHERE inode = ?", (inode,)).fetchone()
        return Ref(self._climb(inode, "r_parent", "r_name"), None if row is None else row[0])

    def remote_parent(self, inode: Inode) -> Inode:
        """The directory that the entry is in on the remote. Raises NoSuchEntry."""
        row = self.db.execute("SELECT r_parent FROM entry WHERE inode = ?", (inode,)).fetchone()
        if row is None or row[0] is None:
            raise NoSuchEntry(f"inode {inode} is not known on the remote")
        return Inode(row[0])

    def remote_children(self, directory: Inode) -> dict[str, Known]:
        """The remote picture of a directory's children, by name."""
        rows = self.db.execute(f"{_KNOWN} WHERE r_parent = ? AND inode != r_parent", (directory,))
        return {known.name: known for known in map(_known, rows)}

    def known(self, inode: Inode) -> Known | None:
        """The remote picture of one entry."""
        row = self.db.execute(f"{_KNOWN} WHERE inode = ? AND r_kind IS NOT NULL", (inode,)).fetchone()
        return None if row is None else _known(row)

    def with_file_id(self, file_id: str) -> list[Inode]:
        return [row[0] for row in self.db.execute("SELECT inode FROM entry WHERE r_id = ?", (file_id,))]

    def with_etags(self, etags: set[str]) -> list[tuple[Inode, str]]:
        """All entries whose remote ETag is one of these. A scan: only for the rare guess of a rename."""
        rows = self.db.execute("SELECT inode, r_etag FROM entry WHERE r_etag IS NOT NULL")
        return [(inode, etag) for inode, etag in rows if etag in etags]

    def directories(self) -> list[Inode]:
        """All directories, those that were known first, first: parents before what was found in them."""
        return [row[0] for row in self.db.execute("SELECT inode FROM entry WHERE kind = 2 ORDER BY inode")]

    def unlisted(self, after: Inode) -> list[Inode]:
        """Directories past inode `after` that were never listed. What is found later always has a higher number."""
        sql = "SELECT inode FROM entry WHERE kind = 2 AND listed IS NULL AND inode > ? ORDER BY inode"
        return [row[0] for row in self.db.execute(sql, (after,))]

    def is_listed(self, directory: Inode) -> bool:
        row = self.db.execute("SELECT listed IS NOT NULL FROM entry WHERE inode = ?", (directory,)).fetchone()
        return row is not None and bool(row[0])

    def unsettled_directories(self) -> list[Inode]:
        """Directories with entries whose version may still hide a later write."""
        sql = "SELECT DISTINCT r_parent FROM entry WHERE r_settled = 0 AND r_parent IS NOT NULL"
        return [row[0] for row in self.db.execute(sql)]

    def is_incomplete(self, directory: Inode) -> bool:
        """Whether anything below this directory is not here, or not known yet."""
        sql = f"{_INCOMPLETE} SELECT 1 FROM incomplete WHERE inode = ?"
        return self.db.execute(sql, (directory,)).fetchone() is not None

    def incomplete_files(self, after: Inode, limit: int) -> list[Entry]:
        """Files whose content is not all here, by inode."""
        rows = self.db.execute(
            f"{_ENTRY} WHERE kind = 1 AND cached < size AND inode > ? ORDER BY inode LIMIT ?", (after, limit)
        )
        return [_entry(row) for row in rows]

    def subtree(self, inode: Inode) -> list[Inode]:
        """The entry and all below it, parents first."""
        return [row[0] for row in self.db.execute(f"{_SUBTREE} SELECT inode FROM below", (inode,))]

    def is_below(self, inode: Inode, ancestor: Inode) -> bool:
        """Whether `inode` is `ancestor` or in it, on the remote."""
        while inode != ancestor:
            if inode == ROOT:
                return False
            inode = self.remote_parent(inode)
        return True

    def record_count(self) -> int:
        """Entries with a record, without the root."""
        (count,) = self.db.execute("SELECT count(*) FROM entry WHERE b_kind IS NOT NULL AND inode != 1").fetchone()
        return int(count)

    # --- changing

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing in the database; events of it are sent once it is committed."""
        try:
            with self.db.transaction():
                yield
        except BaseException:
            self._pending.clear()
            raise
        pending, self._pending = self._pending, []
        for change in pending:
            self._emit(change)

    def changed(self, inode: Inode, *, content: bool = False) -> None:
        """Note that the attributes (and the bytes) of an inode changed, if the kernel can know them."""
        self.changes += 1
        if self.references.known_to_kernel(inode):
            self._pending.append(Changed(inode, content=content))

    def name_changed(self, parent: Inode, name: str) -> None:
        """Note that a name appeared, went, or leads elsewhere, if the kernel can know it."""
        self.changes += 1
        if self.references.known_to_kernel(parent):
            self._pending.append(Changed(parent, name))

    def _climb(self, inode: Inode, parent_column: str, name_column: str) -> tuple[str, ...]:
        names: list[str] = []
        while inode != ROOT:
            sql = f"SELECT {parent_column}, {name_column} FROM entry WHERE inode = ?"
            row = self.db.execute(sql, (inode,)).fetchone()
            if row is None or row[0] is None:
                raise NoSuchEntry(f"inode {inode} has no place any more")
            inode = row[0]
            names.append(decode_name(row[1]))
        return tuple(reversed(names))


_SUBTREE = """
WITH RECURSIVE below (inode) AS (
    SELECT ? UNION ALL SELECT entry.inode FROM entry JOIN below ON entry.parent = below.inode
    WHERE entry.inode != entry.parent
)
"""

_INCOMPLETE = """
WITH RECURSIVE incomplete (inode) AS (
    SELECT parent FROM entry WHERE kind = 1 AND cached < size
    UNION SELECT inode FROM entry WHERE kind = 2 AND listed IS NULL
    UNION SELECT entry.parent FROM entry JOIN incomplete ON entry.inode = incomplete.inode
)
"""
"""Directories below which anything is not here, or not known yet."""

TOTALS = f"""
{_INCOMPLETE}
SELECT
    count(*) FILTER (WHERE kind = 2),
    count(*) FILTER (WHERE kind = 2 AND listed IS NULL),
    count(*) FILTER (WHERE complete),
    count(*) FILTER (WHERE NOT complete AND kind = 1 AND cached > 0),
    count(*) FILTER (WHERE NOT complete AND (kind = 2 OR cached = 0)),
    (SELECT coalesce(sum(hidden), 0) FROM entry),
    coalesce(sum(cached), 0)
FROM (
    SELECT kind, listed, cached,
        CASE kind WHEN 2 THEN inode NOT IN incomplete ELSE cached >= size END AS complete
    FROM entry WHERE inode != 1
)
"""
"""One scan for `Totals`; for a worker thread with its own connection."""


def _entry(row: tuple[Any, ...]) -> Entry:
    (inode, parent, name, kind, size, mtime, ctime, mode, content, cached, etag, b_size, b_mtime, b_id, weak,
     settled, seen, listed) = row  # fmt: skip
    return Entry(
        inode=inode,
        parent=parent,
        name=decode_name(name),
        kind=_KINDS[kind],
        size=size,
        mtime_ns=mtime,
        ctime_ns=ctime,
        mode=mode,
        content=ContentId(content),
        cached=cached,
        version=Version(etag, b_size, b_mtime, b_id, bool(weak)),
        settled=bool(settled),
        seen=seen,
        listed=listed,
    )


def _known(row: tuple[Any, ...]) -> Known:
    inode, name, kind, etag, size, mtime, file_id, weak, seen, settled = row
    version = Version(etag, size, mtime, file_id, bool(weak))
    return Known(inode, decode_name(name), _KINDS[kind], version, seen, bool(settled))


_KINDS = {int(kind): kind for kind in Kind}  # the enum's own lookup costs more than the rest of a row
