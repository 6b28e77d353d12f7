"""From an address to a remote: the one place that knows which kinds there are."""

from __future__ import annotations

from pathlib import Path

from drivefs.errors import UsageError
from drivefs.remote.base import RequestHook
from drivefs.remote.webdav.auth import Credentials, Scheme
from drivefs.remote.webdav.client import WebDavRemote
from drivefs.remote.webdav.paths import parse_base
from drivefs.remote.webdav.tls import Tls
from drivefs.remote.webdav.writable import WritableWebDav


def open_remote(
    url: str,
    *,
    credentials: Credentials | None = None,
    auth: Scheme = "auto",
    ca_cert: Path | None = None,
    client_cert: Path | None = None,
    client_key: Path | None = None,
    pin_cert: str | None = None,
    allow_insecure_auth: bool = False,
    hook: RequestHook | None = None,
) -> WebDavRemote:
    """The remote at `url` (http, https, dav, davs), not yet connected; nothing is sent.

    Raises: UsageError when the address is none of these, holds a password, or would get one unencrypted, and when
    a certificate or key cannot be used.
    """
    tls = tls_for(url, Tls(ca_cert, client_cert, client_key, pin_cert))
    return WebDavRemote(
        url, credentials=credentials, auth=auth, tls=tls, allow_insecure_auth=allow_insecure_auth, hook=hook
    )


def open_writable_remote(
    url: str,
    *,
    credentials: Credentials | None = None,
    auth: Scheme = "auto",
    ca_cert: Path | None = None,
    client_cert: Path | None = None,
    client_key: Path | None = None,
    pin_cert: str | None = None,
    allow_insecure_auth: bool = False,
    hook: RequestHook | None = None,
) -> WritableWebDav:
    """As `open_remote`, for drives whose direction sends; no other may have one."""
    tls = tls_for(url, Tls(ca_cert, client_cert, client_key, pin_cert))
    return WritableWebDav(
        url, credentials=credentials, auth=auth, tls=tls, allow_insecure_auth=allow_insecure_auth, hook=hook
    )


def tls_for(url: str, tls: Tls) -> Tls:
    if (tls.client_cert or tls.pin) and not parse_base(url).secure:
        raise UsageError(f"{url}: certificates are for https addresses")
    return tls
