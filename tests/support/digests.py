"""A share that asks for Digest, with a memory for nonces that is as strict as the test wants it.

Checked with the formulas of RFC 7616 section 3.4.1, written down here once more.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from hashlib import md5, sha256

from tests.support.scripted import Asked, Parts, http

REALM = "Büro"


class DigestShare:
    """Answers with `inner` what comes with a right answer to a nonce of ours that was used `uses` times at most.

    `names_next`: each answer names the nonce to use from then on. `says_stale`: a nonce that is used up is told
    apart from a wrong password. `answers` counts what was told: "asked", "stale", "wrong" and "right".
    """

    def __init__(
        self,
        inner: Callable[[Asked], Parts],
        password: str,
        *,
        algorithm: str = "MD5",
        uses: int = 1000,
        names_next: bool = False,
        says_stale: bool = True,
    ) -> None:
        self.inner = inner
        self.password = password
        self.algorithm = algorithm
        self.uses = uses
        self.names_next = names_next
        self.says_stale = says_stale
        self.answers: Counter[str] = Counter()
        self.counts: dict[str, set[str]] = {}

    def __call__(self, asked: Asked) -> Parts:
        header = asked.headers.get("authorization")
        verdict = "asked" if header is None or not header.startswith("Digest ") else self.verdict(asked, header)
        self.answers[verdict] += 1
        if verdict != "right":
            stale = ", stale=true" if verdict == "stale" and self.says_stale else ""
            return http(401, b"who?", WWW_Authenticate=f"{self.challenge()}{stale}")
        inner = self.inner(asked)
        if self.names_next and isinstance(inner, bytes):
            return inner.replace(b"\r\n", f'\r\nAuthentication-Info: nextnonce="{self.new_nonce()}"\r\n'.encode(), 1)
        return inner

    def verdict(self, asked: Asked, header: str) -> str:
        given = {name: quoted or plain for name, quoted, plain in re.findall(r'(\w+)=(?:"([^"]*)"|([^, ]+))', header)}
        if given["uri"] != asked.target or given["response"] != self.right_response(asked, given):
            return "wrong"
        used = self.counts.get(given["nonce"])
        if used is None or len(used) >= self.uses or given["nc"] in used:
            return "stale"
        used.add(given["nc"])
        return "right"

    def right_response(self, asked: Asked, given: dict[str, str]) -> str:
        def digest(text: str) -> str:
            return {"MD5": md5, "SHA-256": sha256}[self.algorithm](text.encode()).hexdigest()

        first, second = digest(f"{given['username']}:{REALM}:{self.password}"), digest(f"{asked.method}:{asked.target}")
        return digest(f"{first}:{given['nonce']}:{given['nc']}:{given['cnonce']}:auth:{second}")

    def challenge(self) -> str:
        return f'Digest realm="{REALM}", qop="auth", algorithm={self.algorithm}, nonce="{self.new_nonce()}", opaque="o"'

    def new_nonce(self) -> str:
        nonce = f"nonce{len(self.counts)}=="
        self.counts[nonce] = set()
        return nonce
