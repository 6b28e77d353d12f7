"""The WebDAV client against real servers, where one server has something that the others have not."""

from __future__ import annotations

import os
from collections.abc import Iterator

import httpcore
import pytest

from drivefs.errors import NotAShare, TlsError, Unauthorized
from drivefs.model import Ref, Version
from drivefs.remote.open import open_remote
from drivefs.remote.webdav.auth import Credentials
from drivefs.remote.webdav.session import SOCKET_READ_BYTES, read_in_large_pieces
from tests.remote.conftest import Farm
from tests.remote.worlds import OLD
from tests.support.servers import Server, apache

ANN = Credentials("ann", "s3cret ü")


@pytest.fixture(scope="module")
def secure() -> Iterator[Server]:
    with apache(users={"ann": ANN.password}, tls=True) as server:
        yield server


async def test_tls_with_an_own_authority_and_a_password(secure: Server) -> None:
    (secure.data / "f").write_bytes(b"secret")
    remote = open_remote(secure.url, credentials=ANN, ca_cert=secure.ca_cert)
    await remote.connect()
    assert [child.name for child in (await remote.list(Ref())).children] == ["f"]
    await remote.aclose()


async def test_an_unknown_authority_is_not_trusted(secure: Server) -> None:
    secure.forget_requests()
    remote = open_remote(secure.url, credentials=ANN)
    with pytest.raises(TlsError, match="give its CA certificate"):
        await remote.connect()
    await remote.aclose()
    assert secure.requests() == []


async def test_a_wrong_password_is_told(secure: Server) -> None:
    for credentials in (None, Credentials("ann", "wrong")):
        remote = open_remote(secure.url, credentials=credentials, ca_cert=secure.ca_cert)
        with pytest.raises(Unauthorized):
            await remote.connect()
        await remote.aclose()


async def test_a_root_that_is_missing_is_no_share(farm: Farm) -> None:
    for name in ("apache", "wsgidav", "rclone", "nginx"):
        remote = open_remote(farm[name].url + "nothing/here/")
        with pytest.raises(NotAShare):
            await remote.connect()
        await remote.aclose()


async def test_a_read_left_early_costs_little(farm: Farm) -> None:
    """What the server sends of a big file is what fits into buffers, not the file."""
    server = farm["apache"]
    (server.data / "big").touch()
    os.truncate(server.data / "big", 64 * 2**20)
    remote = open_remote(server.url)
    version = (await remote.stat(Ref(("big",)))).version
    server.forget_requests()
    async with remote.read(Ref(("big",)), version=version, offset=32 * 2**20) as stream:
        assert len(await stream.receive()) <= SOCKET_READ_BYTES
    await remote.aclose()
    (request,) = server.requests(at_least=1)
    assert (request.method, request.path, request.range) == ("GET", "/big", f"bytes={32 * 2**20}-")
    assert request.sent < 16 * 2**20


async def test_httpcore_reads_the_socket_in_large_pieces(farm: Farm) -> None:
    """The name is private: this tells when it is gone, or no longer what counts."""
    assert isinstance(httpcore._async.http11.AsyncHTTP11Connection.READ_NUM_BYTES, int)
    server = farm["apache"]
    (server.data / "large").write_bytes(bytes(16 * 2**20))
    os.utime(server.data / "large", (OLD, OLD))
    remote = open_remote(server.url)
    version = (await remote.stat(Ref(("large",)))).version
    for size in (4096, SOCKET_READ_BYTES):
        read_in_large_pieces(size)
        largest = 0
        async with remote.read(Ref(("large",)), version=version) as stream:
            while piece := await stream.receive():
                largest = max(largest, len(piece))
        assert (largest > 65536) is (size == SOCKET_READ_BYTES)
    await remote.aclose()


async def test_what_the_servers_are_known_for(farm: Farm) -> None:
    folder_versions, hide, named = set(), set(), {}
    for name in ("apache", "wsgidav", "rclone", "nginx", "lighttpd", "sabre"):
        remote = open_remote(farm[name].url)
        await remote.connect()
        capabilities = remote.capabilities
        named[name] = capabilities.server.partition("/")[0]
        folder_versions |= {name} if capabilities.folder_versions else set()
        hide |= {name} if capabilities.hides_dotfiles else set()
        assert not capabilities.tree_etags
        assert not capabilities.file_ids
        await remote.aclose()
    assert (folder_versions, hide) == ({"apache", "lighttpd"}, {"nginx"})
    assert named["apache"] == "Apache"
    assert named["wsgidav"] == "WsgiDAV"


async def test_nginx_tells_an_etag_with_the_content_only(farm: Farm) -> None:
    server = farm["nginx"]
    (server.data / "f").write_bytes(b"content")
    os.utime(server.data / "f", (OLD, OLD))
    remote = open_remote(server.url)
    version = (await remote.stat(Ref(("f",)))).version
    assert version == Version(size=7, mtime_ns=OLD * 1_000_000_000)
    async with remote.read(Ref(("f",)), version=version) as stream:
        observed = stream.observed.version
    assert observed.etag is not None
    assert observed.same(version)
    async with remote.read(Ref(("f",)), version=observed, offset=3) as stream:
        assert await stream.receive() == b"tent"
    await remote.aclose()
