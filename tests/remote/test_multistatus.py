"""Listings, from bytes to observations: what servers write, and what an attacker would."""

from __future__ import annotations

import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivefs.errors import BadAnswer, NotFound, NotPermitted
from drivefs.model import Kind, Listing, Ref, Version
from drivefs.remote.webdav.coding import PIECE_BYTES, Decoder
from drivefs.remote.webdav.paths import parse_base
from drivefs.remote.webdav.propfind import ListingReader, space_of
from drivefs.remote.webdav.xml import Limits
from tests.support.scripted import file, folder, multistatus

BASE = parse_base("http://h/dav/")
LIMITS = Limits(total_bytes=100_000, entries=100, depth=10, text=1000)


def read(body: bytes, *, ref: Ref | None = None, step: int = 10**9) -> Listing:
    reader = ListingReader(BASE, ref or Ref(), 1000.0, LIMITS)
    for start in range(0, len(body), step):
        reader.feed(body[start : start + step])
    return reader.finish()


def entry(href: str, *propstats: str, extra: str = "") -> str:
    return f"<D:response><D:href>{href}</D:href>{''.join(propstats)}{extra}</D:response>"


def propstat(properties: str, status: str = "HTTP/1.1 200 OK") -> str:
    return f"<D:propstat><D:prop>{properties}</D:prop><D:status>{status}</D:status></D:propstat>"


SMALL = multistatus(folder("/dav/"), file("/dav/a"), file("/dav/b&amp;c"))


def test_a_listing_is_the_same_however_it_arrives() -> None:
    whole = read(SMALL)
    assert [child.name for child in whole.children] == ["a", "b&c"]
    assert whole.children[0].version == Version("e1", 10, 1_700_000_000_000_000_000)
    assert all(read(SMALL, step=step) == whole for step in (1, 2, 7, 100))


