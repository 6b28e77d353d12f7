"""How the tree takes over what was observed on the remote: rows 1 to 4 of the table, as changes of rows.

Who wins was decided by `plan`; that something is really gone was proven by `sync`. Here it only happens, each step in
one transaction of the caller's or its own.

A version that arrives while handles are open on the old one moves the *name* to a new inode: the kernel has one page
cache per inode, so two versions cannot share one.
"""

from __future__ import annotations

import time

import msgspec

from drivefs.model import NO_CONTENT, ROOT, Entry, Inode, Kind, Observation, Version, encode_name
from drivefs.plan import Adopt, Appear, Confirm
from drivefs.store.tree import Tree

FIRST_CONTENT = 1 << 40
"""Content numbers of later versions; a first version's number is its inode's, which stays far below."""

FILE_MODE = 0o644
DIRECTORY_MODE = 0o755

_INSERT = """
INSERT INTO entry (
    inode, parent, name, kind, size, mtime_ns, ctime_ns, mode, content, cached,
    r_parent, r_name, r_kind, r_etag, r_weak, r_size, r_mtime_ns, r_id, r_seen, r_settled,
    b_parent, b_name, b_kind, b_etag, b_size, b_mtime_ns, b_id, listed, hidden
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, 0)
ON CONFLICT DO NOTHING
"""


