"""Single values as servers were seen to write them."""

from __future__ import annotations

import pytest

from drivefs.remote.webdav.values import (
    parse_content_range,
    parse_date,
    parse_etag,
    parse_retry_after,
    parse_size,
    parse_status,
)

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"abc"', ("abc", False)),
        ("abc", ("abc", False)),
        ('W/"abc"', ("abc", True)),
        ('w/"abc"', ("abc", True)),
        (' "abc" ', ("abc", False)),
        ('"abc-gzip"', ("abc", False)),
        ('"abc"-gzip', ("abc", False)),
        ('W/"abc-br"', ("abc", True)),
        ('"abc;gzip"', ("abc", False)),
        ('"abc--gzip"', ("abc", False)),
        ('"a-gzip-b"', ("a-gzip-b", False)),
        ('""', None),
        ("", None),
        (None, None),
    ],
)
def test_etags_lose_what_is_not_theirs(text: str | None, expected: tuple[str, bool] | None) -> None:
    assert parse_etag(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 09:49:37 +0100",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun Nov  6 08:49:37 UTC 1994",
        "1994-11-06T08:49:37Z",
        "1994-11-06T09:49:37+01:00",
        " Sun, 06 Nov 1994 08:49:37 GMT\n",
    ],
)
def test_dates_in_all_forms(text: str) -> None:
    assert parse_date(text) == 784_111_777 * SECOND


@pytest.mark.parametrize(
    "text", ["", "yesterday", "Sun, 06 Xyz 1994 08:49:37 GMT", "Sun, ab Nov 1994 08:49:37 GMT", "0", "9" * 40, None]
)
def test_odd_dates_are_unknown(text: str | None) -> None:
    assert parse_date(text) is None


def test_times_keep_their_fractions() -> None:
    assert parse_date("1994-11-06T08:49:37.25Z") == 784_111_777 * SECOND + SECOND // 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0), (" 12 ", 12), ("-1", None), ("-3", None), ("", None), ("1e3", None), ("٣", None), ("9" * 30, None)],
)
def test_sizes_are_plain_numbers(text: str, expected: int | None) -> None:
    assert parse_size(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("HTTP/1.1 200 OK", 200),
        ("HTTP/1.1 404", 404),
        ("HTTP/2 207 x y", 207),
        ("200", None),
        ("a b", None),
        (None, None),
    ],
)
def test_status_lines(text: str | None, expected: int | None) -> None:
    assert parse_status(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("120", 120.0), ("Sun, 06 Nov 1994 08:49:37 GMT", 37.0), ("soon", None), (None, None)],
)
def test_retry_after_is_seconds_or_a_date(text: str | None, expected: float | None) -> None:
    assert parse_retry_after(text, now_ns=784_111_740 * SECOND) == expected


def test_a_date_to_retry_after_that_is_past_means_now() -> None:
    assert parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now_ns=784_111_999 * SECOND) == 0.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bytes 0-9/10", (0, 9, 10)),
        ("bytes 5-9/*", (5, 9, None)),
        ("bytes */10", (None, None, 10)),
        ("bytes 5-/10", None),
        ("items 0-9/10", None),
        ("bytes 0-9", None),
        (None, None),
    ],
)
def test_content_ranges(text: str | None, expected: tuple[int | None, int | None, int | None] | None) -> None:
    assert parse_content_range(text) == expected