def test_a_listing_cut_anywhere_is_no_listing() -> None:
    for end in range(len(SMALL)):
        with pytest.raises(BadAnswer):
            read(SMALL[:end])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>Please log in</body></html>",
        b"<!DOCTYPE html><html></html>",
        multistatus(),
        multistatus(folder("/other/"), file("/other/a")),
        multistatus(file("/dav/a")),
        SMALL + b"<more/>",
        SMALL.replace(b'"DAV:"', b'"dav:"'),
        SMALL.replace(b"D:response", b"D:reply"),
        SMALL.replace(b'version="1.0"', b'version="1.0" encoding="none-such"'),
        b'<!DOCTYPE m [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>' + SMALL,
        b'<!DOCTYPE m SYSTEM "file:///etc/passwd">' + SMALL,
        multistatus(folder("/dav/"), file("/dav/&undefined;")),
        multistatus(folder("/dav/"), "<D:x>" * 20 + "</D:x>" * 20),
        multistatus(folder("/dav/"), file("/dav/" + "x" * 2000)),
        multistatus(folder("/dav/"), *(file(f"/dav/{number}") for number in range(200))),
        multistatus(folder("/dav/"), " " * 200_000),
        multistatus(folder("/dav/"), "<D:x a='" + "x" * 50_000),
        multistatus(folder("/dav/"), entry("/dav/a", propstat("", "HTTP/1.1 404 Not Found"))),
        multistatus(folder("/dav/"), entry("/dav/a", propstat("<D:resourcetype/>", "HTTP/1.1 500 Oops"))),
        multistatus(folder("/dav/"), entry("/dav/a", extra="<D:status>HTTP/1.1 500 Oops</D:status>")),
    ],
)
def test_what_is_no_complete_listing_is_a_bad_answer(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        read(body, step=4096)


@given(st.integers(0, len(SMALL) - 1), st.binary(max_size=3), st.integers(0, 8))
def test_damage_is_a_listing_or_a_bad_answer_and_no_other_error(at: int, wrong: bytes, lost: int) -> None:
    damaged = SMALL[:at] + wrong + SMALL[at + lost :]
    with suppress(BadAnswer):
        assert len(read(damaged).children) <= 2


def test_any_prefix_will_do_and_only_the_namespace_counts() -> None:
    for prefix in (b"d:", b"lp1:", b"ns0:"):
        assert read(SMALL.replace(b"D:", prefix).replace(b":D=", b":" + prefix[:-1] + b"=")) == read(SMALL)
    default = SMALL.replace(b"D:", b"").replace(b"xmlns:D", b"xmlns")
    assert read(default) == read(SMALL)


def test_properties_of_another_namespace_are_not_ours() -> None:
    body = multistatus(
        folder("/dav/"),
        entry("/dav/a", propstat('<D:resourcetype/><x:getcontentlength xmlns:x="x:">5</x:getcontentlength>')),
    )
    assert read(body).children[0].version == Version()


def test_each_propstat_has_its_own_status() -> None:
    body = multistatus(
        folder("/dav/"),
        entry(
            "/dav/a",
            propstat("<D:getetag>no</D:getetag><D:getcontentlength/>", "HTTP/1.1 404 Not Found"),
            propstat("<D:resourcetype/><D:getcontentlength>7</D:getcontentlength>"),
            propstat("<D:getlastmodified/>", "HTTP/1.1 403 Forbidden"),
        ),
    )
    assert read(body).children[0].version == Version(size=7)


@pytest.mark.parametrize("length", ["", "-1", "many", " "])
def test_odd_values_are_unknown_and_fail_nothing(length: str) -> None:
    properties = f"<D:resourcetype/><D:getcontentlength>{length}</D:getcontentlength><D:getetag/>"
    body = multistatus(
        folder("/dav/"), entry("/dav/a", propstat(properties + "<D:getlastmodified>x</D:getlastmodified>"))
    )
    assert read(body).children[0].version == Version()


def test_the_kind_is_told_by_type_by_microsofts_flag_or_by_the_slash() -> None:
    body = multistatus(
        folder("/dav/"),
        entry("/dav/flag", propstat("<D:iscollection>1</D:iscollection><D:resourcetype/>")),
        entry("/dav/slash/", propstat("<D:getetag>x</D:getetag>")),
        entry("/dav/length", propstat("<D:getcontentlength>1</D:getcontentlength>")),
        entry("/dav/type", propstat('<D:resourcetype><x:calendar xmlns:x="x"/><D:collection/></D:resourcetype>')),
    )
    kinds = {child.name: child.kind for child in read(body).children}
    assert kinds == {
        "flag": Kind.DIRECTORY,
        "slash": Kind.DIRECTORY,
        "length": Kind.FILE,
        "type": Kind.DIRECTORY,
    }


def test_names_that_cannot_exist_are_counted_and_lead_nowhere() -> None:
    hrefs = ["/dav/..", "/dav/%2e%2e", "/dav/%2e", "/dav/a%2Fb", "/dav/n%00l", "/dav/" + "x" * 256, "/dav/ok"]
    listing = read(multistatus(folder("/dav/"), *map(file, hrefs)))
    assert [child.name for child in listing.children] == ["ok"]
    assert listing.hidden == 5  # two of them are one name: `..`


def test_what_is_not_directly_below_is_dropped() -> None:
    hrefs = ["/dav/d/a/b", "/dav/x", "/etc/passwd", "http://evil/x", "/dav/d/../x", "/dav/d/ok"]
    listing = read(multistatus(folder("/dav/d/"), *map(file, hrefs)), ref=Ref(("d",)))
    assert ([child.name for child in listing.children], listing.hidden) == (["ok"], 0)


def test_the_directory_itself_is_known_by_path_not_by_position() -> None:
    body = multistatus(file("/dav/d/a"), folder("http://proxy/dav//%64"), file("/dav/d/b"))
    listing = read(body, ref=Ref(("d",)))
    assert (listing.directory.name, [child.name for child in listing.children]) == ("d", ["a", "b"])


def test_an_entry_told_twice_is_there_once() -> None:
    assert len(read(multistatus(folder("/dav/"), file("/dav/a"), file("/dav/%61"))).children) == 1


def test_statuses_inside_a_listing() -> None:
    gone = entry("/dav/gone", extra="<D:status>HTTP/1.1 404 Not Found</D:status>")
    forbidden = entry("/dav/forbidden", extra="<D:status>HTTP/1.1 403 Forbidden</D:status>")
    listing = read(multistatus(folder("/dav/"), gone, forbidden))
    assert (listing.children, listing.hidden) == ([], 1)
    with pytest.raises(NotFound):
        read(multistatus(entry("/dav/", extra="<D:status>HTTP/1.1 404 Not Found</D:status>")))
    with pytest.raises(NotPermitted):
        read(multistatus(entry("/dav/", extra="<D:status>HTTP/1.1 403 Forbidden</D:status>")))


def test_owncloud_tells_ids_permissions_and_checksums() -> None:
    properties = (
        '<D:resourcetype/><o:fileid xmlns:o="http://owncloud.org/ns">42</o:fileid>'
        '<o:id xmlns:o="http://owncloud.org/ns">0042x</o:id>'
        '<o:permissions xmlns:o="http://owncloud.org/ns">RGDNVW</o:permissions>'
        '<o:checksums xmlns:o="http://owncloud.org/ns"><o:checksum>MD5:12</o:checksum>'
        "<o:checksum>SHA1:ABC ADLER32:0</o:checksum></o:checksums>"
    )
    (child,) = read(multistatus(folder("/dav/"), entry("/dav/a", propstat(properties)))).children
    assert (child.version.file_id, child.permissions, child.checksum) == ("0042x", "RGDNVW", "SHA1:abc")


@pytest.mark.parametrize(("number", "available"), [("5", 5), ("-3", None), ("", None)])
def test_space_is_unknown_where_it_is_negative(number: str, available: int | None) -> None:
    quota = (
        f"<D:resourcetype><D:collection/></D:resourcetype><D:quota-available-bytes>{number}</D:quota-available-bytes>"
    )
    reader = ListingReader(BASE, Ref(), 0.0)
    reader.feed(multistatus(entry("/dav/", propstat(quota))))
    reader.finish()
    assert reader.own is not None
    assert space_of(reader.own).available == available


def test_a_small_body_may_not_become_a_huge_piece() -> None:
    bomb = zlib.compress(b" " * 50_000_000)
    decoder = Decoder("deflate")
    sizes = [len(piece) for piece in decoder.feed(bomb)]
    decoder.finish()
    assert max(sizes) <= PIECE_BYTES
    assert sum(sizes) == 50_000_000
    cut = Decoder("gzip")
    list(cut.feed(bomb[:100]))
    with pytest.raises(BadAnswer):
        cut.finish()
    with pytest.raises(BadAnswer):
        list(Decoder("gzip").feed(b"not compressed"))
    with pytest.raises(BadAnswer):
        Decoder("br")
