"""Files for servers, made fast; sums of what is at both ends; and what a server was asked for."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.servers import Request

KIB = 1024
MIB = 1024 * KIB
OLD = 1_600_000_000
"""A modification time, in seconds: such versions are settled at once."""


def pattern(size: int, seed: int = 0) -> bytes:
    """Bytes that differ from place to place, and from seed to seed."""
    start = seed * 1_000_003
    return b"".join((start + number).to_bytes(8, "big") for number in range(-(-size // 8)))[:size]


def put(path: Path, content: bytes | str, mtime: float = OLD) -> None:
    """Create or replace a file at once and whole, as servers should."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.parents[0] / ".~draft"
    draft.write_bytes(content.encode() if isinstance(content, str) else content)
    os.utime(draft, (mtime, mtime))
    draft.rename(path)


def put_large(path: Path, size: int, mtime: float = OLD) -> None:
    """A file of which every 64 KiB are different, without writing all of it."""
    with path.open("wb") as file:
        file.truncate(size)
        for position in range(0, size - 8, 64 * KIB):
            os.pwrite(file.fileno(), position.to_bytes(8, "big"), position)
    os.utime(path, (mtime, mtime))


def fill(top: Path, folders: int, files: int) -> None:
    """`folders` folders of `files` small files each, all different."""
    for folder in range(folders):
        here = top / f"folder {folder:03}"
        here.mkdir()
        for number in range(files):
            path = here / f"file {number:04}.txt"
            path.write_text(f"{folder} {number}\n" * (number % 40 + 1))
            os.utime(path, (OLD + number, OLD + number))


def sums(top: Path) -> dict[str, str]:
    """MD5 of every file below, read by some at a time."""
    paths = [Path(folder) / name for folder, _, names in os.walk(top) for name in names]
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(md5, paths)
        return {str(path.relative_to(top)): each for path, each in zip(paths, found, strict=True)}


def md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def methods(requests: Iterable[Request]) -> Counter[str]:
    return Counter(request.method for request in requests)


def sent(requests: Iterable[Request]) -> int:
    """Bytes that went out for content."""
    return sum(request.sent for request in requests if request.method == "GET")
