"""Paths of a share: from a `Ref` to a URL, and from an href back to a path below the share's root.

Names are exact bytes. They are percent-encoded one by one when they go out, and decoded once, one by one, when
they come back, so that `%2F` in a name is never a slash and hrefs compare equal however a server escapes them.
httpx never sees a decoded path: it would encode some of it again.
"""

from __future__ import annotations

from urllib.parse import quote, unquote_to_bytes, urlsplit

import msgspec

from drivefs.errors import UsageError
from drivefs.model import decode_name, encode_name

SCHEMES = {"http": "http", "https": "https", "dav": "http", "davs": "https", "webdav": "http", "webdavs": "https"}


class Base(msgspec.Struct, frozen=True):
    """Where the share's root is: `origin` like `https://host:8443`, `segments` the decoded names of its path."""

    origin: str
    host: str
    segments: tuple[str, ...]

    @property
    def secure(self) -> bool:
        return self.origin.startswith("https:")

    @property
    def url(self) -> str:
        return self.url_of((), directory=True)

    def url_of(self, path: tuple[str, ...], *, directory: bool) -> str:
        """The URL of an entry; a collection's ends with a slash, as Apache, nginx and lighttpd insist on it."""
        return self.origin + self.path_of(path, directory=directory)

    def path_of(self, path: tuple[str, ...], *, directory: bool) -> str:
        encoded = "".join("/" + encode_segment(name) for name in (*self.segments, *path))
        return encoded + "/" if directory or not encoded else encoded

    def below(self, href: str) -> tuple[str, ...] | None:
        """The path of an href below the root, `()` for the root itself; None for what is elsewhere.

        Only the path counts: behind a proxy, the scheme and the host may be any.
        """
        segments = segments_of(href)
        depth = len(self.segments)
        return segments[depth:] if segments[:depth] == self.segments else None


def parse_base(url: str) -> Base:
    """The base of an address that a person gave. Raises UsageError, in which no password ever stands."""
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        raise UsageError("the address of the share is not a URL") from None
    if parts.username is not None or parts.password is not None:
        raise UsageError("the address of the share must not hold a user name or password: give them apart")
    scheme = SCHEMES.get(parts.scheme)
    if scheme is None or not host:
        raise UsageError(f"{url}: not an address of a WebDAV share (https://host/path)")
    if parts.query or parts.fragment:
        raise UsageError(f"{url}: the address of a share has no `?` or `#` (write %3F or %23 for one in a name)")
    segments = segments_of(parts.path)
    if ".." in segments or "." in segments:
        raise UsageError(f"{url}: the address of a share has no `.` or `..` in it")
    authority = f"[{host}]" if ":" in host else host
    return Base(f"{scheme}://{authority}" + (f":{port}" if port else ""), host, segments)


def encode_segment(name: str) -> str:
    return quote(encode_name(name), safe="")


def decode_segment(segment: str) -> str:
    return decode_name(unquote_to_bytes(segment)) if "%" in segment else segment


def segments_of(href: str) -> tuple[str, ...]:
    """The decoded names of an href's path, absolute or not; doubled slashes count once.

    `?` and `#` are taken for parts of names: no server has queries in its hrefs, but some forget to escape.
    """
    scheme, separator, rest = href.partition("://")
    if separator and "/" not in scheme:
        href = rest.partition("/")[2]
    return tuple(decode_segment(segment) for segment in href.strip().split("/") if segment)