class Takeover:
    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._db = tree.db
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entry'").fetchone()
        self._next_inode = ROOT if row is None else Inode(row[0] + 1)  # a number is never given twice

    def root(self, observation: Observation) -> None:
        """Take the share's root in, once: everything else hangs below it."""
        if self._tree.exists(ROOT):
            return
        with self._tree.transaction():
            self._insert(ROOT, msgspec.structs.replace(observation, name=""))

    def appear(self, parent: Inode, action: Appear, *, tell: bool = True) -> list[Inode]:
        """Row 1. Returns the new inode, or nothing where the name is taken by now.

        `tell` is False where the kernel cannot have asked for the name: at the directory's first listing.
        """
        inode = self._insert(parent, action.observation)
        if inode is None:
            return []
        if tell:
            self._tree.name_changed(parent, action.observation.name)
        return [inode]

    def adopt(self, action: Adopt) -> Inode:
        """Row 2: a new version. Returns the inode that has the name now: a new one if the old one is open."""
        entry = self._tree.get(action.inode)
        if not action.content:
            self._observe(action.inode, action.observation, settled=True, content=None)
            self._tree.changed(action.inode)
            return action.inode
        if self._tree.references.is_open(action.inode):
            return self._supersede(action)
        settled = action.observation.settled()
        self._observe(action.inode, action.observation, settled=settled, content=self._next_content())
        # Where size or mtime moved the kernel drops its pages by itself, and telling it never waits for a read.
        obvious = (entry.size, entry.mtime_ns) != (action.observation.version.size, action.observation.version.mtime_ns)
        self._tree.changed(action.inode, content=not obvious)
        return action.inode

    def confirm(self, action: Confirm) -> None:
        """The same version, now settled or better known."""
        version = action.observation.version
        self._db.execute(
            "UPDATE entry SET r_settled = ?, r_etag = coalesce(?, r_etag), r_weak = ?, r_size = coalesce(?, r_size),"
            " r_mtime_ns = coalesce(?, r_mtime_ns), r_id = coalesce(?, r_id), b_etag = coalesce(?, b_etag),"
            " b_size = coalesce(?, b_size), b_mtime_ns = coalesce(?, b_mtime_ns), b_id = coalesce(?, b_id)"
            " WHERE inode = ?",
            (action.settled, version.etag, version.weak, *_parts(version)[1:], *_parts(version), action.inode),
        )

    def remove(self, inode: Inode) -> int:
        """Row 3: the entry and all below it are gone. Returns how many records went. Open files live on, nameless."""
        entry = self._tree.get(inode)
        gone = self._tree.subtree(inode)
        for number in gone:
            if self._tree.references.is_open(number):
                self._tree.references.orphan(_nameless(self._tree, number))
                self._tree.changed(number)
        self._db.executemany("DELETE FROM entry WHERE inode = ?", [(number,) for number in gone])
        self._tree.name_changed(entry.parent, entry.name)
        return len(gone)

    def move(self, inode: Inode, parent: Inode, observation: Observation) -> None:
        """Row 4: the same entry stands elsewhere; inode, cache and everything below stay."""
        entry = self._tree.get(inode)
        name = encode_name(observation.name)
        self._db.execute(
            "UPDATE entry SET parent = ?, name = ?, r_parent = ?, r_name = ?, b_parent = ?, b_name = ?, ctime_ns = ?"
            " WHERE inode = ?",
            (parent, name, parent, name, parent, name, time.time_ns(), inode),
        )
        self._tree.name_changed(entry.parent, entry.name)
        self._tree.name_changed(parent, observation.name)
        self._tree.changed(inode)

    def replace(self, old: Inode, new: Inode) -> None:
        """Row 4 by guess: `new`, which appeared in this sync, is `old` under another name; `old` keeps its inode."""
        entry = self._tree.get(new)
        known = self._tree.known(new)
        assert known is not None, "an entry that appeared in this sync is known"
        self._db.execute("DELETE FROM entry WHERE inode = ?", (new,))
        self.move(old, entry.parent, Observation(entry.name, entry.kind, known.version, known.seen or 0.0))

    def listed(self, directory: Inode, hidden: int) -> None:
        """A complete listing was applied."""
        self._db.execute("UPDATE entry SET listed = ?, hidden = ? WHERE inode = ?", (time.time(), hidden, directory))

    def _insert(self, parent: Inode, observation: Observation) -> Inode | None:
        """All three pictures agree on a new entry; None when its name is taken. The root is its own parent."""
        inode, self._next_inode = self._next_inode, Inode(self._next_inode + 1)
        version, kind, name = observation.version, observation.kind, encode_name(observation.name)
        directory = kind is Kind.DIRECTORY
        mtime = _mtime(observation)
        cursor = self._db.execute(
            _INSERT,
            (inode, parent, name, kind, _size(observation), mtime, mtime, DIRECTORY_MODE if directory else FILE_MODE,
             NO_CONTENT if directory else inode,
             parent, name, kind, version.etag, version.weak, version.size, version.mtime_ns, version.file_id,
             observation.at, directory or observation.settled(), parent, name, kind, *_parts(version)),
        )  # fmt: skip
        return inode if cursor.rowcount else None

    def _observe(self, inode: Inode, observation: Observation, *, settled: bool, content: int | None) -> None:
        """Set all three pictures to what was observed: local, remote and record agree on it."""
        version = observation.version
        self._db.execute(
            "UPDATE entry SET size = ?, mtime_ns = ?, ctime_ns = ?, r_etag = ?, r_weak = ?, r_size = ?, r_mtime_ns = ?,"
            " r_id = ?, r_seen = ?, r_settled = ?, b_etag = ?, b_size = ?, b_mtime_ns = ?, b_id = ?, b_sha256 = NULL"
            " WHERE inode = ?",
            (_size(observation), _mtime(observation), time.time_ns(), version.etag, version.weak, *_parts(version)[1:],
             observation.at, settled, *_parts(version), inode),
        )  # fmt: skip
        if content is not None:
            self._db.execute("UPDATE entry SET content = ?, cached = 0 WHERE inode = ?", (content, inode))

    def _supersede(self, action: Adopt) -> Inode:
        old = self._tree.get(action.inode)
        self._tree.references.orphan(_nameless(self._tree, action.inode))
        self._db.execute("DELETE FROM entry WHERE inode = ?", (action.inode,))
        inode = self._insert(old.parent, msgspec.structs.replace(action.observation, name=old.name))
        assert inode is not None, "its name has just been set free"
        self._db.execute("UPDATE entry SET mode = ?, ctime_ns = ? WHERE inode = ?", (old.mode, time.time_ns(), inode))
        self._tree.name_changed(old.parent, old.name)
        self._tree.changed(action.inode)
        return inode

    def _next_content(self) -> int:
        stored = self._db.get_meta("next_content")
        number = stored if isinstance(stored, int) else FIRST_CONTENT
        self._db.set_meta("next_content", number + 1)
        return number


def _parts(version: Version) -> tuple[str | None, int | None, int | None, str | None]:
    """The columns etag, size, mtime_ns, id."""
    return version.etag, version.size, version.mtime_ns, version.file_id


def _size(observation: Observation) -> int:
    """Some servers give directories a length (lighttpd); it means nothing."""
    return 0 if observation.kind is Kind.DIRECTORY else observation.version.size or 0


def _mtime(observation: Observation) -> int:
    """Where the server tells no mtime, the moment at which it was first seen."""
    mtime = observation.version.mtime_ns
    return int(observation.at * 1e9) if mtime is None else mtime


def _nameless(tree: Tree, inode: Inode) -> Entry:
    return msgspec.structs.replace(tree.get(inode), nlink=0)
