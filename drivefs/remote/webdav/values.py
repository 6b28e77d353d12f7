"""Single values of HTTP and WebDAV: ETags, dates, sizes, status lines, ranges. Pure, and never failing.

What cannot be understood is None ("unknown"), for one odd value must not fail a whole listing. Only ranges are
strict: bytes at a wrong place would be damage.
"""

from __future__ import annotations

import re
from calendar import timegm
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

NS = 1_000_000_000

MONTHS = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), start=1
    )
}
CODING_SUFFIX = re.compile(r"(?:--?|;)(?:gzip|deflate|br|zstd)$")
"""What compressing servers append inside or outside of the quotes (Apache mod_deflate and mod_brotli, Jetty)."""
CONTENT_RANGE = re.compile(r"bytes\s+(?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)")


def parse_etag(text: str | None) -> tuple[str, bool] | None:
    """(opaque part, weak) of an ETag as in RFC 9110 section 8.8.3; None when there is none, or an empty one.

    Tolerates what servers do: no quotes (WsgiDAV's getetag), a lower-case `w/`, suffixes of compression.
    """
    if not text:
        return None
    text = text.strip()
    weak = text[:2] in ("W/", "w/")
    if weak:
        text = text[2:].lstrip()
    opaque = CODING_SUFFIX.sub("", text).strip('"')
    opaque = CODING_SUFFIX.sub("", opaque)
    return (opaque, weak) if opaque else None


def quote_etag(opaque: str | None) -> str | None:
    """A strong entity tag for a condition; None for one that cannot stand in a header, though a server told it."""
    if opaque is None or not opaque.isascii() or not opaque.isprintable() or '"' in opaque:
        return None
    return f'"{opaque}"'


def parse_size(text: str | None) -> int | None:
    """A count of bytes; None for anything but plain decimal digits (negative sizes mean "unknown" on ownCloud)."""
    text = text.strip() if text else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def parse_status(text: str | None) -> int | None:
    """The code of a status line, as in `HTTP/1.1 200 OK`."""
    words = text.split(None, 2) if text else []
    return int(words[1]) if len(words) > 1 and words[1].isascii() and words[1].isdigit() else None


def parse_date(text: str | None) -> int | None:
    """Nanoseconds since the epoch.

    RFC 9110 section 5.6.7 dates first and fast, as a listing has one per entry; then what else servers were
    seen to write: single-digit days, numeric zones, asctime with and without a zone, RFC 3339.
    """
    if not text:
        return None
    text = text.strip()
    try:
        if len(text) == 29 and text.endswith(" GMT") and text[19] == text[22] == ":":
            month = MONTHS[text[8:11]]
            parts = (int(text[12:16]), month, int(text[5:7]), int(text[17:19]), int(text[20:22]), int(text[23:25]))
            return timegm((*parts, 0, 0, 0)) * NS
        return _parse_odd_date(text)
    except (ValueError, KeyError, IndexError, TypeError, OverflowError):
        return None


def _parse_odd_date(text: str) -> int:
    if text[:4].isdigit():
        moment = datetime.fromisoformat(text)
    else:
        words = text.split()
        if len(words) == 6 and words[5].isdigit():  # Mon Jan  2 15:04:05 UTC 2006, as of date(1)
            text = f"{words[0]}, {words[2]} {words[1]} {words[5]} {words[3]} {words[4]}"
        moment = parsedate_to_datetime(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1_000_000) * 1000


def parse_retry_after(text: str | None, now_ns: int) -> float | None:
    """Seconds to wait, from a number of seconds or a date (RFC 9110 section 10.2.3); never negative."""
    seconds = parse_size(text)
    if seconds is not None:
        return float(seconds)
    date = parse_date(text)
    return None if date is None else max(0.0, (date - now_ns) / NS)


def parse_content_range(text: str | None) -> tuple[int | None, int | None, int | None] | None:
    """(first, last, total) of a Content-Range (RFC 9110 section 14.4); None when it is not one of bytes.

    `bytes */N` of a 416 has neither first nor last; total is None for `*`.
    """
    match = CONTENT_RANGE.fullmatch(text.strip()) if text else None
    if match is None:
        return None
    first, last, total = match.groups()
    return _number(first), _number(last), _number(total)


def _number(digits: str | None) -> int | None:
    return None if digits in (None, "*") else int(digits)
