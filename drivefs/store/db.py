"""The database of one drive: schema, numbered migrations, transactions. SQL of the store lives in `store/`.

One writer, the daemon's loop; WAL, so that readers in worker threads never wait for it. Each mutation commits
before anybody is told of it. `synchronous=NORMAL`: a killed process loses nothing, a power cut may lose the last
transactions but never the consistency; what is lost here is observed again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drivefs.errors import StoreError

# One step each; a step that was released is never edited, only followed by another.
MIGRATIONS = (
    """
    CREATE TABLE meta (                 -- facts about the drive itself
        key         TEXT PRIMARY KEY,
        value       ANY NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE entry (
        inode       INTEGER PRIMARY KEY AUTOINCREMENT,  -- the kernel's number; never given twice

        -- local: what programs see. parent IS NULL: not shown here
        parent      INTEGER,            -- inode of the directory it is in; the root is its own parent
        name        BLOB,               -- exact bytes
        kind        INTEGER NOT NULL,   -- model.Kind
        size        INTEGER NOT NULL,   -- bytes, true size
        mtime_ns    INTEGER NOT NULL,
        ctime_ns    INTEGER NOT NULL,   -- when anything of this row that stat shows last changed
        mode        INTEGER NOT NULL,   -- permission bits

        -- content of a file that is here
        content     INTEGER NOT NULL,   -- number of this version's bytes (model.ContentId): the first version of a
                                        -- file has its inode's number, later ones count from FIRST_CONTENT
        cached      INTEGER NOT NULL,   -- bytes of it that are in the block store: the sum over block.bytes

        -- remote: as last observed. r_kind IS NULL: not known to exist there
        r_parent    INTEGER,            -- inode of the directory that it is in on the remote
        r_name      BLOB,
        r_kind      INTEGER,
        r_etag      TEXT,               -- opaque; NULL in r_* and b_*: the server does not tell
        r_weak      INTEGER,            -- 1: the ETag was marked weak
        r_size      INTEGER,
        r_mtime_ns  INTEGER,
        r_id        TEXT,               -- the server's id of the entry, where it survives a rename
        r_seen      REAL,               -- server's clock when this version was first seen, seconds
        r_settled   INTEGER,            -- 1: no later write can carry this same version

        -- record: what both sides last agreed on. b_kind IS NULL: never agreed
        b_parent    INTEGER,
        b_name      BLOB,
        b_kind      INTEGER,
        b_etag      TEXT,
        b_size      INTEGER,
        b_mtime_ns  INTEGER,
        b_id        TEXT,
        b_sha256    BLOB,               -- of the content at the record's version, where known

        -- directories
        listed      REAL,               -- when a complete listing was last applied, seconds; NULL: never
        hidden      INTEGER NOT NULL    -- names in that listing that cannot exist here
    ) STRICT;
    CREATE UNIQUE INDEX entry_place ON entry (parent, name) WHERE parent IS NOT NULL;
    CREATE UNIQUE INDEX entry_remote_place ON entry (r_parent, r_name) WHERE r_parent IS NOT NULL;
    CREATE INDEX entry_remote_id ON entry (r_id) WHERE r_id IS NOT NULL;
    CREATE INDEX entry_unlisted ON entry (inode) WHERE kind = 2 AND listed IS NULL;
    CREATE INDEX entry_unsettled ON entry (inode) WHERE r_settled = 0;

    CREATE TABLE block (                -- which blocks of clean content are on disk
        content     INTEGER NOT NULL,
        idx         INTEGER NOT NULL,   -- block idx holds bytes [idx * BLOCK_SIZE, (idx + 1) * BLOCK_SIZE)
        inode       INTEGER NOT NULL,
        bytes       INTEGER NOT NULL,   -- how many bytes of it are here
        extents     BLOB,               -- NULL: complete; else which parts are here (store/index.py)
        PRIMARY KEY (content, idx)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE census (               -- one row per sync, for the guard against mass deletion
        at          REAL PRIMARY KEY,   -- seconds
        records     INTEGER NOT NULL,   -- entries with a record when that sync began
        removed     INTEGER NOT NULL    -- entries with a record that it removed
    ) STRICT;

    CREATE TABLE trash (                -- whole files removed here because of the remote
        file        TEXT PRIMARY KEY,   -- its name in the trash folder
        path        BLOB NOT NULL,      -- where it was, from the drive's root
        size        INTEGER NOT NULL,
        mtime_ns    INTEGER NOT NULL,
        removed     REAL NOT NULL,      -- when, seconds
        reason      TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    """,
)


class Database:
    """A connection to the drive's database. Raises StoreError when it cannot be opened or is damaged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._connection = connect(path)
            self._migrate()
        except sqlite3.Error as error:
            raise StoreError(f"the database {path} cannot be used: {error}") from error

    def execute(self, sql: str, parameters: tuple[object, ...] = ()) -> sqlite3.Cursor:
        return self._connection.execute(sql, parameters)

    def executemany(self, sql: str, rows: list[tuple[object, ...]]) -> None:
        self._connection.executemany(sql, rows)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing. Never held across an await: there is one writer, and it must stay free."""
        if self._is_inside():  # part of a larger one
            yield
            return
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._is_inside():  # SQLite ends it by itself after some errors, a full disk among them
                self._connection.execute("ROLLBACK")
            raise

    def next_number(self, key: str) -> int:
        """A number that was never given before, within the caller's transaction."""
        (number,) = self.execute(
            "UPDATE meta SET value = value + 1 WHERE key = ? RETURNING value - 1", (key,)
        ).fetchone()
        return int(number)

    def _is_inside(self) -> bool:
        return self._connection.in_transaction

    def get_meta(self, key: str) -> object:
        row = self.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def set_meta(self, key: str, value: str | int | float) -> None:
        self.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def close(self) -> None:
        self._connection.close()

    def _migrate(self) -> None:
        (done,) = self.execute("PRAGMA user_version").fetchone()
        if done > len(MIGRATIONS):
            raise StoreError(
                f"the database {self.path} was written by a newer drivefs: install that, or reset the drive"
            )
        for number, script in enumerate(MIGRATIONS[done:], done + 1):
            self._connection.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT")


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection as the store wants it; a read-only one may be used by one worker thread at a time."""
    mode = "ro" if read_only else "rwc"
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode={mode}", uri=True, isolation_level=None, check_same_thread=not read_only, timeout=10
    )
    if not read_only:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA cache_size = -8000")  # KiB: bounded memory, whatever the size of the tree
    return connection
