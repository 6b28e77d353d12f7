"""WWW-Authenticate as servers write it, and Digest by the examples of its RFC."""

from __future__ import annotations

import pytest

from drivefs.remote.webdav.challenges import Challenge, parse_challenges, parse_parameters
from drivefs.remote.webdav.digest import Question, answer, parse_question


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (['Basic realm="a"'], [Challenge("basic", {"realm": "a"})]),
        (["Basic realm=a, charset=UTF-8"], [Challenge("basic", {"realm": "a", "charset": "UTF-8"})]),
        (["Negotiate"], [Challenge("negotiate", {})]),
        (["Negotiate, Basic realm=x"], [Challenge("negotiate", {}), Challenge("basic", {"realm": "x"})]),
        (
            ['Digest realm="a, \\"b\\"", nonce="n==", qop="auth,auth-int" , BASIC realm="c"'],
            [
                Challenge("digest", {"realm": 'a, "b"', "nonce": "n==", "qop": "auth,auth-int"}),
                Challenge("basic", {"realm": "c"}),
            ],
        ),
        (["NTLM TlRMTVNTUAACAAAA==", "Bearer"], [Challenge("ntlm", {}), Challenge("bearer", {})]),
        ([",, Basic  realm = x ,"], [Challenge("basic", {"realm": "x"})]),
        (['Basic realm="never closed'], [Challenge("basic", {})]),
        (["", '"', "=", "a=b"], []),
    ],
)
def test_challenges(headers: list[str], expected: list[Challenge]) -> None:
    assert parse_challenges(headers) == expected


def test_parameters_without_a_scheme() -> None:
    assert parse_parameters(' nextnonce="a,b", qop=auth') == {"nextnonce": "a,b", "qop": "auth"}
    assert parse_parameters("nonsense") == {}


RFC = {
    "realm": "http-auth@example.org",
    "qop": "auth, auth-int",
    "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
    "opaque": "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS",
}


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", b"8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", b"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_examples_of_rfc_7616(algorithm: str, response: bytes) -> None:
    question = parse_question({**RFC, "algorithm": algorithm})
    assert question is not None
    cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    header = answer(question, "Mufasa", "Circle of Life", "GET", "/dir/index.html", count=1, cnonce=cnonce)
    assert b'response="' + response + b'"' in header
    assert header.startswith(b'Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", ')
    assert b'qop=auth, nc=00000001, cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"' in header
    assert b"algorithm=" + algorithm.encode() in header
    assert b"Circle" not in header


def test_the_example_of_rfc_2617_in_its_old_form_without_qop() -> None:
    question = Question("testrealm@host.com", "dcd98b7102dd2f0e8b11d0f600bfb0c093", qop=False)
    header = answer(question, "Mufasa", "Circle Of Life", "GET", "/dir/index.html", count=1)
    assert b'response="670fd8c2df070c60b045671b8b24ff02"' in header
    assert b"qop" not in header
    assert b"cnonce" not in header


def test_each_answer_has_a_client_nonce_of_its_own() -> None:
    question = Question("r", "n")
    assert answer(question, "u", "p", "GET", "/", count=1) != answer(question, "u", "p", "GET", "/", count=1)


def test_odd_names_are_quoted_and_go_out_as_utf_8() -> None:
    header = answer(Question('a "b"', "n", "SHA-256-sess"), 'J\\ö"', "p", "GET", "/", count=255)
    assert 'username="J\\\\ö\\""'.encode() in header
    assert b'realm="a \\"b\\""' in header
    assert b"nc=000000ff" in header


def test_a_hashed_user_name_is_not_told() -> None:
    question = parse_question({**RFC, "algorithm": "SHA-256", "userhash": "true"})
    assert question is not None
    header = answer(question, "Mufasa", "p", "GET", "/", count=1)
    assert b"Mufasa" not in header
    assert b"userhash=true" in header


@pytest.mark.parametrize(
    "change", [{"algorithm": "SHA-512-256"}, {"algorithm": "nonsense"}, {"qop": "auth-int"}, {"nonce": None}]
)
def test_questions_that_cannot_be_answered(change: dict[str, str | None]) -> None:
    merged = {**RFC, **change}
    assert parse_question({name: value for name, value in merged.items() if value is not None}) is None
