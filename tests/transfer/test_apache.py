"""The whole way once with a real server: what its log says of our reads, and the bytes."""

from __future__ import annotations

import os
from pathlib import Path

import trio
from trio.testing import wait_all_tasks_blocked

from drivefs.model import ContentId, Entry, Inode, Kind, Ref
from drivefs.remote.open import open_remote
from drivefs.transfer.download import Downloads
from drivefs.transfer.limits import Limits
from tests.store.block_helpers import Home
from tests.support.servers import apache
from tests.transfer.world import KIB, MIB, pattern, read, read_all


async def idle(limits: Limits) -> None:
    """Wait until no request runs, and none is about to: the server's log is read by a call that blocks the loop."""
    await wait_all_tasks_blocked()
    while limits.interactive.borrowed_tokens:
        await trio.sleep(0.001)
        await wait_all_tasks_blocked()


async def test_reads_from_apache(tmp_path: Path) -> None:
    data, limits = pattern(30 * MIB), Limits()
    with apache() as server:
        (server.data / "f").write_bytes(data)
        os.utime(server.data / "f", (1.7e9, 1.7e9))
        remote = open_remote(server.url)
        await remote.connect()
        seen = await remote.stat(Ref(("f",)))
        entry = Entry(
            Inode(2), Inode(1), "f", Kind.FILE, len(data), 0, 0, 0o644, ContentId(2), version=seen.version, seen=seen.at
        )
        server.forget_requests()
        before = remote.traffic.requests
        async with Home(tmp_path).start() as blocks, trio.open_nursery() as nursery:
            downloads = Downloads(
                remote, blocks, limits, locate=lambda _: Ref(("f",)), on_changed=lambda *_: None,
                on_settled=lambda *_: None, is_offline=lambda: False,
            )  # fmt: skip
            await nursery.start(downloads.run)
            shared = downloads.open(entry)
            for offset in range(15 * MIB, 16 * MIB, 128 * KIB):
                assert await read(shared, offset, 128 * KIB) == data[offset : offset + 128 * KIB]
            await idle(limits)
            assert sum(request.sent for request in server.requests(remote.traffic.requests - before)) <= 9 * MIB
            assert await read_all(shared) == data
            await idle(limits)
            shared.close()
            nursery.cancel_scope.cancel()
        await remote.aclose()
        sent = [request.sent for request in server.requests(remote.traffic.requests - before)]
        assert sum(sent) <= len(data) + len(sent) * KIB
