"""The benchmark runs, checks what it reads, and leaves nothing; its numbers are for people to judge."""

from __future__ import annotations

import subprocess
from hashlib import sha256
from pathlib import Path

import msgspec
import trio
import trio.testing

from tests.bench.link import Way, forward
from tests.bench.report import Report

ROOT = Path(__file__).parents[2]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ROOT / "scripts" / "bench", *arguments], capture_output=True, text=True, check=False)


def test_two_rows_of_two_peers() -> None:
    ran = bench("--rows", "e,h,j", "--peers", "drivefs,rclone", "--repeat", "1", "--scale", "0.01", "--json")
    assert ran.returncode == 0, ran.stderr
    report = msgspec.json.decode(ran.stdout, type=Report)
    assert [row.row for row in report.rows] == ["e", "h"]
    for row in report.rows:
        assert not row.reasons
        assert list(row.peers) == ["drivefs", "rclone"]
        ours, theirs = row.peers.values()
        assert ours.ratio == 1
        assert theirs.ratio == theirs.median / ours.median
        assert min(ours.requests, theirs.requests) > 0
        assert ours.values == [ours.median]
    assert report.rows[1].peers["drivefs"].received > 10 * 4096
    assert report.notes == ["- j: needs a writable mount"]


def test_a_row_that_is_not_there_is_refused() -> None:
    ran = bench("--rows", "e,x")
    assert ran.returncode == 2
    assert "there is no row x" in ran.stderr


async def test_the_long_link_delays_and_limits_and_keeps_what_it_carries(
    autojump_clock: trio.testing.MockClock,
) -> None:
    content = bytes(range(256)) * 4096  # 1 MiB
    outside, inside = trio.testing.memory_stream_pair()
    far, there = trio.testing.memory_stream_pair()
    received = sha256()
    started = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(forward, inside, far, Way(delay=0.5, rate=1 << 20), 0.0)
        await outside.send_all(content)
        await outside.send_eof()
        async for piece in there:
            received.update(piece)
    assert received.digest() == sha256(content).digest()
    assert 1.5 <= trio.current_time() - started < 1.51
