"""What a mount asks of its server, by the server's own log."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mount.files import KIB, MIB, fill, md5, methods, pattern, put, put_large, sent, sums
from tests.support.drive import DriveHome, drive
from tests.support.servers import Server, apache

LARGE = 256 * MIB
MIDDLE = LARGE // 2 + 12345


@pytest.fixture
def mounted(server: Server, tmp_path: Path) -> Iterator[DriveHome]:
    fill(server.data, 5, 20)
    put_large(server.data / "large", LARGE)
    put(server.data / "empty", b"")
    with drive(tmp_path, server.url, "--interval", "1h") as made:
        server.forget_requests()
        yield made


def read_range(path: Path, offset: int, size: int) -> bytes:
    with path.open("rb", buffering=0) as file:
        return os.pread(file.fileno(), size, offset)


def test_a_megabyte_from_the_middle_brings_little_more(server: Server, mounted: DriveHome) -> None:
    assert read_range(mounted.mountpoint / "large", MIDDLE, MIB) == read_range(server.data / "large", MIDDLE, MIB)
    mounted.unmount()  # then all requests are over, and in the log
    assert MIB <= sent(server.requests(1)) <= 9 * MIB


def test_nothing_is_sent_that_changes_the_server(server: Server, mounted: DriveHome) -> None:
    sums(mounted.mountpoint)
    for change in ("touch new", "rm -f empty", "mkdir folder", "mv empty other", "cp /etc/hostname empty"):
        assert subprocess.run(change, shell=True, cwd=mounted.mountpoint, capture_output=True).returncode != 0
    mounted.sync()
    mounted.unmount()
    asked = set(methods(server.requests(1)))
    assert {"GET", "PROPFIND"} <= asked <= {"GET", "HEAD", "PROPFIND", "OPTIONS"}


def test_a_look_at_the_start_brings_little_more(server: Server, mounted: DriveHome) -> None:
    path = mounted.mountpoint / "large"
    assert read_range(path, 0, 4 * KIB) == read_range(server.data / "large", 0, 4 * KIB)
    mounted.unmount()
    assert 4 * KIB <= sent(server.requests(1)) <= MIB


@pytest.mark.parametrize("command", ["find .", "du -a .", "ls -lR .", "find . -size +0"])
def test_looking_around_brings_no_content(server: Server, mounted: DriveHome, command: str) -> None:
    ran = subprocess.run(command.split(), cwd=mounted.mountpoint, capture_output=True, text=True, check=True)
    assert "file 0019.txt" in ran.stdout
    assert "large" in ran.stdout
    mounted.unmount()
    assert methods(server.requests())["GET"] == 0


def test_an_archive_of_cold_files_is_whole(server: Server, mounted: DriveHome, tmp_path: Path) -> None:
    (server.data / "large").unlink()
    put(server.data / "middle", pattern(3 * MIB))
    mounted.sync()
    copy = tmp_path / "copy"
    copy.mkdir()
    archive = tmp_path / "archive.tar"
    subprocess.run(["tar", "-cSf", archive, "-C", mounted.mountpoint, "."], check=True)
    subprocess.run(["tar", "-xf", archive, "-C", copy], check=True)
    assert sums(copy) == sums(server.data)


def test_many_readers_of_one_file_bring_it_once(server: Server, mounted: DriveHome) -> None:
    put(server.data / "middle", pattern(20 * MIB))
    mounted.sync()
    server.forget_requests()
    path = mounted.mountpoint / "middle"
    readers = [subprocess.Popen(["md5sum", path], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = {reader.communicate()[0].split()[0] for reader in readers}
    assert said == {md5(server.data / "middle")}
    assert mounted.status().down_bytes < 22 * MIB
    mounted.unmount()
    # Readers who go different ways get streams of their own; what one of them has under way when it meets another
    # is lost on the road.
    assert sent(server.requests(1)) < 2 * 20 * MIB


def test_indexers_get_only_what_is_here(server: Server, mounted: DriveHome, tmp_path: Path) -> None:
    here, not_here = (mounted.mountpoint / "folder 000" / f"file 000{number}.txt" for number in (1, 2))
    content = here.read_bytes()
    mounted.wait_for(lambda status: status.counts.hydrated == 2)  # with the empty one
    indexer = tmp_path / "tracker-extract"  # comm is the name of the program file
    shutil.copy("/bin/cat", indexer)
    assert subprocess.run([indexer, here], capture_output=True, check=True).stdout == content
    refused = subprocess.run([indexer, not_here], capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "Permission denied" in refused.stderr
    assert not_here.read_bytes() == (server.data / "folder 000" / not_here.name).read_bytes()


def test_files_come_over_few_connections(tmp_path: Path) -> None:
    """A new connection for each file would cost round trips on every real network."""
    with apache(extra='CustomLog "{root}/ports.log" "%m %{remote}p"'.replace("{root}", str(tmp_path))) as server:
        fill(server.data, 2, 20)
        with drive(tmp_path, server.url, "--interval", "1h") as mounted:
            assert sums(mounted.mountpoint) == sums(server.data)
    lines = (tmp_path / "ports.log").read_text().split("\n")
    gets = [line for line in lines if line.startswith("GET ")]
    assert len(gets) == 40
    assert len(set(gets)) <= 16, "the readers are eight"
