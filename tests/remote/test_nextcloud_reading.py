"""Reading from a Nextcloud and an ownCloud: the contract, and what these two tell beyond it."""

from __future__ import annotations

import unicodedata
from collections.abc import AsyncIterator

import pytest

from drivefs.errors import NotAShare, ServerBusy, Unauthorized
from drivefs.model import Ref, Space
from drivefs.remote.base import Remote
from drivefs.remote.open import open_remote
from drivefs.remote.webdav.auth import Credentials
from drivefs.remote.webdav.client import WebDavRemote
from drivefs.remote.webdav.discovery import roots_of
from drivefs.remote.webdav.owncloud import parse_permissions
from drivefs.remote.webdav.paths import parse_base
from tests.remote.contract import ODD_NAMES, RemoteContract, by_name, read_all
from tests.remote.worlds import OLD, World
from tests.support.nextcloud import LOGIN, NEXTCLOUD, OWNCLOUD, PASSWORD, USER, Cloud, Product, nextcloud
from tests.support.scripted import Asked, http, scripted

ANN = Credentials(USER, PASSWORD)
PRODUCTS = {"nextcloud": NEXTCLOUD, "owncloud": OWNCLOUD}


def remote_of(cloud: Cloud, url: str = "", credentials: Credentials = ANN) -> WebDavRemote:
    return open_remote(url or cloud.url, credentials=credentials)


class CloudWorld:
    """The other side: what is put there has its name in NFC, as by any other client."""

    many = 1000

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    def open(self) -> Remote:
        return remote_of(self.cloud)

    def put(self, path: tuple[str, ...], content: bytes, *, mtime: int = OLD) -> None:
        self.cloud.storage.put(nfc(path), content, mtime_ns=mtime * 10**9)

    def mkdir(self, path: tuple[str, ...]) -> None:
        self.cloud.storage.mkdir(nfc(path))

    def delete(self, path: tuple[str, ...]) -> None:
        self.cloud.storage.delete(nfc(path))


