"""Headers that say under which condition a change may be made. Pure.

ETags are asked for in both strengths: Apache tells a weak one for a second after each change, which then turns strong,
and a strong condition on a weak tag never holds (RFC 9110 section 8.8.3.2). Conditions of the If header name their
resource by its absolute URL (RFC 4918 section 10.4): Apache answers 424 to a DELETE without.
"""

from __future__ import annotations

from drivefs.model import Version
from drivefs.remote.webdav.values import quote_etag


def if_header(url: str, etag: str | None, token: str = "") -> dict[str, str]:
    """What stands at `url` has this ETag, and is locked by us under `token`; {} when there is nothing to say.

    `etag` is opaque, as in `Version`; one that cannot stand in a header is left out.
    """
    lock = f"<{token}>" if token else ""
    quoted = quote_etag(etag)
    if quoted is None:
        return {"If": f"<{url}> ({lock})"} if lock else {}
    separator = " " if lock else ""
    return {"If": f"<{url}> ({lock}{separator}[{quoted}]) ({lock}{separator}[W/{quoted}])"}


def if_locked(token: str) -> dict[str, str]:
    """What the request is about is locked by us. Untagged: nginx knows its own URLs only when nothing in them is
    percent-encoded."""
    return {"If": f"(<{token}>)"}


def if_match(etag: str | None) -> dict[str, str]:
    """What stands there has this ETag."""
    quoted = quote_etag(etag)
    return {} if quoted is None else {"If-Match": quoted}


def is_condition(version: Version) -> bool:
    """Whether a server can be asked to check for this version."""
    return quote_etag(version.etag) is not None


ABSENT = {"If-None-Match": "*"}
"""Nothing stands there (RFC 9110 section 13.1.2)."""
