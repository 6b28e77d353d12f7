"""The configuration file: one `[drive.NAME]` table per drive, found by mountpoint, written without losing comments.

Reading uses the standard library's parser (it is fast); tomlkit, which keeps comments and order, is loaded
for writing only. A write is atomic and durable: a new file, mode 0600, fsync, rename, fsync of the folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import re
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from drivefs.config import DriveSettings, settings_from_table, table_from_settings
from drivefs.errors import UsageError
from drivefs.mountpoint import normalise


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as problem:
        raise UsageError(f"{file}: cannot be read ({problem})") from problem


def load_drives(file: Path) -> dict[str, DriveSettings]:
    """All configured drives by name; none when there is no file. Raises: UsageError, one line."""
    try:
        document = tomllib.loads(_read(file))
    except tomllib.TOMLDecodeError as problem:
        raise UsageError(f"{file}: not valid TOML: {problem}") from None
    for key in document:
        if key != "drive":
            raise UsageError(f"{file}: there is no setting {key}; drives are tables named [drive.NAME]")
    tables = document.get("drive", {})
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise UsageError(f"{file}: drive must hold tables named [drive.NAME]")
    drives = {name: _drive(name, table, file) for name, table in tables.items()}
    _refuse_shared_mountpoints(drives, file)
    return drives


def _drive(name: str, table: Mapping[str, object], file: Path) -> DriveSettings:
    """With the mountpoint in the form in which mountpoints are compared."""
    settings = settings_from_table(name, table, str(file))
    return msgspec.structs.replace(settings, mountpoint=normalise(settings.mountpoint))


def _refuse_shared_mountpoints(drives: dict[str, DriveSettings], file: Path) -> None:
    seen: dict[str, str] = {}
    for drive in drives.values():
        if drive.mountpoint in seen:
            raise UsageError(
                f"{file}: drive {drive.name}: mountpoint {drive.mountpoint} belongs to drive {seen[drive.mountpoint]}; "
                "give each drive its own"
            )
        seen[drive.mountpoint] = drive.name


def find_drive(drives: dict[str, DriveSettings], mountpoint: str) -> DriveSettings | None:
    """The drive at a mountpoint (as from `mountpoint.normalise`)."""
    return next((drive for drive in drives.values() if drive.mountpoint == mountpoint), None)


def free_name(drives: dict[str, DriveSettings], mountpoint: str, is_free: Callable[[str], bool]) -> str:
    """A name for a new drive, from its mountpoint: `drive`, then `drive-2` … `is_free` may rule out more names."""
    base = re.sub(r"[^a-z0-9._-]+", "-", os.path.basename(mountpoint).lower()).strip("-._")[:48] or "drive"
    names = itertools.chain([base], (f"{base}-{number}" for number in itertools.count(2)))
    return next(name for name in names if name not in drives and is_free(name))


def save_drive(file: Path, settings: DriveSettings) -> None:
    """Add the drive, or replace its settings; everything else in the file stays, comments included."""
    import tomlkit
    from tomlkit.items import Table

    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(file):
        document = tomlkit.parse(_read(file))
        drives = document.setdefault("drive", tomlkit.table(is_super_table=True))
        table: Table = drives.setdefault(settings.name, tomlkit.table())
        wanted = table_from_settings(settings)
        for key in [key for key in table if key not in wanted]:
            del table[key]
        for key, value in wanted.items():
            if key not in table or table[key].unwrap() != value:
                table[key] = value
        write_private(file, tomlkit.dumps(document))


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Two commands at once must not lose one of their drives."""
    with open(file.with_suffix(".lock"), "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def write_private(file: Path, text: str) -> None:
    """Replace a file in one step by a new one that only the owner can read, safe against power loss."""
    descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")  # mode 0600
    try:
        with open(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(temporary, file)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
