"""Addresses and hrefs: exact bytes out, exact bytes back, and nothing from elsewhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivefs.errors import UsageError
from drivefs.model import decode_name
from drivefs.remote.webdav.auth import Credentials, Scheme, check_login, is_loopback, may_hear
from drivefs.remote.webdav.paths import parse_base

BASE = parse_base("https://cloud.example/dav/Ann%20B/")


@pytest.mark.parametrize(
    ("href", "expected"),
    [
        ("/dav/Ann%20B/", ()),
        ("/dav/Ann%20B", ()),
        ("/dav/Ann B/x", ("x",)),
        ("/%64av/Ann%20B/x", ("x",)),
        ("https://cloud.example/dav/Ann%20B/x/y", ("x", "y")),
        ("http://internal:8080/dav/Ann%20B/x", ("x",)),
        ("//dav///Ann%20B//x", ("x",)),
        ("/dav/Ann%20B/a%2Fb", ("a/b",)),
        ("/dav/Ann%20B/%c3%a9", ("é",)),
        ("/dav/Ann%20B/%C3%A9", ("é",)),
        ("/dav/Ann%20B/é", ("é",)),
        ("/dav/Ann%20B/%FF", (decode_name(b"\xff"),)),
        ("/dav/Ann%20B/100%", ("100%",)),
        ("/dav/Ann%20B/%zz", ("%zz",)),
        ("/dav/Ann%20B/%2541", ("%41",)),
        ("/dav/Ann%20B/a?b#c", ("a?b#c",)),
        ("/dav/Ann%20B/..", ("..",)),
        ("/dav/Ann%20B/%2e%2e/x", ("..", "x")),
        ("\n /dav/Ann%20B/x\n", ("x",)),
        ("/dav/Ann%20C/x", None),
        ("/dav", None),
        ("https://other.example/", None),
        ("x", None),
        ("", None),
    ],
)
def test_hrefs_are_matched_by_their_decoded_names(href: str, expected: tuple[str, ...] | None) -> None:
    assert BASE.below(href) == expected


@given(st.lists(st.binary(min_size=1, max_size=20).filter(lambda name: b"/" not in name), max_size=4))
def test_any_name_survives_the_way_out_and_back(names: list[bytes]) -> None:
    path = tuple(decode_name(name) for name in names)
    url = BASE.url_of(path, directory=True)
    assert url.isascii()
    assert url.startswith("https://cloud.example/dav/Ann%20B/")
    assert BASE.below(url) == path


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("http://h", "http://h/"),
        ("dav://h:81/a", "http://h:81/a/"),
        ("davs://h/a//b/", "https://h/a/b/"),
        ("https://[::1]:8443/é", "https://[::1]:8443/%C3%A9/"),
        ("https://h/a%20b", "https://h/a%20b/"),
    ],
)
def test_addresses(address: str, url: str) -> None:
    assert parse_base(address).url == url


@pytest.mark.parametrize(
    "address",
    ["", "h/a", "ftp://h/", "https://", "https://h:99999/", "https://h/?q", "https://h/#f", "https://h/a/../b"],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(UsageError):
        parse_base(address)


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError) as caught:
        parse_base("https://ann:s3cret@h/")
    assert "s3cret" not in str(caught.value)


def test_credentials_hide_the_password() -> None:
    credentials = Credentials("ann", "s3cret")
    assert "s3cret" not in f"{credentials} {credentials!r} {[credentials]}"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost", "LOCALHOST."])
def test_loopback_is_known(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["10.0.0.1", "localhost.example", "127.0.0.1.example", "::2", ""])
def test_other_hosts_are_not_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("scheme", ["basic", "bearer"])
def test_a_password_goes_only_where_nobody_listens(scheme: Scheme) -> None:
    base, credentials = parse_base("http://10.0.0.1/"), Credentials("ann", "s3cret")
    with pytest.raises(UsageError, match="--insecure-auth"):
        check_login(base, credentials, scheme, allow_insecure=False)
    check_login(base, credentials, scheme, allow_insecure=True)
    check_login(base, None, scheme, allow_insecure=False)
    assert not may_hear(base.url, allow_insecure=False)
    for url in ("http://127.0.0.1/", "https://10.0.0.1/", "http://localhost:8080/"):
        assert may_hear(url, allow_insecure=False)


@pytest.mark.parametrize("token", ["", "a b", "tökén", "a\nb"])
def test_what_is_no_token_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_login(parse_base("https://h/"), Credentials("", token), "bearer", allow_insecure=False)
    assert not token or token not in str(caught.value)
