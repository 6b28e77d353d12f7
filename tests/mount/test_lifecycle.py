"""How a mount begins and ends: never with a process or a mount left over, always with one clear line."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.mount.files import put
from tests.support.drive import DriveHome, drive, home, process_of
from tests.support.servers import Server, apache, free_port


@pytest.fixture
def mounted(server: Server, tmp_path: Path) -> Iterator[DriveHome]:
    put(server.data / "folder/file", "content")
    with drive(tmp_path, server.url) as made:
        yield made


def test_a_mount_in_use_is_not_taken_away(mounted: DriveHome) -> None:
    pid = mounted.pid
    with subprocess.Popen(["sleep", "100"], cwd=mounted.mountpoint / "folder") as program:
        try:
            ran = mounted.run("unmount", mounted.mountpoint)
        finally:
            program.kill()
    assert ran.returncode == 1
    (line,) = ran.stderr.splitlines()
    assert line.startswith(f"drivefs: {mounted.mountpoint} is still mounted: ")
    assert (mounted.mountpoint / "folder/file").read_text() == "content"
    with process_of(pid):
        mounted.unmount()
    assert not mounted.is_mounted
    assert os.listdir(mounted.mountpoint) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_unmounts(server: Server, tmp_path: Path, number: signal.Signals) -> None:
    with home(tmp_path) as new:
        command = [str(new.command), "mount", "--foreground", str(new.mountpoint), "--remote", server.url]
        with subprocess.Popen(command, env=new.environ, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            assert any("mounted" in line for line in process.stderr)
            process.send_signal(number)
            assert process.wait(10) == 0
        assert not new.is_mounted


def test_unmounted_from_outside_the_daemon_ends(mounted: DriveHome) -> None:
    with process_of(mounted.pid):
        subprocess.run(["fusermount3", "-u", mounted.mountpoint], check=True)
    assert not mounted.is_mounted


def test_a_signal_while_a_program_holds_a_file_ends_it_too(mounted: DriveHome) -> None:
    descriptor = os.open(mounted.mountpoint / "folder/file", os.O_RDONLY)
    assert os.read(descriptor, 100) == b"content"
    mounted.kill(signal.SIGTERM)
    assert not mounted.is_mounted
    with pytest.raises(OSError, match="not connected"):
        os.close(descriptor)


def test_an_idle_drive_is_unmounted_without_delay(mounted: DriveHome) -> None:
    started = time.monotonic()
    mounted.unmount()
    assert time.monotonic() - started < 5


def test_a_second_daemon_is_refused(server: Server, mounted: DriveHome) -> None:
    for more in ((), ("--foreground",)):
        ran = mounted.run("mount", mounted.mountpoint, *more)
        assert (ran.returncode, ran.stderr) == (
            2,
            f"drivefs: {mounted.mountpoint}: is already mounted, pid {mounted.pid}\n",
        )
    assert (mounted.mountpoint / "folder/file").read_text() == "content"


def test_a_wrong_password_mounts_nothing(tmp_path: Path) -> None:
    with apache(users={"ann": "right"}) as server, home(tmp_path) as new:
        options = ("--remote", server.url, "--user", "ann")
        refused_line(new, 5, "check the user name and the password", *options, DRIVEFS_PASSWORD="wrong")
        new.mount(*options, DRIVEFS_PASSWORD="right")
        assert "right" not in new.log


def test_a_server_without_webdav_is_no_share(tmp_path: Path) -> None:
    class Page(BaseHTTPRequestHandler):
        def do_PROPFIND(self) -> None:
            self.send_response(405)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_OPTIONS = do_PROPFIND

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as pages, home(tmp_path) as new:
        Thread(target=pages.serve_forever).start()
        try:
            refused_line(new, 2, "WebDAV", "--remote", f"http://127.0.0.1:{pages.server_port}/")
        finally:
            pages.shutdown()


@pytest.mark.parametrize(
    ("url", "code", "text"),
    [
        ("https://no-such-host.invalid/", 4, "no-such-host.invalid"),
        (f"http://127.0.0.1:{free_port()}/", 4, "127.0.0.1"),
    ],
)
def test_a_server_that_is_not_there(tmp_path: Path, url: str, code: int, text: str) -> None:
    with home(tmp_path) as new:
        refused_line(new, code, text, "--remote", url)


def refused_line(new: DriveHome, code: int, text: str, *options: str, **variables: str) -> None:
    """`mount` fails with one line that holds `text`, and leaves nothing."""
    ran = new.run("mount", new.mountpoint, *options, **variables)
    assert ran.returncode == code, ran.stderr
    (line,) = ran.stderr.splitlines()
    assert text in line
    assert line.startswith("drivefs: ")
    assert not new.is_mounted
    assert os.listdir(new.mountpoint) == []


def change_calls(top: Path) -> dict[str, list[str]]:
    file, folder, new = f"{top}/folder/file", f"{top}/folder", f"{top}/new"
    return {
        "create": ["touch", new],
        "write": ["sh", "-c", 'echo x >> "$0"', file],
        "truncate": ["truncate", "-s", "1", file],
        "overwrite": ["sh", "-c", ': > "$0"', file],
        "mkdir": ["mkdir", new],
        "rmdir": ["rmdir", folder],
        "unlink": ["rm", "-f", file],
        "rename": ["mv", file, new],
        "exchange": ["python3", "-c", "import os,sys; os.replace(*sys.argv[1:])", file, new],
        "link": ["ln", file, new],
        "symlink": ["ln", "-s", "target", new],
        "chmod": ["chmod", "600", file],
        "chown": ["chown", "1:1", file],
        "utime": ["touch", "-d", "2001-01-01", file],
        "mknod": ["mknod", new, "p"],
        "setxattr": ["python3", "-c", "import os,sys; os.setxattr(sys.argv[1], 'user.a', b'b')", file],
    }


@pytest.mark.parametrize("call", sorted(change_calls(Path())))
def test_nothing_can_be_changed_yet(shared_mount: DriveHome, call: str) -> None:
    ran = subprocess.run(change_calls(shared_mount.mountpoint)[call], capture_output=True, text=True, check=False)
    assert ran.returncode != 0
    assert "Read-only file system" in ran.stderr or "not supported" in ran.stderr
    assert (shared_mount.mountpoint / "folder/file").read_text() == "content"
    assert os.listdir(shared_mount.mountpoint) == ["folder"]


@pytest.fixture(scope="module")
def shared_mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DriveHome]:
    with apache() as server:
        put(server.data / "folder/file", "content")
        with drive(tmp_path_factory.mktemp("home"), server.url) as made:
            yield made


def test_access_and_links_are_answered_as_they_are(shared_mount: DriveHome) -> None:
    path = shared_mount.mountpoint / "folder/file"
    assert os.access(path, os.R_OK)
    assert not os.access(path, os.W_OK)
    assert not os.access(path, os.X_OK)
    assert os.access(path.parent, os.X_OK | os.R_OK)
    with pytest.raises(OSError, match="Invalid argument"):
        os.readlink(path)
    with pytest.raises(OSError, match="not supported"):
        os.getxattr(path, "user.a")
