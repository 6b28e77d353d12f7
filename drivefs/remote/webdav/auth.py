"""Who we are to the server. Other ways (Digest, tokens) are other `httpx.Auth` objects, chosen in `choose_auth`.

A password is never part of a repr, a log or an error.
"""

from __future__ import annotations

import ipaddress

import httpx
import msgspec

from drivefs.errors import UsageError
from drivefs.remote.webdav.paths import Base


class Credentials(msgspec.Struct, frozen=True):
    user: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials(user={self.user!r}, password=...)"


def choose_auth(base: Base, credentials: Credentials | None, *, allow_insecure: bool) -> httpx.Auth | None:
    """How to prove who we are: Basic with every request (RFC 7617), where nobody can listen.

    Raises: UsageError before anything is sent, when the password would cross a network unencrypted.
    """
    if credentials is None:
        return None
    if not (base.secure or is_loopback(base.host) or allow_insecure):
        raise UsageError(f"the password for {base.host} would be sent unencrypted: use https, or allow it on purpose")
    return httpx.BasicAuth(credentials.user.encode(), credentials.password.encode())


def is_loopback(host: str) -> bool:
    """Whether what is sent to `host` stays on this computer. Names other than localhost are not looked up."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