def nfc(path: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(unicodedata.normalize("NFC", name) for name in path)


@pytest.fixture(params=list(PRODUCTS))
def product(request: pytest.FixtureRequest) -> Product:
    return PRODUCTS[request.param]


@pytest.fixture
async def cloud(product: Product) -> AsyncIterator[Cloud]:
    async with nextcloud(product) as cloud:
        yield cloud


@pytest.fixture
def world(cloud: Cloud) -> World:
    return CloudWorld(cloud)


@pytest.fixture
async def remote(world: World) -> AsyncIterator[Remote]:
    remote = world.open()
    await remote.connect()
    yield remote
    await remote.aclose()


class TestContract(RemoteContract):
    """All of the contract; of the names, what these servers say that they do with them."""

    async def test_names_come_back_as_exact_bytes(self, remote: Remote, world: World) -> None:
        assert remote.capabilities.composes_names
        for number, name in enumerate(ODD_NAMES):
            world.put(("names", name), name.encode(), mtime=OLD + number)
        children = by_name(await remote.list(Ref(("names",))))
        assert set(children) == set(nfc(ODD_NAMES))
        for name in ODD_NAMES:
            (kept,) = nfc((name,))
            assert (await remote.stat(Ref(("names", name)))).version == children[kept].version
            content = await read_all(remote, Ref(("names", name)), children[kept].version)
            assert unicodedata.normalize("NFC", content.decode()) == kept

    async def test_folders_may_have_odd_names(self, remote: Remote, world: World) -> None:
        for name in nfc(ODD_NAMES):
            world.mkdir((name, name))
        assert set(by_name(await remote.list(Ref()))) == set(nfc(ODD_NAMES))
        for name in ODD_NAMES:
            listing = await remote.list(Ref((name,)))
            assert [child.name for child in listing.children] == list(nfc((name,)))


async def test_what_these_servers_are_known_to_do(cloud: Cloud, remote: Remote) -> None:
    capabilities = remote.capabilities
    assert capabilities.file_ids
    assert capabilities.tree_etags
    assert capabilities.folder_versions
    assert capabilities.strong_etags
    assert not capabilities.hides_dotfiles


async def test_an_id_stays_when_a_file_is_renamed_and_rewritten(cloud: Cloud, remote: Remote) -> None:
    cloud.storage.put("a/file", b"1")
    before = (await remote.stat(Ref(("a", "file")))).version
    cloud.storage.mkdir("b")
    cloud.storage.move("a/file", "b/other")
    cloud.storage.put("b/other", b"22")
    after = (await remote.stat(Ref(("b", "other")))).version
    assert before.file_id == after.file_id
    assert after.file_id is not None
    assert after.file_id.endswith("ocdrivefs01")
    assert not before.same(after)


async def test_a_change_anywhere_shows_at_the_root_except_below_a_mount(cloud: Cloud, remote: Remote) -> None:
    cloud.storage.put("deep/er/file", b"1")
    cloud.mount(("elsewhere",))
    roots = [(await remote.stat(Ref())).version.etag]
    for path in ("deep/er/file", "elsewhere/file"):
        cloud.storage.put(path, b"2")
        roots.append((await remote.stat(Ref())).version.etag)
    assert roots[0] != roots[1] == roots[2]
    for names in ((), ("deep",), ("elsewhere",)):
        permissions = parse_permissions((await remote.stat(Ref(names))).permissions)
        assert permissions is not None
        assert permissions.mounted is (names == ("elsewhere",))


async def test_a_share_that_is_a_mount_has_no_tree_etags(cloud: Cloud) -> None:
    cloud.mount(("elsewhere",))
    remote = remote_of(cloud, f"{cloud.url}elsewhere/")
    await remote.connect()
    assert not remote.capabilities.tree_etags
    await remote.aclose()


async def test_permissions_are_known_before_anything_is_tried(cloud: Cloud, remote: Remote) -> None:
    cloud.storage.put("drop/file", b"1")
    cloud.permissions = {("drop",): "SGDNVCK", ("drop", "file"): "SG"}
    (child,) = (await remote.list(Ref())).children
    folder = parse_permissions(child.permissions)
    assert folder is not None
    assert folder.create
    assert folder.mkdir
    assert folder.shared
    assert not folder.write
    assert not folder.reshare
    (child,) = (await remote.list(Ref(("drop",)))).children
    file = parse_permissions(child.permissions)
    assert file is not None
    assert file.read
    assert [file.write, file.delete, file.rename, file.move] == [False] * 4


def test_a_missing_letter_for_reading_says_something_only_where_there_is_one() -> None:
    for tells_read in (True, False):
        permissions = parse_permissions("DNVCK", tells_read=tells_read)
        assert permissions is not None
        assert permissions.read is not tells_read
    assert parse_permissions(None) is None


async def test_the_best_checksum_is_told(cloud: Cloud, remote: Remote) -> None:
    cloud.storage.put("file", b"1")
    for told, expected in (
        ("MD5:AB,SHA1:CD", "SHA1:cd"),
        ("SHA1:cd MD5:ab ADLER32:ef", "SHA1:cd"),
        ("SHA1:cd,SHA256:12", "SHA256:12"),
        ("CRC:1", None),
        ("", None),
    ):
        node = cloud.storage.look("file")
        assert node is not None
        cloud.set_checksum(("file",), node, told)
        assert (await remote.stat(Ref(("file",)))).checksum == expected
    cloud.storage.put("file", b"2")
    assert (await remote.stat(Ref(("file",)))).checksum is None


async def test_negative_room_is_unknown(cloud: Cloud, remote: Remote) -> None:
    cloud.storage.put("file", b"12345")
    for told, available in ((-3, None), (-2, None), (-1, None), (0, 0), (7, 7)):
        cloud.available = told
        assert await remote.space() == Space(5, available)


async def test_maintenance_is_temporary_and_says_nothing_of_what_exists(cloud: Cloud, autojump_clock: object) -> None:
    cloud.maintenance = True
    remote = remote_of(cloud)
    with pytest.raises(ServerBusy):
        await remote.connect()
    cloud.maintenance = False
    await remote.connect()
    await remote.aclose()


@pytest.mark.parametrize("folder", ["", "/cloud"])
@pytest.mark.parametrize(
    "given", ["", "index.php/apps/files/", "apps/files/files/7", "login", "remote.php/dav/files/x"]
)
@pytest.mark.parametrize("login", [USER, LOGIN])
async def test_people_are_told_the_right_address(product: Product, folder: str, given: str, login: str) -> None:
    async with nextcloud(product, folder=folder) as cloud:
        remote = remote_of(cloud, cloud.address + given, Credentials(login, PASSWORD))
        with pytest.raises(NotAShare, match=f"{product.name} {product.version}") as caught:
            await remote.connect()
        await remote.aclose()
        assert cloud.url in str(caught.value)
        assert caught.value.address == cloud.url
        right = remote_of(cloud, cloud.url, Credentials(login, PASSWORD))
        await right.connect()
        await right.aclose()


async def test_without_a_known_user_the_address_says_what_to_put_in(cloud: Cloud) -> None:
    remote = open_remote(cloud.address)
    with pytest.raises(NotAShare, match="files/USER/ \\(with your user name\\)") as caught:
        await remote.connect()
    assert caught.value.address is None
    await remote.aclose()


async def test_a_wrong_password_is_told_as_such(cloud: Cloud) -> None:
    remote = remote_of(cloud, credentials=Credentials(USER, "wrong"))
    with pytest.raises(Unauthorized):
        await remote.connect()
    await remote.aclose()


async def test_an_installation_that_has_moved_is_told_where_it_is_now() -> None:
    status = b'{"installed":true,"version":"31.0.4.1","productname":"Our Cloud"}'

    def answer(asked: Asked) -> bytes:
        if asked.target == "/cloud/status.php":
            return http(200, status)
        return http(302, Location="/cloud/status.php") if asked.target == "/status.php" else http(405)

    async with scripted(answer) as server:
        remote = open_remote(server.url)
        with pytest.raises(NotAShare, match=r"Our Cloud 31.0.4.1, .*/cloud/remote.php/dav/files/USER/"):
            await remote.connect()
        await remote.aclose()


@pytest.mark.parametrize(
    "status", [b"{}", b"[1]", b"<html>", b"\xff", b'{"productname":1,"version":"1"}', b"x" * 100_000]
)
async def test_other_servers_are_not_taken_for_one(status: bytes) -> None:
    async with scripted(lambda asked: http(200, status) if asked.method == "GET" else http(405)) as server:
        remote = open_remote(server.url)
        with pytest.raises(NotAShare) as caught:
            await remote.connect()
        await remote.aclose()
    assert "there is a" not in str(caught.value)


def test_where_an_installation_may_be() -> None:
    def tried(url: str) -> list[str]:
        return [root.url for root in roots_of(parse_base(url))]

    assert tried("https://h/") == ["https://h/"]
    assert tried("https://h/cloud/index.php/apps/files") == ["https://h/cloud/", "https://h/"]
    assert tried("https://h/a/b/c") == ["https://h/a/b/c/", "https://h/a/b/", "https://h/"]
