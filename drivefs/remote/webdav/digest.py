"""Digest access authentication, RFC 7616: a proof of the password that does not tell it. Pure but for chance.

`qop=auth` and its predecessor without qop (RFC 2069), with MD5, SHA-256 and their `-sess` forms. Texts of the
server are held as Latin-1, byte for byte; ours are UTF-8.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from typing import Final

import msgspec

HASHES: Final = {"md5": hashlib.md5, "sha-256": hashlib.sha256}


class Question(msgspec.Struct, frozen=True):
    """What the server wants to have answered. `algorithm` is as the server wrote it, "" when it did not."""

    realm: str
    nonce: str
    algorithm: str = ""
    opaque: str | None = None
    qop: bool = True
    userhash: bool = False
    stale: bool = False

    @property
    def strength(self) -> int:
        return list(HASHES).index(_hash_name(self.algorithm))


def parse_question(parameters: Mapping[str, str]) -> Question | None:
    """The question of a Digest challenge; None for one that cannot be answered (another hash, only auth-int)."""
    qops = [option.strip().lower() for option in parameters.get("qop", "").split(",") if option.strip()]
    algorithm = parameters.get("algorithm", "")
    known = _hash_name(algorithm) in HASHES and (not qops or "auth" in qops)
    if not known or "realm" not in parameters or "nonce" not in parameters:
        return None
    return Question(
        parameters["realm"],
        parameters["nonce"],
        algorithm,
        parameters.get("opaque"),
        bool(qops),
        parameters.get("userhash", "").lower() == "true",
        parameters.get("stale", "").lower() == "true",
    )


def answer(
    question: Question, user: str, password: str, method: str, target: str, *, count: int, cnonce: str | None = None
) -> bytes:
    """The value of the Authorization header for one request; `count` says how often the nonce was used, from 1.

    `target` is the path as it goes out. `cnonce` is chosen by chance unless given.
    """
    cnonce = secrets.token_hex(16) if cnonce is None else cnonce
    name, realm = user.encode(), question.realm.encode("latin-1")

    def digest(*parts: bytes) -> bytes:
        return HASHES[_hash_name(question.algorithm)](b":".join(parts)).hexdigest().encode()

    nonce, times = question.nonce.encode("latin-1"), b"%08x" % count
    secret = digest(name, realm, password.encode())
    if question.algorithm.lower().endswith("-sess"):
        secret = digest(secret, nonce, cnonce.encode())
    middle = (nonce, times, cnonce.encode(), b"auth") if question.qop else (nonce,)
    fields = {
        "username": _quoted(digest(name, realm) if question.userhash else name),
        "realm": _quoted(realm),
        "uri": _quoted(target.encode()),
        "nonce": _quoted(nonce),
        "response": _quoted(digest(secret, *middle, digest(method.encode(), target.encode()))),
    }
    if question.algorithm:
        fields["algorithm"] = question.algorithm.encode("latin-1")
    if question.opaque is not None:
        fields["opaque"] = _quoted(question.opaque.encode("latin-1"))
    if question.qop:
        fields |= {"qop": b"auth", "nc": times, "cnonce": _quoted(cnonce.encode())}
    if question.userhash:
        fields["userhash"] = b"true"
    return b"Digest " + b", ".join(b"%b=%b" % (field.encode(), value) for field, value in fields.items())


def _hash_name(algorithm: str) -> str:
    return algorithm.lower().removesuffix("-sess") or "md5"


def _quoted(text: bytes) -> bytes:
    return b'"' + text.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
