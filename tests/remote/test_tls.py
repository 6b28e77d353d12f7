"""Encrypted connections: whom the client trusts, and how it shows who it is, with a real Apache."""

from __future__ import annotations

import re
import ssl
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import trio

from drivefs.errors import NotPermitted, TlsError, Unauthorized, UsageError
from drivefs.model import Ref
from drivefs.remote.open import open_remote
from drivefs.remote.webdav.auth import Credentials
from drivefs.remote.webdav.client import WebDavRemote
from drivefs.remote.webdav.tls import fingerprint as fingerprint_of
from tests.support.names import hosts
from tests.support.scripted import Scripted, folder, http, multistatus
from tests.support.servers import Server, apache, make_certificates, openssl

ANN = Credentials("ann", "s3cret ü")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with apache(users={"ann": ANN.password}, tls=True) as server:
        (server.data / "f").write_bytes(b"secret")
        yield server


@pytest.fixture(scope="module")
def fingerprint(server: Server) -> str:
    command = ["openssl", "x509", "-in", f"{server.root}/server.pem", "-noout", "-fingerprint", "-sha256"]
    printed = subprocess.run(command, check=True, capture_output=True).stdout.decode()
    return "SHA256:" + printed.strip().rpartition("=")[2]


async def names(remote: WebDavRemote) -> list[str]:
    try:
        await remote.connect()
        return [child.name for child in (await remote.list(Ref())).children]
    finally:
        await remote.aclose()


# Their certificate


async def test_a_pinned_certificate_is_trusted_though_nobody_vouches_for_it(server: Server, fingerprint: str) -> None:
    for pin in (fingerprint, fingerprint.replace(":", "").replace("SHA256", "sha256:").lower()):
        assert await names(open_remote(server.url, credentials=ANN, pin_cert=pin)) == ["f"]


async def test_a_pinned_certificate_may_have_another_name(server: Server, fingerprint: str) -> None:
    with hosts({"nas.example": "127.0.0.1"}):
        url = server.url.replace("127.0.0.1", "nas.example")
        with pytest.raises(TlsError, match="Hostname mismatch"):
            await names(open_remote(url, credentials=ANN, ca_cert=server.ca_cert))
        assert await names(open_remote(url, credentials=ANN, pin_cert=fingerprint)) == ["f"]


async def test_nothing_else_is_trusted_under_a_pin(server: Server, fingerprint: str) -> None:
    """Not even what an authority of ours vouches for; and nothing is sent before that is known."""
    server.forget_requests()
    other = "SHA256:" + "AB" * 32
    with pytest.raises(TlsError, match="not the pinned one") as caught:
        await names(open_remote(server.url, credentials=ANN, ca_cert=server.ca_cert, pin_cert=other))
    assert fingerprint in str(caught.value)
    assert server.requests() == []


async def test_every_connection_is_held_against_the_pin(tmp_path: Path) -> None:
    """The certificate is replaced while the client runs: the first new connection notices, and says nothing there."""
    first, second = tmp_path / "first", tmp_path / "second"
    for folder_ in (first, second):
        folder_.mkdir()
        make_certificates(folder_)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(first / "server.pem", first / "server.key")
    server = Scripted(lambda asked: http(207, multistatus(folder(asked.target))))
    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_ssl_over_tcp, server.serve, 0, context, host="127.0.0.1")
        (listener, *_) = await nursery.start(serve)
        url = f"https://127.0.0.1:{listener.transport_listener.socket.getsockname()[1]}/"
        der = ssl.PEM_cert_to_DER_cert((first / "server.pem").read_text())
        remote = open_remote(url, credentials=ANN, pin_cert=fingerprint_of(der))
        await remote.stat(Ref())
        context.load_cert_chain(second / "server.pem", second / "server.key")
        await remote.stat(Ref())  # over the connection that was kept
        asked = len(server.requests)
        async with remote._session.exchange(remote._session.metadata, "GET", url, headers={}):
            with pytest.raises(TlsError, match="not the pinned one"):
                await remote.stat(Ref(("f",)))
        assert len(server.requests) == asked + 1
        await remote.aclose()
        nursery.cancel_scope.cancel()


