"""What is kept on this disk: all of it under mirror, as much as may be otherwise."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.mount.files import MIB, fill, md5, methods, pattern, put, put_large, sums
from tests.support.drive import DriveHome, drive, wait_until
from tests.support.servers import Server

BLOCK = 4 * MIB


def disk_use(mounted: DriveHome) -> int:
    """Bytes of content in the cache folder, as `du` finds them; its databases are not counted."""
    ran = subprocess.run(["du", "-sB1", mounted.paths.cache / "content"], capture_output=True, text=True, check=False)
    return int(ran.stdout.split()[0])


def test_a_mirror_has_everything_and_keeps_it(server: Server, tmp_path: Path) -> None:
    fill(server.data, 4, 25)
    put_large(server.data / "large", 30 * MIB)
    with drive(tmp_path, server.url, "--content", "mirror", "--interval", "1h") as mounted:
        status = mounted.wait_for(lambda status: status.counts.hydrated == status.counts.entries)
        assert status.counts.entries == 4 * 26 + 1
        mounted.unmount()
        server.forget_requests()
        mounted.mount()
        assert sums(mounted.mountpoint) == sums(server.data)
        assert methods(server.requests())["GET"] == 0
        put(server.data / "later", pattern(5 * MIB))
        mounted.sync()
        mounted.wait_for(lambda status: status.counts.hydrated == status.counts.entries == 4 * 26 + 2)


def test_the_cache_keeps_to_its_size(server: Server, tmp_path: Path) -> None:
    limit = 32 * MIB
    for number in range(6):
        put(server.data / f"{number}", pattern(16 * MIB, number))
    options = ("--cache-size", str(limit), "--interval", "1h")
    with drive(tmp_path, server.url, *options) as mounted:
        empty = disk_use(mounted)
        for number in range(6):
            assert md5(mounted.mountpoint / f"{number}") == md5(server.data / f"{number}")
            assert mounted.status().cache.used <= limit + BLOCK
        wait_until(lambda: disk_use(mounted) - empty <= limit + BLOCK, "evictions on the disk")
        assert mounted.status().cache.used >= limit // 2
        assert md5(mounted.mountpoint / "0") == md5(server.data / "0"), "what was dropped is fetched again"


def test_a_file_larger_than_the_cache_is_read_whole(server: Server, tmp_path: Path) -> None:
    put_large(server.data / "large", 64 * MIB)
    with drive(tmp_path, server.url, "--cache-size", "16M", "--interval", "1h") as mounted:
        empty = disk_use(mounted)
        assert md5(mounted.mountpoint / "large") == md5(server.data / "large")
        wait_until(lambda: disk_use(mounted) - empty <= 16 * MIB + BLOCK, "evictions on the disk")


def test_du_shows_what_is_here(server: Server, tmp_path: Path) -> None:
    put(server.data / "one", pattern(8 * MIB))
    put(server.data / "two", pattern(8 * MIB))
    with drive(tmp_path, server.url, "--interval", "1h") as mounted:
        one, two = mounted.mountpoint / "one", mounted.mountpoint / "two"
        assert (one.stat().st_blocks, two.stat().st_blocks) == (1, 1)
        one.read_bytes()
        wait_until(lambda: one.stat().st_blocks == 8 * MIB // 512, "the kernel is told what was stored")
        assert two.stat().st_blocks == 1
