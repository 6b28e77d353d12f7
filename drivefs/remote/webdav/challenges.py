"""What a server says in WWW-Authenticate: which schemes it offers, and with which parameters. Pure, never failing.

The grammar is that of RFC 9110 section 11.6.1: several challenges may stand in one header, and their parameters are
separated by the same commas. What cannot be understood ends the reading; what came before it counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
PARAMETER = re.compile(rf'({TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|({TOKEN}))(?=[ \t]*(?:,|$))')
TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*(?=[ \t]*(?:,|$))")
SCHEME = re.compile(rf"({TOKEN})(?=[ \t,]|$)")
BETWEEN = re.compile(r"[ \t,]*")


class Challenge(msgspec.Struct, frozen=True):
    """One offer. `scheme` and the names of parameters are in lower case; a token68 in its place is left out."""

    scheme: str
    parameters: dict[str, str]


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """All offers of all WWW-Authenticate headers, in order."""
    return [challenge for header in headers for challenge in _offers(header)]


def parse_parameters(text: str) -> dict[str, str]:
    """The parameters of a header that has no scheme (Authentication-Info, RFC 7615)."""
    return _parameters(text, BETWEEN.match(text).end())[0]  # type: ignore[union-attr]


def _offers(text: str) -> list[Challenge]:
    found: list[Challenge] = []
    place = BETWEEN.match(text).end()  # type: ignore[union-attr]
    while match := SCHEME.match(text, place):
        place = _skip(text, match.end())
        parameters, place = _parameters(text, place)
        if not parameters and (token := TOKEN68.match(text, place)) and text[match.end() : place].isspace():
            place = _skip(text, token.end())
        found.append(Challenge(match[1].lower(), parameters))
    return found


def _parameters(text: str, place: int) -> tuple[dict[str, str], int]:
    found: dict[str, str] = {}
    while match := PARAMETER.match(text, place):
        name, quoted, plain = match.groups()
        found.setdefault(name.lower(), plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted))
        place = _skip(text, match.end())
    return found, place


def _skip(text: str, place: int) -> int:
    return BETWEEN.match(text, place).end()  # type: ignore[union-attr]
