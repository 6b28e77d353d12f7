"""The sample content of the demo share: a small tree made by code, so that no binary lies in the repository.

Every call makes the same bytes, names and times. Nothing here knows that the tree will be served.
The pictures have one byte per pixel and a palette: whole rows are built at once, which keeps this well under
a second in plain Python.
"""

from __future__ import annotations

import hashlib
import math
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

FIRST_TIME = datetime(2025, 3, 1, 9, 30, tzinfo=UTC)
"""Modification time of the first file; each further one is a few hours younger, all are long past."""

LARGE_SIZE = 20_000_000
"""Bytes of the one file that is worth watching while it is fetched."""

WIDTH, HEIGHT = 800, 600

Palette = list[tuple[int, int, int]]


def make_samples(directory: Path) -> None:
    """Make the whole tree at `directory`; what exists there already is left exactly as it is.

    The tree is built beside its place and moved there complete, so that a half-made one is never taken for
    one in which somebody has deleted files.
    """
    if directory.exists():
        return
    building = directory.with_name(f"{directory.name}.{os.getpid()}.new")
    building.mkdir(parents=True)
    for path, content in sample_files():
        target = building / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    (building / "Documents" / "Empty folder").mkdir()
    _set_times(building)
    building.rename(directory)


def _set_times(top: Path) -> None:
    for number, path in enumerate(sorted([top, *top.rglob("*")])):
        when = (FIRST_TIME + number * timedelta(hours=7)).timestamp()
        os.utime(path, (when, when))


def sample_files() -> Iterator[tuple[PurePosixPath, bytes]]:
    """Path and content of every file."""
    large = hashlib.shake_128(b"drivefs sample").digest(LARGE_SIZE)
    files: dict[str, str | bytes] = {
        "Welcome.txt": WELCOME,
        "Documents/Report.md": REPORT,
        "Documents/Measurements.csv": _measurements(),
        "Documents/Two pages.pdf": pdf(["drivefs", "A small PDF, made by code."], ["Page two", "The end."]),
        "Documents/empty.txt": "",
        "Documents/Verträge/Überblick & Größen (100 %).txt": "Straße, Äpfel, Öl, Übermut: alles noch da.\n",
        "Documents/Verträge/2025/Mietvertrag #7.txt": "Namen mit # und ? und + sind Namen wie andere.\n",
        "Documents/Verträge/2025/Wozu? Darum + mehr.txt": "Eben.\n",
        "Pictures/Dawn.png": dawn(),
        "Pictures/Plasma.png": plasma(),
        "Pictures/Waves.png": waves(),
        "日本語/お知らせ.txt": "ようこそ。このフォルダーは遠くにあります。\n",
        "日本語/写真/山.png": mountains(),
        "日本語/俳句/古池.txt": "古池や\n蛙飛びこむ\n水の音\n",
        "🚀 Projects/Idea 💡.md": "# Idea 💡\n\nA folder that is bigger than the disk it lies on.\n",
        "🚀 Projects/café ☕/menu.csv": "drink,price\nespresso,2.20\ncappuccino,3.40\n",
        "Large/random.bin": large,
        "Large/SHA256SUMS.txt": f"{hashlib.sha256(large).hexdigest()}  random.bin\n",
    }
    for number in range(1, 25):
        year, month = 2023 + (number - 1) // 12, (number - 1) % 12 + 1
        files[f"Archive/{year}/{month:02}/Notes {year}-{month:02}.txt"] = _notes(year, month)
    for path, content in files.items():
        yield PurePosixPath(path), content.encode() if isinstance(content, str) else content


WELCOME = """\
Welcome.

This folder is not on your disk: every file comes over WebDAV when it is first opened,
and stays in the cache for the next time. Sizes, names and times are here from the start.

Some things to try:
  - open a picture in Pictures, or the folder with previews on
  - md5sum Large/random.bin, twice: the second time is local
  - compare it with the list beside it: cd Large && sha256sum -c SHA256SUMS.txt
"""

REPORT = """\
# Report

| quarter | folders | files |
|---------|--------:|------:|
| first   |      12 |   340 |
| second  |      15 |   512 |
| third   |      21 |   890 |

The numbers are made up; the table is here to have something to look at.
"""


def _measurements() -> str:
    rows = (f"{hour},{20 + 6 * math.sin(hour / 24 * math.tau):.2f},{hour * 37 % 101}" for hour in range(24 * 14))
    return "\n".join(["hour,temperature,load", *rows]) + "\n"


def _notes(year: int, month: int) -> str:
    return "".join(f"{year}-{month:02}-{day:02}  nothing happened, as hoped\n" for day in range(1, 29))


