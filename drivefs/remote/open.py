"""From an address to a remote: the one place that knows which kinds there are."""

from __future__ import annotations

from pathlib import Path

from drivefs.remote.base import RequestHook
from drivefs.remote.webdav.auth import Credentials
from drivefs.remote.webdav.client import WebDavRemote


def open_remote(
    url: str,
    *,
    credentials: Credentials | None = None,
    ca_cert: Path | None = None,
    allow_insecure_auth: bool = False,
    hook: RequestHook | None = None,
) -> WebDavRemote:
    """The remote at `url` (http, https, dav, davs), not yet connected; nothing is sent.

    Raises: UsageError when the address is none of these, holds a password, or would get one unencrypted.
    """
    return WebDavRemote(
        url, credentials=credentials, ca_cert=ca_cert, allow_insecure_auth=allow_insecure_auth, hook=hook
    )
