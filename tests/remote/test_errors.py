"""One map from statuses and transport errors to the errors of drivefs."""

from __future__ import annotations

import errno
import socket
import ssl

import h11
import httpx
import pytest

from drivefs import errors
from drivefs.remote.retry import ConnectionClosed
from drivefs.remote.webdav.errors import error_of_status, error_of_transport, mapped

STATUSES = {
    200: errors.BadAnswer,
    204: errors.BadAnswer,
    302: errors.BadAnswer,
    400: errors.Refused,
    401: errors.Unauthorized,
    403: errors.NotPermitted,
    404: errors.NotFound,
    405: errors.Refused,
    407: errors.Unauthorized,
    408: errors.ServerBusy,
    409: errors.Refused,
    410: errors.NotFound,
    412: errors.VersionMismatch,
    413: errors.Refused,
    415: errors.Refused,
    416: errors.Refused,
    418: errors.Refused,
    423: errors.ServerBusy,
    425: errors.ServerBusy,
    429: errors.ServerBusy,
    500: errors.ServerBusy,
    501: errors.Refused,
    502: errors.ServerBusy,
    503: errors.ServerBusy,
    504: errors.ServerBusy,
    505: errors.Refused,
    507: errors.QuotaExceeded,
    509: errors.ServerBusy,
    599: errors.ServerBusy,
}


@pytest.mark.parametrize(("status", "kind"), STATUSES.items())
def test_statuses(status: int, kind: type[errors.RemoteError]) -> None:
    error = error_of_status(status, "GET /f")
    assert type(error) is kind
    assert str(error).startswith(f"GET /f: the server answered {status}")


def test_retry_after_comes_with_the_error() -> None:
    headers = httpx.Headers({"Date": "Sun, 06 Nov 1994 08:49:37 GMT", "Retry-After": "Sun, 06 Nov 1994 08:50:37 GMT"})
    error = error_of_status(503, "GET /f", headers)
    assert isinstance(error, errors.ServerBusy)
    assert error.retry_after == 60.0


TRANSPORT = [
    (httpx.ConnectError("refused"), errors.Unreachable),
    (httpx.ConnectTimeout("slow"), errors.Unreachable),
    (httpx.ReadTimeout("slow"), errors.Unreachable),
    (httpx.WriteTimeout("slow"), errors.Unreachable),
    (httpx.PoolTimeout("slow"), errors.Unreachable),
    (httpx.ReadError("reset"), errors.Unreachable),
    (httpx.WriteError("reset"), errors.Unreachable),
    (httpx.ProxyError("proxy"), errors.Unreachable),
    (httpx.RemoteProtocolError("Server disconnected without sending a response."), errors.Unreachable),
    (httpx.RemoteProtocolError("peer closed connection without sending complete message body"), errors.Unreachable),
    (httpx.RemoteProtocolError("illegal status line"), errors.BadAnswer),
    (httpx.LocalProtocolError("illegal header"), errors.BadAnswer),
    (h11.LocalProtocolError("Too little data for declared Content-Length"), errors.BadAnswer),
    (httpx.DecodingError("gzip"), errors.BadAnswer),
    (httpx.StreamClosed(), errors.BadAnswer),
    (httpx.InvalidURL("no"), errors.BadAnswer),
]


@pytest.mark.parametrize(("cause", "kind"), TRANSPORT)
def test_errors_of_the_transport(cause: Exception, kind: type[errors.RemoteError]) -> None:
    with pytest.raises(kind) as caught, mapped("GET /f"):
        raise cause
    assert caught.value.__cause__ is cause


def test_a_connection_closed_before_the_answer_is_told_apart() -> None:
    cause = httpx.RemoteProtocolError("Server disconnected without sending a response.")
    assert type(error_of_transport(cause, "GET /f", answered=False)) is ConnectionClosed
    assert type(error_of_transport(cause, "GET /f", answered=True)) is errors.Unreachable


def test_an_untrusted_certificate_says_what_to_do() -> None:
    certificate = ssl.SSLCertVerificationError("bad")
    certificate.verify_message = "self-signed certificate"
    cause = httpx.ConnectError("tls")
    cause.__cause__ = certificate
    error = error_of_transport(cause, "OPTIONS /", answered=False)
    assert isinstance(error, errors.TlsError)
    assert "self-signed certificate" in str(error)
    assert "CA certificate" in str(error)


@pytest.mark.parametrize(
    ("cause", "text"),
    [
        (OSError(errno.ECONNREFUSED, "x"), "connection refused (check the address and the port)"),
        (
            ExceptionGroup("all", [OSError(errno.EHOSTUNREACH, "x"), OSError(errno.ENETUNREACH, "y")]),
            "no route to host (check the network)",
        ),
        (socket.gaierror(-2, "Name or service not known"), "name not found (check the address, and the network)"),
        (socket.gaierror(socket.EAI_AGAIN, "x"), "the name cannot be looked up (check the network)"),
        (None, "all attempts failed (check the network)"),
    ],
)
def test_what_the_system_says_is_told(cause: Exception | None, text: str) -> None:
    failed = OSError("all attempts failed")
    failed.__cause__ = cause
    error = httpx.ConnectError("all attempts failed", request=httpx.Request("OPTIONS", "https://h:8443/"))
    error.__cause__ = failed if isinstance(cause, ExceptionGroup) else cause
    assert str(error_of_transport(error, "OPTIONS https://h/")) == f"h:8443: {text}"