def pdf(*pages: list[str]) -> bytes:
    """A PDF with one page per list of lines; ASCII without parentheses, the first line is the heading."""
    page_ids = range(4, 4 + 2 * len(pages), 2)
    kids = " ".join(f"{number} 0 R" for number in page_ids)
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, (heading, *lines) in zip(page_ids, pages, strict=True):
        shown = " ".join(f"0 -28 Td ({line}) Tj" for line in lines)
        text = f"BT /F 32 Tf 72 720 Td ({heading}) Tj /F 14 Tf {shown} ET"
        objects += [
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842]"
            f" /Resources << /Font << /F 3 0 R >> >> /Contents {number + 1} 0 R >>",
            f"<< /Length {len(text)} >>\nstream\n{text}\nendstream",
        ]
    return _pdf_file(objects)


def _pdf_file(objects: list[str]) -> bytes:
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode("ascii")
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    end = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
    end += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF\n"
    return out + end.encode("ascii")


def png(palette: Palette, row: Callable[[int], bytes]) -> bytes:
    """A PNG of WIDTH x HEIGHT pixels; `row(y)` gives the palette index of each of its pixels."""
    pixels = b"".join(b"\0" + row(y) for y in range(HEIGHT))  # each row starts with its filter: none
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(kind, data)
        for kind, data in (
            (b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 3, 0, 0, 0)),
            (b"PLTE", b"".join(bytes(colour) for colour in palette)),
            (b"IDAT", zlib.compress(pixels, 6)),
            (b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def blend(*stops: tuple[int, int, int], steps: int = 256) -> Palette:
    """`steps` colours that go evenly through all `stops`."""
    colours: Palette = []
    for step in range(steps):
        place = step / (steps - 1) * (len(stops) - 1)
        left = min(int(place), len(stops) - 2)
        share = place - left
        red, green, blue = (round(a + (b - a) * share) for a, b in zip(stops[left], stops[left + 1], strict=True))
        colours.append((red, green, blue))
    return colours


def plasma() -> bytes:
    """Two waves added; the palette closes in itself, so that the sum may wrap around."""
    palette = blend((20, 20, 90), (200, 40, 120), (255, 180, 60), (40, 170, 160), (20, 20, 90))
    across = bytes(int(128 + 127 * math.sin(x / 90) * math.cos(x / 41)) for x in range(WIDTH))

    def row(y: int) -> bytes:
        shift = int(128 + 127 * math.sin(y / 70 + math.cos(y / 130)))
        return across.translate(bytes((index + shift) % 256 for index in range(256)))

    return png(palette, row)


def dawn() -> bytes:
    """A sky, a sun that touches the sea, and the sea."""
    sky = blend((25, 30, 80), (200, 90, 110), (255, 190, 120), steps=200)
    palette = [*sky, (255, 245, 200), (30, 50, 90), (60, 80, 120)]
    sun, sea, glitter, horizon, radius = 200, 201, 202, 400, 110

    def row(y: int) -> bytes:
        background = y * 199 // horizon if y < horizon else (glitter if (y - horizon) % 14 < 3 else sea)
        line = bytearray([background]) * WIDTH
        half = math.isqrt(max(0, radius**2 - (y - horizon) ** 2))
        if y < horizon and half:
            line[WIDTH // 2 - half : WIDTH // 2 + half] = bytes([sun]) * (2 * half)
        return bytes(line)

    return png(palette, row)


def waves() -> bytes:
    """Three curves on paper with a grid, like the plot of a measurement."""
    palette = [(250, 250, 245), (215, 220, 225), (200, 40, 60), (30, 110, 190), (40, 150, 80)]
    lines = [bytearray([1 if y % 50 == 0 else 0]) * WIDTH for y in range(HEIGHT)]
    for line in lines:
        line[::50] = b"\1" * len(line[::50])
    for colour, (height, period) in enumerate(((200, 127), (120, 60), (70, 23)), start=2):
        for x in range(WIDTH):
            top = int(HEIGHT / 2 + height * math.sin(x / period))
            for line in lines[top - 2 : top + 3]:
                line[x] = colour
    return png(palette, lambda y: bytes(lines[y]))


def mountains() -> bytes:
    """One steep mountain with snow in front of a pale sky."""
    sky = blend((120, 170, 220), (240, 235, 225), steps=200)
    palette = [*sky, (250, 250, 255), (70, 90, 120), (50, 80, 60)]
    snow, rock, meadow, top = 200, 201, 202, 140

    def row(y: int) -> bytes:
        line = bytearray([meadow if y > 520 else y * 199 // HEIGHT]) * WIDTH
        half = int(((max(0, y - top) / 380) ** 1.3) * 330) + (18 if y >= top else 0)
        if top <= y <= 520:
            colour = snow if y < 260 else rock
            line[WIDTH // 2 - half : WIDTH // 2 + half] = bytes([colour]) * (2 * half)
        return bytes(line)

    return png(palette, row)
