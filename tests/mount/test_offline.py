"""A server that goes away and comes back."""

from __future__ import annotations

import errno
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.mount.files import MIB, OLD, put, put_large
from tests.support.drive import DriveHome, drive, home
from tests.support.servers import Server, apache, wait_until_ready


@contextmanager
def away(server: Server) -> Iterator[Callable[[], None]]:
    """The server is stopped; calling what this gives starts it again, at the same address."""
    server.stop()
    started: list[subprocess.Popen[bytes]] = []

    def back() -> None:
        with (server.root / "log").open("ab") as log:
            process = subprocess.Popen(server.process.args, stdout=log, stderr=log, start_new_session=True)
        started.append(process)
        wait_until_ready(process, server.url, server.root)

    try:
        yield back
    finally:
        for process in started:
            process.terminate()
            process.wait(10)


@pytest.fixture
def mounted(server: Server, tmp_path: Path) -> Iterator[DriveHome]:
    put(server.data / "cached", "content")
    put(server.data / "folder/uncached", "uncached")
    put(server.data / "folder/later", "later")
    put_large(server.data / "large", 64 * MIB)
    with drive(tmp_path, server.url, "--interval", "2s") as made:
        assert (made.mountpoint / "cached").read_text() == "content"
        yield made


def refused(path: Path) -> float:
    """Read what cannot be had; gives the seconds that the error took."""
    started = time.monotonic()
    with pytest.raises(OSError, match=r".") as problem:
        path.read_bytes()
    assert problem.value.errno == errno.EIO
    return time.monotonic() - started


def test_what_is_here_is_served_and_the_rest_fails_in_time(server: Server, mounted: DriveHome) -> None:
    top = mounted.mountpoint
    with away(server) as back:
        assert (top / "cached").read_text() == "content"
        assert sorted(os.listdir(top / "folder")) == ["later", "uncached"]
        assert (top / "large").stat().st_size == 64 * MIB
        assert refused(top / "folder/uncached") < 35
        status = mounted.wait_for(lambda status: status.state == "offline")
        assert status.message
        assert refused(top / "folder/later") < 1, "it is known by now"
        assert (top / "cached").read_text() == "content"
        assert sorted(os.listdir(top)) == ["cached", "folder", "large"]
        assert mounted.run("status").returncode == 4
        put(server.data / "new", "new", OLD + 1)
        back()
        mounted.wait_for(lambda status: status.state == "idle")
        assert (top / "folder/uncached").read_text() == "uncached"
        mounted.sync()
        assert (top / "new").read_text() == "new"


def test_a_drive_that_was_here_mounts_without_its_server(server: Server, mounted: DriveHome) -> None:
    mounted.unmount()
    with away(server) as back:
        ran = mounted.mount("--interval", "1h")  # that long nobody may have to wait for the server once it is back
        assert len(ran.stderr.splitlines()) == 1
        assert ran.stderr.startswith("drivefs: offline: ")
        assert mounted.status().state == "offline"
        assert (mounted.mountpoint / "cached").read_text() == "content"
        assert sorted(os.listdir(mounted.mountpoint / "folder")) == ["later", "uncached"]
        assert refused(mounted.mountpoint / "folder/uncached") < 1
        back()
        mounted.wait_for(lambda status: status.state == "idle")
        assert (mounted.mountpoint / "folder/uncached").read_text() == "uncached"


def test_a_drive_that_never_was_here_needs_its_server(tmp_path: Path) -> None:
    with apache() as server, home(tmp_path) as new:
        server.stop()
        ran = new.run("mount", new.mountpoint, "--remote", server.url)
        assert ran.returncode == 4
        assert len(ran.stderr.splitlines()) == 1
        assert not new.is_mounted


def test_a_server_that_goes_in_the_middle_is_no_end_of_file(server: Server, mounted: DriveHome) -> None:
    with (mounted.mountpoint / "large").open("rb", buffering=0) as file:
        assert len(file.read(1000)) == 1000
        with away(server):
            started = time.monotonic()
            with pytest.raises(OSError, match=r".") as problem:
                os.pread(file.fileno(), 1000, 50 * MIB)
            assert problem.value.errno == errno.EIO
            assert time.monotonic() - started < 35
