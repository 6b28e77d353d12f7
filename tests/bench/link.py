"""A long link in front of a server: python -m tests.bench.link PORT ROUND_TRIP_MS MEGABYTES_PER_SECOND

Prints its own port, and forwards connections to PORT of 127.0.0.1 until it is ended. Each way has a rate of its own
that all connections share, first come, first served, and half of the round trip as delay. A new connection's first
bytes wait one round trip more, as for a handshake. Kinder than the internet: nothing is lost, no slow start.
"""

from __future__ import annotations

import sys

import trio

PIECE = 64 * 1024
IN_FLIGHT = 4 << 20
"""Bytes on the way per connection and direction: more than rate x round trip, so that it does not limit."""


class Way:
    """One direction of the link."""

    def __init__(self, delay: float, rate: float) -> None:
        self.delay = delay
        self.rate = rate
        self._free_at = 0.0

    def arrival(self, size: int) -> float:
        """When a piece that is sent now is there."""
        self._free_at = max(self._free_at, trio.current_time()) + size / self.rate
        return self._free_at + self.delay


async def forward(
    source: trio.abc.HalfCloseableStream, target: trio.abc.HalfCloseableStream, way: Way, not_before: float
) -> None:
    """Everything from one to the other, then the end of it."""
    send, receive = trio.open_memory_channel[tuple[float, bytes]](IN_FLIGHT // PIECE)

    async def read() -> None:
        with send:
            while piece := await source.receive_some(PIECE):
                await send.send((max(way.arrival(len(piece)), not_before), bytes(piece)))

    async def write() -> None:
        async for due, piece in receive:
            await trio.sleep_until(due)
            await target.send_all(piece)
        await target.send_eof()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        nursery.start_soon(write)


async def serve(port: int, round_trip: float, rate: float) -> None:
    up, down = Way(round_trip / 2, rate), Way(round_trip / 2, rate)

    async def connection(client: trio.SocketStream) -> None:
        not_before = trio.current_time() + round_trip * 1.5
        try:
            async with await trio.open_tcp_stream("127.0.0.1", port) as server, trio.open_nursery() as nursery:
                nursery.start_soon(forward, client, server, up, not_before)
                await forward(server, client, down, 0.0)
                nursery.cancel_scope.cancel()  # the server closed: nothing that the client still says matters
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # one side went away: the other learns it by the end of its connection

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, connection, 0)
        sys.stdout.write(f"{listeners[0].socket.getsockname()[1]}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    trio.run(serve, int(sys.argv[1]), float(sys.argv[2]) / 1000, float(sys.argv[3]) * 1e6)
