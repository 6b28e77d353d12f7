"""The one map from what httpx, h11 and HTTP say to the errors of drivefs.

Texts name what was asked and what to do; they hold no headers, no bodies and no credentials.
"""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import h11
import httpx

from drivefs.errors import (
    BadAnswer,
    NotFound,
    NotPermitted,
    QuotaExceeded,
    Refused,
    RemoteError,
    ServerBusy,
    TlsError,
    Unauthorized,
    Unreachable,
    VersionMismatch,
)
from drivefs.remote.retry import ConnectionClosed
from drivefs.remote.webdav.tls import PinMismatch
from drivefs.remote.webdav.values import parse_date, parse_retry_after

E = TypeVar("E", bound=BaseException)

TRANSPORT_ERRORS: Final = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, h11.ProtocolError)
"""All that sending and receiving may raise; h11's LocalProtocolError escapes httpx as it is."""

BY_STATUS: Final[dict[int, type[RemoteError]]] = {
    401: Unauthorized,
    403: NotPermitted,
    404: NotFound,
    407: Unauthorized,
    408: ServerBusy,
    410: NotFound,
    412: VersionMismatch,
    423: ServerBusy,
    425: ServerBusy,
    429: ServerBusy,
    501: Refused,  # not implemented, and 505 not supported: waiting does not help
    505: Refused,
    507: QuotaExceeded,
}
HINTS: Final = {
    401: "check the user name and the password",
    407: "a proxy asks for credentials",
    403: "the server does not permit it",
    413: "it is larger than the server takes",
    507: "the share is full",
}
LONGEST_RETRY_AFTER: Final = 3600.0
"""Seconds: a server, or a wrong clock, that asks for more is asked again after this."""
LOST: Final = (httpx.ReadError, httpx.WriteError, httpx.CloseError)


class UntrustedCertificate(TlsError):
    """Nobody whom we trust vouches for the server's certificate. A person may, by its fingerprint."""


def class_of_status(status: int) -> type[RemoteError]:
    """Which error a status is, when it is not what was hoped for."""
    if status in BY_STATUS:
        return BY_STATUS[status]
    if status >= 500:
        return ServerBusy
    return Refused if status >= 400 else BadAnswer


def error_of_status(status: int, what: str, headers: httpx.Headers | None = None) -> RemoteError:
    """The error for a status that refuses `what`, or that is no answer to it."""
    kind = class_of_status(status)
    text = f"{what}: the server answered {status}"
    if status in HINTS:
        text += f" ({HINTS[status]})"
    if kind is ServerBusy:
        return ServerBusy(text, _retry_after(headers))
    return kind(text)


def _retry_after(headers: httpx.Headers | None) -> float | None:
    if headers is None:
        return None
    now = parse_date(headers.get("date"))
    wait = parse_retry_after(headers.get("retry-after"), time.time_ns() if now is None else now)
    return None if wait is None else min(wait, LONGEST_RETRY_AFTER)


def error_of_transport(error: Exception, what: str, *, answered: bool = True) -> RemoteError:
    """The error for a failed exchange. `answered`: the first line of an answer had arrived."""
    tls = _cause(error, ssl.SSLError)
    if tls is not None and (refused := _error_of_tls(tls, what, connecting=isinstance(error, httpx.ConnectError))):
        return refused
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return Unreachable(f"{_place(error, what)}: {_why_no_connection(error)}")
    closed = isinstance(error, LOST) or (isinstance(error, httpx.RemoteProtocolError) and "disconnect" in str(error))
    if closed and not answered:
        return ConnectionClosed(f"{what}: the server closed the connection without an answer")
    if isinstance(error, httpx.TimeoutException):
        return Unreachable(f"{what}: the server did not answer in time")
    if closed or isinstance(error, httpx.NetworkError | httpx.ProxyError) or "peer closed" in str(error):
        return Unreachable(f"{what}: {_reason(error)}")
    return BadAnswer(f"{what}: not a valid HTTP answer ({_reason(error)})")


def _error_of_tls(error: ssl.SSLError, what: str, *, connecting: bool) -> RemoteError | None:
    """Who does not trust whom. The server's word on our certificate comes with the first answer under TLS 1.3."""
    if isinstance(error, PinMismatch):
        return TlsError(f"{what}: the server's certificate is not the pinned one, its fingerprint is {error.shown}")
    if isinstance(error, ssl.SSLCertVerificationError):
        return UntrustedCertificate(
            f"{what}: the server's certificate is not trusted ({error.verify_message}); "
            "if it is the right server, give its CA certificate (--ca-cert FILE)"
        )
    reason = error.reason or ""
    if "ALERT" in reason and "CERTIFICATE_REQUIRED" in reason:
        return Unauthorized(f"{what}: the server asks for a certificate of yours: give it with --client-cert FILE")
    if "ALERT" in reason and any(word in reason for word in ("CERTIFICATE", "UNKNOWN_CA", "DECRYPT_ERROR")):
        return Unauthorized(f"{what}: the server does not accept your client certificate ({_in_words(reason)})")
    if not connecting:
        return None
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST"):
        return TlsError(f"{what}: no encrypted connection could be made (no TLS there); check the address and the port")
    return TlsError(
        f"{what}: no encrypted connection could be made ({_in_words(reason)}); check the address and the port, "
        "and whether the server asks for a client certificate (--client-cert FILE)"
    )


def _in_words(reason: str) -> str:
    return reason.lower().replace("_", " ")


def _place(error: httpx.RequestError, what: str) -> str:
    """`host`, or `host:port`, as people type it."""
    try:
        return error.request.url.netloc.decode("ascii")
    except RuntimeError:  # it knows of no request
        return what


def _why_no_connection(error: httpx.RequestError) -> str:
    name = _cause(error, socket.gaierror)
    if name is not None and name.errno == socket.EAI_AGAIN:
        return "the name cannot be looked up (check the network)"
    if name is not None:
        return "name not found (check the address, and the network)"
    if isinstance(error, httpx.ConnectTimeout):
        return "no answer (check the address, and the network)"
    reason = _reason(error)
    hint = "check the address and the port" if "refused" in reason else "check the network"
    return f"{reason} ({hint})"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """`error` and what led to it; of a group (one for each address of a host) the first."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        group = seen.exceptions if isinstance(seen, BaseExceptionGroup) else ()
        seen = group[0] if group else seen.__cause__ or seen.__context__


def _cause(error: BaseException, kind: type[E]) -> E | None:
    return next((cause for cause in _causes(error) if isinstance(cause, kind)), None)


def _reason(error: Exception) -> str:
    """What a person can do something with: the system's own words, where it had any."""
    for cause in _causes(error):
        if isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError) and cause.errno is not None:
            return os.strerror(cause.errno).lower()
    return str(error) or type(error).__name__


@contextmanager
def mapped(what: str, *, answered: bool = True) -> Iterator[None]:
    """Turns every error of the transport inside into one of drivefs'."""
    try:
        yield
    except TRANSPORT_ERRORS as error:
        raise error_of_transport(error, what, answered=answered) from error
