"""What the benchmark's server shares: one folder per kind of row, made anew for each run, and what is right about it.

Rows have shares of their own so that no peer is slowed by listing, at its start, what another row needs.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import msgspec

MIB = 1 << 20
SMALL_FILE = 4096
"""Bytes of each of the small files that are read."""

BIG = "big.bin"


class Sizes(msgspec.Struct, frozen=True):
    """How much there is of everything. `big` and `one_of_four` are bytes, the rest are numbers of files."""

    big: int
    one_of_four: int
    tree: int
    small: int
    flat: int
    many: int

    def text(self) -> str:
        return (
            f"large file {self.big // MIB} MiB, four of {self.one_of_four // MIB} MiB, {self.small} small files of "
            f"{SMALL_FILE} bytes; names: tree {self.tree}, one large folder {self.flat}, many {self.many}"
        )


FULL = Sizes(big=512 * MIB, one_of_four=256 * MIB, tree=10_000, small=1000, flat=100_000, many=100_000)
QUICK = Sizes(big=256 * MIB, one_of_four=64 * MIB, tree=10_000, small=500, flat=10_000, many=10_000)
LONG_LINK = Sizes(big=128 * MIB, one_of_four=32 * MIB, tree=10_000, small=1000, flat=10_000, many=10_000)


def scaled(sizes: Sizes, scale: float) -> Sizes:
    """All of it smaller or larger, and never nothing: whole MiB, whole hundreds of files."""
    number = {name: getattr(sizes, name) * scale for name in sizes.__struct_fields__}
    unit = {name: MIB if name in ("big", "one_of_four") else 10 if name == "small" else 100 for name in number}
    return Sizes(**{name: max(1, round(number[name] / unit[name])) * unit[name] for name in number})


class Shares:
    """Makes the shares below `root` when they are first asked for, and keeps the sums of their large files."""

    def __init__(self, root: Path, sizes: Sizes) -> None:
        self.root = root
        self.sizes = sizes
        self.sums: dict[Path, str] = {}
        self._random = random.Random(1)  # the same content in every run

    def folder(self, name: str) -> Path:
        made = self.root / name
        if not made.exists():
            made.mkdir()
            makers: dict[str, Callable[[Path], None]] = {
                "big": lambda path: self._large(path / BIG, self.sizes.big),
                "four": self._four,
                "tree": lambda path: self._tree(path, self.sizes.tree // 50, 50),
                "small": lambda path: self._tree(path, self.sizes.small // 10, 10, SMALL_FILE),
                "flat": lambda path: self._files(path, self.sizes.flat, 100),
                "many": lambda path: self._tree(path, self.sizes.many // 100, 100),
                "mixed": self._mixed,
            }
            makers[name](made)
            make_old(made)
        return made

    def link(self, name: str, root: Path) -> None:
        """The share `name` in another server's folder as well."""
        (root / name).mkdir()
        for folder, _, names in os.walk(self.folder(name)):
            there = root / Path(folder).relative_to(self.root)
            there.mkdir(exist_ok=True)
            for file in names:
                (there / file).hardlink_to(Path(folder) / file)

    def _four(self, path: Path) -> None:
        for number in range(4):
            self._large(path / f"{number}.bin", self.sizes.one_of_four)

    def _mixed(self, path: Path) -> None:
        self._large(path / BIG, self.sizes.big)
        (path / "tree").mkdir()
        self._tree(path / "tree", 20, 100)

    def _tree(self, path: Path, folders: int, files: int, size: int = 100) -> None:
        for number in range(folders):
            folder = path / f"folder {number:04}"
            folder.mkdir()
            self._files(folder, files, size)

    def _files(self, folder: Path, count: int, size: int) -> None:
        for number in range(count):
            (folder / f"a file {number:06}.txt").write_bytes(self._random.randbytes(size))

    def _large(self, file: Path, size: int) -> None:
        digest = sha256()
        with open(file, "wb") as out:
            for start in range(0, size, MIB):
                piece = self._random.randbytes(min(MIB, size - start))
                digest.update(piece)
                out.write(piece)
        self.sums[file.relative_to(self.root)] = digest.hexdigest()


def make_old(folder: Path) -> None:
    """As of yesterday: what changed a moment ago may change again unseen, and a careful client does not keep it."""
    yesterday = time.time() - 86400
    for file in files_below(folder):
        os.utime(folder / file, (yesterday, yesterday))


def files_below(folder: Path) -> Iterator[Path]:
    """All files, relative to `folder`, folder by folder in the order of their names."""
    for here, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            yield (Path(here) / name).relative_to(folder)


def warm(folder: Path) -> None:
    """Bring it into the page cache: the server shall be equally fast for all."""
    for file in files_below(folder):
        with open(folder / file, "rb", buffering=0) as opened:
            while opened.read(MIB):
                pass
