"""The server of the tests does what Nextcloud and ownCloud are documented to do: the peculiarities that matter."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
import trio
from trio.testing import MockClock

from tests.support.nextcloud import EXPIRY_SECONDS, NEXTCLOUD, OWNCLOUD, PASSWORD, USER, Cloud, nextcloud

FILE = f"files/{USER}/file"


class Client:
    """Plain HTTP, as anybody speaks it."""

    def __init__(self, cloud: Cloud) -> None:
        self.dav = f"{cloud.address}remote.php/dav/"
        self.http = httpx.AsyncClient(auth=(USER, PASSWORD), base_url=self.dav)

    async def __call__(self, method: str, path: str, body: bytes = b"", /, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.request(method, path, content=body, headers=named)

    async def upload(self, name: str, *chunks: bytes) -> None:
        assert (await self("MKCOL", f"uploads/{USER}/{name}/")).status_code == 201
        for number, chunk in enumerate(chunks, start=1):
            assert (await self("PUT", f"uploads/{USER}/{name}/{number:05}", chunk)).status_code == 201

    async def finish(self, name: str, target: str = FILE, **headers: str) -> int:
        sent = {"Destination": self.dav + target, **headers}
        return (await self("MOVE", f"uploads/{USER}/{name}/.file", **sent)).status_code


@pytest.fixture
async def cloud() -> AsyncIterator[Cloud]:
    async with nextcloud() as cloud:
        cloud.minimum_chunk = 3
        yield cloud


@pytest.fixture
async def client(cloud: Cloud) -> AsyncIterator[Client]:
    client = Client(cloud)
    yield client
    await client.http.aclose()


async def test_a_put_answers_with_etag_id_and_time(cloud: Cloud, client: Client) -> None:
    answer = await client("PUT", FILE, b"bytes", X_OC_Mtime="1600000000", X_Hash="sha1")
    assert answer.status_code == 201
    assert answer.headers["etag"] == answer.headers["oc-etag"]
    assert answer.headers["oc-fileid"].endswith("ocdrivefs01")
    assert answer.headers["x-oc-mtime"] == "accepted"
    assert len(answer.headers["x-hash-sha1"]) == 40


async def test_if_match_on_the_last_move_is_about_the_upload(cloud: Cloud, client: Client) -> None:
    etag = (await client("PUT", FILE, b"old")).headers["etag"]
    await client.upload("u", b"new")
    assert await client.finish("u", If_Match=etag) == 412
    wrong = {"If": f'<{client.dav}{FILE}> (["other"])'}
    assert await client.finish("u", **wrong) == 412
    assert await client.finish("u", Overwrite="F") == 412
    assert cloud.storage.content("file") == b"old"
    right = {"If": f'<{client.dav}{FILE}> (["other"]) ([{etag}])'}
    assert await client.finish("u", **right) == 204
    assert cloud.storage.content("file") == b"new"


async def test_a_move_in_work_is_locked_and_then_there_is_no_upload(
    cloud: Cloud, client: Client, autojump_clock: MockClock
) -> None:
    cloud.assembly_seconds = 100.0
    await client.upload("u", b"new")
    with trio.move_on_after(2):
        await client.finish("u")
    assert await client.finish("u") == 423
    assert (await client("PUT", FILE, b"other")).status_code == 423
    await trio.sleep(100)
    assert await client.finish("u") == 404
    assert cloud.storage.content("file") == b"new"


async def test_what_uploads_are_held_to(cloud: Cloud, client: Client) -> None:
    await client.upload("small", b"12", b"345")
    assert await client.finish("small") == 400
    await client.upload("length", b"123", b"4")
    assert await client.finish("length", OC_Total_Length="5") == 400
    assert await client.finish("length", OC_Total_Length="4") == 201
    await client.upload("names")
    for name in ("0", "10001", "first"):
        assert (await client("PUT", f"uploads/{USER}/names/{name}", b"1")).status_code == 400
    mixed = await client("PUT", f"uploads/{USER}/names/1", b"1", Destination=client.dav + FILE)
    assert mixed.status_code == 412
    assert (await client("GET", f"uploads/{USER}/names/1")).status_code == 405
    cloud.clock.advance(EXPIRY_SECONDS + 1)
    assert await client.finish("names") == 404


async def test_quota_is_checked(cloud: Cloud, client: Client) -> None:
    cloud.available = 3
    assert (await client("PUT", FILE, b"1234")).status_code == 507
    await client.upload("u", b"123", b"4")
    assert await client.finish("u") == 507
    target = {"Destination": client.dav + FILE}
    await client("MKCOL", f"uploads/{USER}/v2/", **target)
    early = await client("PUT", f"uploads/{USER}/v2/1", b"1", OC_Total_Length="4", **target)
    assert early.status_code == 507


@pytest.mark.parametrize("name", [".htaccess", "x.part", "a%5Cb", "x" * 251])
async def test_some_names_are_refused(client: Client, name: str) -> None:
    assert (await client("PUT", f"files/{USER}/{name}", b"1")).status_code == 400
    assert (await client("MKCOL", f"files/{USER}/{name}")).status_code == 400


async def test_conditions_are_checked_when_a_request_begins(cloud: Cloud, client: Client) -> None:
    etag = (await client("PUT", FILE, b"old")).headers["etag"]
    cloud.meanwhile = lambda: cloud.storage.put("file", b"theirs")
    assert (await client("PUT", FILE, b"new", If_Match=etag)).status_code == 204
    assert cloud.storage.content("file") == b"new"
    assert (await client("PUT", FILE, b"new", If_Match=etag)).status_code == 412


async def test_checksums_are_compared_by_owncloud_and_believed_by_nextcloud() -> None:
    for product, status in ((NEXTCLOUD, 201), (OWNCLOUD, 400)):
        async with nextcloud(product) as cloud:
            client = Client(cloud)
            assert (await client("PUT", FILE, b"bytes", OC_Checksum="SHA1:00")).status_code == status
            assert cloud.storage.names() == ({"file"} if status == 201 else set())
            await client.http.aclose()


async def test_depth_infinity_is_answered_by_nextcloud_and_refused_by_owncloud() -> None:
    for product, status in ((NEXTCLOUD, 207), (OWNCLOUD, 412)):
        async with nextcloud(product) as cloud:
            cloud.storage.put("a/b/c", b"1")
            client = Client(cloud)
            answer = await client("PROPFIND", f"files/{USER}/", Depth="infinity")
            assert answer.status_code == status
            assert ("/a/b/c" in answer.text) is (status == 207)
            await client.http.aclose()


async def test_maintenance_leaves_the_status(cloud: Cloud, client: Client) -> None:
    cloud.maintenance = True
    assert (await client("PROPFIND", f"files/{USER}/")).status_code == 503
    status = await client.http.get(cloud.address + "status.php")
    assert (status.status_code, status.json()["maintenance"]) == (200, True)


async def test_locks_lock_nothing(client: Client) -> None:
    for _ in range(2):
        assert (await client("LOCK", FILE)).status_code == 200
    assert (await client("PUT", FILE, b"1")).status_code == 201
