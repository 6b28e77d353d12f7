"""Keys: what proves who we are, in one request after the other; and which of them answers what a server asks for.

A password or token itself goes only where nobody can listen, or where that was allowed on purpose; Digest, which does
not tell it, anywhere. No key shows what it holds.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Protocol
from urllib.parse import urlsplit

import httpx
import msgspec

from drivefs.remote.webdav import digest
from drivefs.remote.webdav.auth import INSECURE, Credentials, Scheme, may_hear
from drivefs.remote.webdav.challenges import Challenge, parse_challenges


class Key(Protocol):
    """A way to prove who we are. `scheme` is in lower case; `proof` the value of Authorization for one request."""

    scheme: str

    def proof(self, method: str, url: str) -> bytes: ...


class Secret:
    """The secret itself, in each request: Basic (RFC 7617, in UTF-8), or Bearer (RFC 6750)."""

    def __init__(self, scheme: str, credentials: Credentials) -> None:
        self.scheme = scheme
        token = credentials.password.encode()
        if scheme == "basic":
            token = base64.b64encode(credentials.user.encode() + b":" + token)
        self._value = scheme.capitalize().encode() + b" " + token

    def proof(self, method: str, url: str) -> bytes:
        return self._value


class Nonce:
    """Digest: a question of the server, and how often it was answered."""

    scheme = "digest"

    def __init__(self, question: digest.Question, credentials: Credentials) -> None:
        self.question = question
        self._credentials = credentials
        self._count = 0

    def proof(self, method: str, url: str) -> bytes:
        self._count += 1
        user, password = self._credentials.user, self._credentials.password
        target = httpx.URL(url).raw_path.decode("ascii")
        return digest.answer(self.question, user, password, method, target, count=self._count)

    def followed_by(self, nonce: str) -> Nonce:
        return Nonce(msgspec.structs.replace(self.question, nonce=nonce), self._credentials)


def challenges_of(response: httpx.Response) -> list[Challenge]:
    """What a 401 offers; as Latin-1, byte for byte: a realm goes into the digest as it came."""
    raw = (value for name, value in response.headers.raw if name.lower() == b"www-authenticate")
    return parse_challenges(value.decode("latin-1") for value in raw)


def pick(
    offered: Sequence[Challenge], url: str, credentials: Credentials, scheme: Scheme, *, allow_insecure: bool
) -> Key | str:
    """The key that answers these challenges of `url`, or in words why there is none.

    Digest goes before Basic where the way is not encrypted.
    """
    schemes = {challenge.scheme for challenge in offered} or {"basic"}  # a 401 without a challenge breaks RFC 9110
    questions = [digest.parse_question(offer.parameters) for offer in offered if offer.scheme == "digest"]
    known = sorted(filter(None, questions), key=lambda question: question.strength)
    wanted = {"basic", "digest"} if scheme == "auto" else {scheme}
    basic_first = urlsplit(url).scheme == "https" and "basic" in schemes & wanted
    if known and "digest" in wanted and not basic_first:
        return Nonce(known[-1], credentials)
    if "bearer" in wanted or "basic" in schemes & wanted:
        if may_hear(url, allow_insecure=allow_insecure):
            return Secret("bearer" if "bearer" in wanted else "basic", credentials)
        return f"it asks for the password unencrypted: {INSECURE}"
    hint = "; for a token there is --auth bearer" if "bearer" in schemes else ""
    return f"it asks for {', '.join(sorted(schemes))}, and --auth is {scheme}{hint}"


def is_new(used: Key, key: Key, offered: Sequence[Challenge]) -> bool:
    """Whether `key` may succeed where `used` was refused: by another scheme, or because only the nonce was too old."""
    if offered and used.scheme not in {challenge.scheme for challenge in offered}:
        return used.scheme != key.scheme
    return isinstance(key, Nonce) and key.question.stale
