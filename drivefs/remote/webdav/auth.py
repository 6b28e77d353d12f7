"""Who we are to a server, and where the secret may go. How it is proven in each request is `login`'s matter.

A password or token is never part of a repr, a log or an error.
"""

from __future__ import annotations

import ipaddress
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from drivefs.errors import UsageError
from drivefs.remote.webdav.paths import Base

Scheme = Literal["auto", "basic", "digest", "bearer"]
"""How to prove who we are; `auto`: as the server asks for it."""

INSECURE = "use https, or allow it on purpose (--insecure-auth)"


class Credentials(msgspec.Struct, frozen=True):
    """`password` may be one for this program alone (an app password); for `bearer` it is the token, and no user."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials(user={self.user!r}, password=...)"


def check_login(base: Base, credentials: Credentials | None, scheme: Scheme, *, allow_insecure: bool) -> None:
    """Raises: UsageError for what cannot be sent, or must not: a secret that would cross a network unencrypted.

    With `auto` that is not known yet: the server may ask for Digest, which does not tell the password.
    """
    if credentials is None:
        return
    if scheme in ("basic", "bearer") and not may_hear(base.url, allow_insecure=allow_insecure):
        raise UsageError(f"the password for {base.host} would be sent unencrypted: {INSECURE}")
    if any(ord(character) < 0x20 for character in credentials.user) or (":" in credentials.user and scheme == "basic"):
        raise UsageError("the user name has characters that cannot be sent")
    token = credentials.password
    if scheme == "bearer" and not (token.isascii() and token.isprintable() and " " not in token and token):
        raise UsageError("the token has characters that no token has (RFC 6750): is it one?")


def may_hear(url: str, *, allow_insecure: bool) -> bool:
    """Whether a secret may go to `url` as it is: nobody can listen, or it was allowed on purpose."""
    parts = urlsplit(url)
    return parts.scheme == "https" or allow_insecure or is_loopback(parts.hostname or "")


def is_loopback(host: str) -> bool:
    """Whether what is sent to `host` stays on this computer. Names other than localhost are not looked up."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
