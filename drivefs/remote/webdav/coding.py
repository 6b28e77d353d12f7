"""Content codings of metadata answers. Content of files never passes through here: it is asked for as it is.

Invariant: no piece is longer than `PIECE_BYTES`, whatever a small compressed body holds.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

from drivefs.errors import BadAnswer

PIECE_BYTES: Final = 64 * 1024
"""Bytes that are worked on before other tasks get their turn: some 2 ms of XML."""


class Decoder:
    """Undoes the content coding of a body in pieces of at most `PIECE_BYTES`: a small body may hold a huge one."""

    def __init__(self, coding: str) -> None:
        coding = coding.strip().lower()
        if coding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise BadAnswer(f"the answer is in an encoding that was not asked for ({coding})")
        self._inflate = None if coding in ("", "identity") else zlib.decompressobj(wbits=47)

    def feed(self, raw: bytes) -> Iterator[bytes]:
        if self._inflate is None:
            for start in range(0, len(raw), PIECE_BYTES):
                yield raw[start : start + PIECE_BYTES]
            return
        while raw:
            try:
                yield self._inflate.decompress(raw, PIECE_BYTES)
            except zlib.error as error:
                raise BadAnswer(f"the answer cannot be decompressed ({error})") from error
            raw = self._inflate.unconsumed_tail

    def finish(self) -> None:
        """Raises BadAnswer when the compressed body has no end."""
        if self._inflate is not None and not self._inflate.eof:
            raise BadAnswer("the compressed answer was cut")
