"""What is believed of a server after its first answers, and what is not."""

from __future__ import annotations

import httpx
import pytest

from drivefs.model import Ref
from drivefs.remote.base import Capabilities
from drivefs.remote.webdav.client import WebDavRemote
from drivefs.remote.webdav.learn import learn
from drivefs.remote.webdav.xml import Response
from tests.support.scripted import Asked, http, multistatus, scripted

PLAIN_ROOT = Response("/", None, {}, set())
MOD_DAV = "1,2, <http://apache.org/dav/propset/fs/1>"
SABRE = "1, 3, extended-mkcol"


@pytest.mark.parametrize(
    ("server", "dav", "folder_versions", "hides_dotfiles"),
    [
        ("Apache/2.4", MOD_DAV, True, False),
        ("Apache/2.4", SABRE, False, False),
        ("lighttpd/1.4.69", "1,2,3", True, False),
        ("lighttpd/1.4.69", SABRE, False, False),
        ("nginx/1.22.1", "2", False, True),
        ("nginx/1.22.1", "", False, True),
        ("nginx/1.22.1", SABRE, False, False),
        ("", "1, 2", False, False),
    ],
)
def test_a_name_alone_proves_nothing(server: str, dav: str, folder_versions: bool, hides_dotfiles: bool) -> None:
    learned = learn(httpx.Headers({"DAV": dav}), httpx.Headers({"Server": server}), PLAIN_ROOT)
    assert (learned.folder_versions, learned.hides_dotfiles) == (folder_versions, hides_dotfiles)
    assert not learned.tree_etags


def test_ranges_are_believed_in_until_denied() -> None:
    assert learn(httpx.Headers(), httpx.Headers(), PLAIN_ROOT).ranges
    assert not learn(httpx.Headers(), httpx.Headers({"Accept-Ranges": "none"}), PLAIN_ROOT).ranges


async def test_a_server_with_ids_is_asked_for_them_and_the_others_are_not() -> None:
    properties = (
        '<o:id xmlns:o="http://owncloud.org/ns">0042x</o:id>'
        "<D:quota-used-bytes>5</D:quota-used-bytes><D:quota-available-bytes>-3</D:quota-available-bytes>"
    )
    for extra, has_ids in ((properties, True), ("", False)):
        root = (
            "<D:response><D:href>/</D:href><D:propstat><D:prop><D:resourcetype><D:collection/></D:resourcetype>"
            f'<D:getetag>"t1"</D:getetag>{extra}</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>'
        )

        def answer(asked: Asked, root: str = root) -> bytes:
            return http(207, multistatus(root), Server="Apache") if asked.method == "PROPFIND" else http(200, DAV=SABRE)

        async with scripted(answer) as server:
            remote = WebDavRemote(server.url)
            observed = await remote.connect()
            await remote.list(Ref())
            await remote.aclose()
        assert (b"owncloud.org/ns" in server.requests[-1].body and b"<o:id/>" in server.requests[-1].body) is has_ids
        assert observed.version.file_id == ("0042x" if has_ids else None)
        assert remote.capabilities == Capabilities(
            server="Apache",
            ranges=True,
            file_ids=has_ids,
            tree_etags=has_ids,
            folder_versions=has_ids,
            strong_etags=has_ids,
            composes_names=has_ids,
            space=False,
        )
