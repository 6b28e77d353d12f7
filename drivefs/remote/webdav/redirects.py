"""The rule for redirects: pure, and stricter than that of any library.

Only requests that read are followed, only to the same server, or from http to https of the same host. Never to
http, never to another host: neither the password nor the question goes there.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urljoin, urlsplit

from drivefs.errors import BadAnswer
from drivefs.remote.retry import SAFE_METHODS

STATUSES: Final = (301, 302, 303, 307, 308)
PERMANENT: Final = (301, 308)
LIMIT: Final = 5
PORTS: Final = {"http": 80, "https": 443}


def target(method: str, url: str, status: int, location: str) -> str:
    """Where to ask next. `url` is what was asked, `location` the header as it came.

    Raises: BadAnswer when the redirect is not to be followed; its text names where it led to.
    """
    try:
        wanted = urljoin(url, location)
    except ValueError as error:
        raise BadAnswer(f"{method} {url}: the server redirects to no address at all") from error
    reads = method in SAFE_METHODS  # a DELETE of a file must not follow to the folder that took its name
    if reads and wanted.partition("?")[0].endswith("/") and only_adds_slash(url, wanted):
        return url + "/"  # the host is left as we know it: behind a proxy a server may tell a wrong one
    shown = wanted.partition("?")[0]
    if not reads or (status == 303 and method not in ("GET", "HEAD")):
        raise BadAnswer(f"{method} {url}: the server redirects to {shown}")
    if not may_follow(url, wanted):
        raise BadAnswer(f"{method} {url}: the server redirects to another place: {shown}")
    return wanted


def only_adds_slash(url: str, wanted: str) -> bool:
    """Whether the redirect is that of a collection that was asked for without its slash."""
    return urlsplit(wanted).path == urlsplit(url).path + "/"


def may_follow(url: str, wanted: str) -> bool:
    try:
        old, new = _place(url), _place(wanted)
    except ValueError:
        return False
    return new == old or (old[0] == "http" and new[0] == "https" and old[1] == new[1])


def _place(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    if parts.scheme not in PORTS or parts.username is not None:
        raise ValueError("no place to follow to")
    return parts.scheme, parts.hostname, parts.port or PORTS[parts.scheme]
