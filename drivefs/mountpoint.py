"""Mountpoints as text, and what is mounted there, without ever touching a mount that may be dead.

A dead FUSE mount answers ENOTCONN to every stat, and one whose daemon hangs answers nothing at all. So a
path is resolved up to its parent only, and the kernel's own table (/proc/self/mountinfo) is asked what is
mounted. Only `is_dead` touches the mountpoint itself.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable
from pathlib import Path

import msgspec

_MOUNTINFO = Path("/proc/self/mountinfo")


class Mount(msgspec.Struct, frozen=True):
    """One line of the kernel's table: where, the file system type ("fuse.drivefs") and the source."""

    mountpoint: str
    kind: str
    source: str

    @property
    def is_fuse(self) -> bool:
        return self.kind == "fuse" or self.kind.startswith("fuse.")


def normalise(path: str | os.PathLike[str]) -> str:
    """The absolute path with all symlinks resolved but the last part, which is not touched."""
    absolute = os.path.abspath(os.path.expanduser(path))
    folder, name = os.path.split(absolute)
    return os.path.join(os.path.realpath(folder), name) if name else absolute


def split_at_mountpoint(path: str | os.PathLike[str], mountpoints: Iterable[str]) -> tuple[str, str] | None:
    """(mountpoint, path below it) for a path in one of `mountpoints`, or None.

    Goes down from the top and stops at the first mountpoint, so that nothing in a mount is touched.
    """
    known = set(mountpoints)
    absolute = os.path.abspath(os.path.expanduser(path))
    parts = absolute.split("/")[1:]
    for count in range(1, len(parts) + 1):
        ancestor = normalise("/" + "/".join(parts[:count]))
        if ancestor in known:
            return ancestor, "/".join(parts[count:])
    return None


def _unescape(field: str) -> str:
    """Mountinfo writes space, tab, newline and backslash as \\ooo (proc(5))."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def parse_mountinfo(text: str) -> list[Mount]:
    """All mounts in the text of /proc/PID/mountinfo, in order: the last at one place is the visible one."""
    mounts = []
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        kind, source = right.split(" ")[:2]
        mounts.append(Mount(_unescape(left.split(" ")[4]), kind, _unescape(source)))
    return mounts


def mounted_at(mountpoint: str) -> Mount | None:
    """What is mounted at exactly this place, None when nothing is."""
    text = _MOUNTINFO.read_text("utf-8", "surrogateescape")
    found = [mount for mount in parse_mountinfo(text) if mount.mountpoint == mountpoint]
    return found[-1] if found else None


def is_dead(mountpoint: str) -> bool:
    """True when a FUSE mount is there whose daemon is gone.

    A stat would be answered from the kernel's memory for as long as it may keep attributes; statfs is always asked.
    """
    try:
        os.statvfs(mountpoint)
    except OSError as problem:
        return problem.errno == errno.ENOTCONN
    return False
