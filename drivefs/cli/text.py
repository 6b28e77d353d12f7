"""How things are written for people: names, sizes, times. Nothing here decides anything.

Names come from servers and may hold bytes that are no text, or escape sequences for the terminal: what is
printed goes through `printable`.
"""

from __future__ import annotations

import shlex
import sys
from datetime import UTC, datetime


def printable(name: str) -> str:
    """A name or message that a terminal shows and does not obey."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def typed(*words: str) -> str:
    """What to type, quoted where a shell needs it."""
    return "type: " + shlex.join(words)


def size_text(size: float) -> str:
    """1536 → "1.5 KiB"."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def span_text(seconds: float) -> str:
    """75 → "1 min 15 s"; the two largest units."""
    seconds = max(0, round(seconds))
    parts = []
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, seconds = divmod(seconds, length)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def since_text(then: datetime | None, now: datetime) -> str:
    return f"{span_text((now - then).total_seconds())} ago" if then else "never"


def until_text(then: datetime | None, now: datetime) -> str:
    if then is None:
        return "–"
    return f"in {span_text((then - now).total_seconds())}" if then > now else "due"


def now() -> datetime:
    return datetime.now(UTC)


def on_terminal() -> bool:
    """Whether standard output is for a person to look at."""
    return sys.stdout.isatty()
