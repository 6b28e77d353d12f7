"""A whole tree: first listing, counts, content, remount, and a daemon that was killed half way."""

from __future__ import annotations

import errno
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.mount.files import MIB, fill, md5, methods, put_large, sent, sums
from tests.support.drive import drive, home, status_json, wait_until
from tests.support.servers import Server

FOLDERS, FILES = 200, 50
LARGE = 128 * MIB


def propfinds(server: Server) -> int:
    return methods(server.requests())["PROPFIND"]


def test_a_tree_of_ten_thousand_files_is_here_and_stays(server: Server, tmp_path: Path) -> None:
    fill(server.data, FOLDERS, FILES)
    put_large(server.data / "large", LARGE)
    with drive(tmp_path, server.url, "--interval", "1h") as mounted:
        first = status_json(mounted)
        assert first["initial_sync"] == {"done": True, "directories": FOLDERS + 1, "entries": FOLDERS * (FILES + 1) + 1}
        assert first["state"] == "idle"
        assert tree(mounted.mountpoint) == tree(server.data)
        some = [server.data / f"folder {number:03}" for number in range(0, FOLDERS, 20)]
        expected = {folder: sums(folder) for folder in some}
        for again in (False, True):
            for folder in some:
                assert sums(mounted.mountpoint / folder.name) == expected[folder]
            assert md5(mounted.mountpoint / "large") == md5(server.data / "large")
            if not again:
                mounted.wait_for(lambda status: status.counts.hydrated == len(some) * (FILES + 1) + 1)
                mounted.unmount()
                server.forget_requests()
                mounted.mount()
                assert tree(mounted.mountpoint) == tree(server.data)
        assert status_json(mounted)["initial_sync"] == first["initial_sync"]
        asked = methods(server.requests())
        assert asked["GET"] == 0, "everything was in the cache"
        assert asked["PROPFIND"] <= 3 + FOLDERS, "at most the listings that opening the folders refreshes"


@pytest.mark.slow
def test_ten_thousand_files_are_here_byte_for_byte(server: Server, tmp_path: Path) -> None:
    fill(server.data, FOLDERS, FILES)
    with drive(tmp_path, server.url) as mounted:
        assert sums(mounted.mountpoint) == sums(server.data)


def tree(top: Path) -> dict[str, tuple[int, int]]:
    """Size and whole seconds of modification of every file; folders have none."""
    found = {}
    for folder, folders, names in os.walk(top):
        here = Path(folder)
        for name in names:
            known = (here / name).stat()
            found[str(here.relative_to(top) / name)] = (known.st_size, int(known.st_mtime))
        found |= {str(here.relative_to(top) / name): (0, 0) for name in folders}
    return found


def test_a_remount_lists_nothing_from_scratch(server: Server, tmp_path: Path) -> None:
    fill(server.data, 50, 20)
    with drive(tmp_path, server.url, "--interval", "1h") as mounted:
        mounted.unmount()
        server.forget_requests()
        mounted.mount()
        assert mounted.status().initial_sync.entries == 50 * 21
        assert len(os.listdir(mounted.mountpoint / "folder 049")) == 20
        assert propfinds(server) <= 5


def test_a_daemon_killed_in_its_first_listing_goes_on_where_it_was(server: Server, tmp_path: Path) -> None:
    fill(server.data, FOLDERS, FILES)
    with home(tmp_path) as broken, ThreadPoolExecutor(1) as pool:
        mounting = pool.submit(broken.run, "mount", broken.mountpoint, "--remote", server.url, "--interval", "1h")
        wait_until(lambda: propfinds(server) >= FOLDERS // 2, "half of the listings")
        broken.kill_any()
        assert mounting.result().returncode in (0, 1)
        before = propfinds(server)
        assert before < FOLDERS, "it was killed in the middle"
        server.forget_requests()
        broken.mount("--remote", server.url, "--interval", "1h")
        status = broken.listed()
        assert status.counts.entries == FOLDERS * (FILES + 1)
        assert propfinds(server) <= 0.55 * (FOLDERS + 1)


def test_a_killed_daemon_leaves_a_broken_mountpoint_that_mount_clears(server: Server, tmp_path: Path) -> None:
    (server.data / "file").write_bytes(b"content")
    with drive(tmp_path, server.url) as mounted:
        mounted.kill(signal.SIGKILL)
        with pytest.raises(OSError, match=r".") as broken:
            os.listdir(mounted.mountpoint)
        assert broken.value.errno == errno.ENOTCONN, "an empty folder would look as if everything was deleted"
        mounted.mount()
        assert (mounted.mountpoint / "file").read_bytes() == b"content"


def test_a_daemon_killed_while_it_reads_keeps_what_it_has(server: Server, tmp_path: Path) -> None:
    put_large(server.data / "large", LARGE)
    with drive(tmp_path, server.url, "--limit-down", "40M") as mounted, ThreadPoolExecutor(1) as pool:
        reading = pool.submit(md5, mounted.mountpoint / "large")
        mounted.wait_for(lambda status: status.cache.used >= 32 * MIB)
        mounted.kill(signal.SIGKILL)
        with pytest.raises(OSError, match=r"."):
            reading.result()
        server.forget_requests()
        mounted.mount("--limit-down", "500M")
        assert md5(mounted.mountpoint / "large") == md5(server.data / "large")
        brought = sum(request.sent for request in server.requests(1) if request.method == "GET")
        assert brought < LARGE - 16 * MIB


@pytest.mark.slow
def test_a_file_of_one_gigabyte(server: Server, tmp_path: Path) -> None:
    put_large(server.data / "large", 1024 * MIB)
    server.forget_requests()
    with drive(tmp_path, server.url) as mounted, (mounted.mountpoint / "large").open("rb", buffering=0) as file:
        os.pread(file.fileno(), MIB, 512 * MIB)
    assert MIB <= sent(server.requests(1)) <= 9 * MIB
    with drive(tmp_path, server.url) as mounted:
        assert md5(mounted.mountpoint / "large") == md5(server.data / "large")
