"""Where a redirect may lead."""

from __future__ import annotations

import pytest

from drivefs.errors import BadAnswer
from drivefs.remote.webdav.redirects import target


@pytest.mark.parametrize(
    ("url", "location", "expected"),
    [
        ("http://h/d", "/d/", "http://h/d/"),
        ("http://h/d", "http://h/d/", "http://h/d/"),
        ("https://h/d", "http://internal:8080/d/", "https://h/d/"),
        ("http://h/d%20x", "http://h/d%20x/", "http://h/d%20x/"),
        ("http://h/a", "/b", "http://h/b"),
        ("http://h/a", "https://h/a", "https://h/a"),
        ("http://h:80/a", "http://h/b", "http://h/b"),
        ("http://h:8080/a", "https://h:8443/a", "https://h:8443/a"),
    ],
)
def test_the_same_server_is_followed(url: str, location: str, expected: str) -> None:
    assert target("PROPFIND", url, 301, location) == expected


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("https://h/a", "http://h/a"),
        ("https://h/a", "https://evil/a"),
        ("https://h/a", "//evil/a"),
        ("https://h/a", "https://h:8443/a"),
        ("http://h/a", "https://h@evil/a"),
        ("http://h/a", "https://user:pw@h/a"),
        ("http://h/a", "ftp://h/a"),
        ("http://h/a", "file:///etc/passwd"),
        ("http://h/a", "http://h:99999/a"),
        ("http://h/a", "http://[h/a"),
    ],
)
def test_other_places_are_not(url: str, location: str) -> None:
    with pytest.raises(BadAnswer):
        target("GET", url, 302, location)


@pytest.mark.parametrize(
    ("method", "status"), [("PUT", 307), ("MOVE", 301), ("DELETE", 308), ("LOCK", 302), ("PROPFIND", 303)]
)
def test_only_reading_requests_are_followed(method: str, status: int) -> None:
    with pytest.raises(BadAnswer):
        target(method, "http://h/a", status, "http://h/b")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "MOVE"])
def test_a_change_of_a_file_does_not_follow_to_a_folder(method: str) -> None:
    with pytest.raises(BadAnswer):
        target(method, "http://h/a", 301, "http://h/a/")