async def test_an_untrusted_certificate_is_shown_so_that_a_person_can_pin_it(server: Server, fingerprint: str) -> None:
    server.forget_requests()
    with pytest.raises(TlsError) as caught:
        await names(open_remote(server.url, credentials=ANN))
    shown = re.search(r"--pin-cert (\S+)", str(caught.value))
    assert shown is not None
    assert shown[1] == fingerprint
    assert "--ca-cert FILE" in str(caught.value)
    assert server.requests() == []


@pytest.mark.parametrize("pin", ["SHA256:12", "MD5:" + "0" * 64, "0" * 64, "", "SHA256:" + "g" * 64])
def test_what_is_no_fingerprint_is_refused(pin: str) -> None:
    with pytest.raises(UsageError, match="64 hexadecimal digits"):
        open_remote("https://h/", pin_cert=pin)


def test_certificates_without_encryption_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="https"):
        open_remote("http://h/", pin_cert="SHA256:" + "0" * 64)
    with pytest.raises(UsageError, match="https"):
        open_remote("http://h/", client_cert=tmp_path / "x")


# Our certificate

WHOLE = "SSLVerifyClient require\nSSLCACertificateFile {root}/ca.pem"
LATE = "SSLCACertificateFile {root}/ca.pem\n<Location />\nSSLVerifyClient require\nSSLVerifyDepth 1\n</Location>"
OLD = WHOLE + "\nSSLProtocol TLSv1.2"


@pytest.fixture(scope="module", params=[WHOLE, LATE, OLD], ids=["whole", "late", "TLS 1.2"])
def strict(request: pytest.FixtureRequest) -> Iterator[Server]:
    with apache(tls=True, extra=request.param) as server:
        (server.data / "f").write_bytes(b"secret")
        yield server


async def test_a_client_certificate_opens_the_share(strict: Server) -> None:
    certificate, key = strict.root / "client.pem", strict.root / "client.key"
    remote = open_remote(strict.url, ca_cert=strict.ca_cert, client_cert=certificate, client_key=key)
    assert await names(remote) == ["f"]
    both = strict.root / "both.pem"
    both.write_text(certificate.read_text() + key.read_text())
    assert await names(open_remote(strict.url, ca_cert=strict.ca_cert, client_cert=both)) == ["f"]


async def test_without_one_it_is_said_what_is_missing(strict: Server) -> None:
    """But for a server that asks late: under TLS 1.3 it cannot ask a client that has none, and just refuses."""
    error = pytest.raises((Unauthorized, TlsError, NotPermitted), match=r"--client-cert FILE|answered 403")
    with error:
        await names(open_remote(strict.url, ca_cert=strict.ca_cert))


async def test_a_certificate_of_strangers_is_not_accepted(strict: Server, tmp_path: Path) -> None:
    """Neither of another authority of the same name, nor of none."""
    make_certificates(tmp_path)
    alone = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl(tmp_path, *alone, "-subj", "/CN=x", "-keyout", "alone.key", "-out", "alone.pem")
    for name in ("client", "alone"):
        certificate, key = tmp_path / f"{name}.pem", tmp_path / f"{name}.key"
        with pytest.raises(Unauthorized, match="does not accept your client certificate"):
            await names(open_remote(strict.url, ca_cert=strict.ca_cert, client_cert=certificate, client_key=key))


def test_files_that_are_no_certificates_are_told(server: Server, tmp_path: Path) -> None:
    nothing, certificate, key = tmp_path / "x", server.root / "client.pem", server.root / "client.key"
    locked = tmp_path / "locked"
    openssl(tmp_path, "ec", "-in", str(key), "-aes128", "-passout", "pass:x", "-out", str(locked))
    for files in ((nothing, None), (certificate, None), (certificate, nothing), (certificate, locked), (None, key)):
        with pytest.raises(UsageError):
            open_remote("https://h/", client_cert=files[0], client_key=files[1])
    with pytest.raises(UsageError, match="encrypted"):
        open_remote("https://h/", client_cert=certificate, client_key=locked)
