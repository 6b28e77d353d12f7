"""Whom we trust on the other end of an encrypted connection, and what we show of ourselves there.

A pinned certificate is held against every handshake, before anything else is said: the check is a part of the
handshake of the context's own connections, so that no way of connecting can leave it out.
"""

from __future__ import annotations

import hashlib
import os
import ssl
from pathlib import Path
from typing import Final

import certifi
import msgspec
import trio

from drivefs.config import parse_pin
from drivefs.errors import UsageError

PROBE_SECONDS: Final = 5.0


class Tls(msgspec.Struct, frozen=True):
    """`ca_cert`: authorities (PEM) trusted beside the system's. `client_cert`, `client_key`: ours (PEM), the key
    may stand in the same file. `pin`: the fingerprint of the only certificate that is accepted, whoever signed it,
    whatever its names and dates."""

    ca_cert: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    pin: str | None = None


class PinMismatch(ssl.SSLCertVerificationError):
    """The server has another certificate than the pinned one; `shown` is its fingerprint."""

    def __init__(self, shown: str) -> None:
        super().__init__(f"not the pinned certificate but {shown}")
        self.shown = shown


def make_context(tls: Tls) -> ssl.SSLContext:
    """Raises: UsageError for files that are no certificates or keys."""
    context = ssl.create_default_context()
    if not system_has_authorities():
        context.load_verify_locations(certifi.where())
    if tls.ca_cert is not None:
        try:
            context.load_verify_locations(tls.ca_cert)
        except OSError as error:
            raise UsageError(f"{tls.ca_cert}: not a file of CA certificates in PEM form ({error})") from error
    if tls.client_cert is not None:
        _show(context, tls.client_cert, tls.client_key)
    elif tls.client_key is not None:
        raise UsageError("a client key (--client-key) without its certificate: give --client-cert, too")
    if tls.pin is not None:
        _pin(context, tls.pin)
    return context


def _show(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    """Prove who we are by a certificate, also where the server asks for it late (TLS 1.3, for some paths only)."""

    def no_password() -> str:
        raise ValueError("the key is encrypted; store it without a password, readable by you only")

    try:
        context.load_cert_chain(certificate, key, no_password)
    except (OSError, ValueError) as error:
        raise UsageError(f"{key or certificate}: no client certificate and key in PEM form ({error})") from error
    context.post_handshake_auth = True


def _pin(context: ssl.SSLContext, pin: str) -> None:
    try:
        wanted = parse_pin(pin)
    except ValueError as error:
        raise UsageError(f"{pin}: is no fingerprint; it must be {error}") from None

    class Pinned(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            shown = fingerprint(self.getpeercert(binary_form=True))
            if shown != wanted:
                raise PinMismatch(shown)

    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.sslobject_class = Pinned


def fingerprint(certificate: bytes | None) -> str:
    """Of a certificate in DER form, as `openssl x509 -fingerprint -sha256` prints it."""
    return "SHA256:" + hashlib.sha256(certificate or b"").digest().hex(":").upper()


async def ask_fingerprint(host: str, port: int) -> str | None:
    """The fingerprint of the certificate that a server shows, trusted or not; None when it shows none by now.

    For people to compare: nothing is sent over that connection.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with trio.move_on_after(PROBE_SECONDS):
        try:
            stream = await trio.open_ssl_over_tcp_stream(host, port, https_compatible=True, ssl_context=context)
        except OSError:
            return None
        try:
            await stream.do_handshake()
            return fingerprint(stream.getpeercert(binary_form=True))
        except (trio.BrokenResourceError, ssl.SSLError):
            return None
        finally:
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(stream)
    return None


def system_has_authorities() -> bool:
    """False on a system without the usual certificates package."""
    found = ssl.get_default_verify_paths()
    return bool(found.cafile and os.path.isfile(found.cafile)) or bool(
        found.capath and os.path.isdir(found.capath) and os.listdir(found.capath)
    )
