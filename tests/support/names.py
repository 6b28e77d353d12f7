"""Host names of a test's own: `with hosts({"cloud.example": "127.0.0.1"})`, for the trio run that it stands in."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import trio


class Hosts(trio.abc.HostnameResolver):
    """Knows these names, and no other; `None` is a name that cannot be looked up by now."""

    def __init__(self, known: Mapping[str, str | None]) -> None:
        self.known = known

    async def getaddrinfo(
        self, host: bytes | None, port: bytes | str | int | None, family: int = 0, type: int = 0, *rest: int
    ) -> Any:
        await trio.lowlevel.checkpoint()
        name = (host or b"").decode()
        if name not in self.known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        address = self.known[name]
        if address is None:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, int(port or 0)))]

    async def getnameinfo(self, sockaddr: Any, flags: int) -> Any:
        raise NotImplementedError


@contextmanager
def hosts(known: Mapping[str, str | None]) -> Iterator[None]:
    before = trio.socket.set_custom_hostname_resolver(Hosts(known))
    try:
        yield
    finally:
        trio.socket.set_custom_hostname_resolver(before)
