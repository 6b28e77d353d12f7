"""The commands that meet the kernel: with the true daemon, the embedded share, and a real mount."""

from __future__ import annotations

import errno
import os
import re
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from drivefs import mountpoint as mounts
from tests.cli.conftest import Home
from tests.support.servers import apache


@pytest.fixture
def share(tmp_path: Path) -> Iterator[str]:
    """The address of a share of `drivefs serve`; user ann, password right."""
    folder = tmp_path / "share"
    folder.mkdir()
    (folder / "file").write_text("content")
    command = [sys.executable, "-m", "drivefs", "serve", str(folder), "--port", "0", "--user", "ann"]
    environ = {**os.environ, "DRIVEFS_PASSWORD": "right"}
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
        process.send_signal(signal.SIGINT)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A drive on the embedded share, mounted at a folder whose name needs care everywhere."""
    home = Home(tmp_path, real=True)
    home.mountpoint = home.mountpoint.rename(home.root / "My, Drive \\ é")
    started = home.run("mount", home.mountpoint, "--remote", "demo:")
    assert (started.returncode, started.stderr) == (0, "")
    yield home
    if mounts.mounted_at(str(home.mountpoint)):
        ended = home.run("unmount", home.mountpoint)
        assert ended.returncode == 0, ended.stderr


def pid(home: Home) -> int:
    holder = home.holder(next(path.name for path in home.paths("x").state.parent.iterdir()))
    assert holder is not None
    return holder.pid


def kill(home: Home) -> None:
    """End the daemon as a crash would, and wait until the kernel has noticed."""
    process = os.pidfd_open(pid(home))
    try:
        signal.pidfd_send_signal(process, signal.SIGKILL)
        assert select.select([process], [], [], 10)[0]
    finally:
        os.close(process)


def test_mount_returns_when_files_are_there_and_unmount_when_they_are_gone(home: Home) -> None:
    assert os.listdir(home.mountpoint)
    daemon = os.pidfd_open(pid(home))
    ran = home.run("unmount", home.mountpoint)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert select.select([daemon], [], [], 0)[0], "the process must have ended, not only the mount"
    os.close(daemon)
    assert mounts.mounted_at(str(home.mountpoint)) is None
    assert os.listdir(home.mountpoint) == []


def test_a_busy_mount_stays_and_says_what_to_do(home: Home) -> None:
    with open(next(path for path in home.mountpoint.iterdir() if path.is_file()), "rb"):
        ran = home.run("unmount", home.mountpoint)
    assert ran.returncode == 1
    assert "is still mounted" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
    assert os.listdir(home.mountpoint)


def test_after_a_crash_the_mount_is_broken_and_not_empty_until_it_is_mounted_again(home: Home) -> None:
    kill(home)
    with pytest.raises(OSError, match="not connected") as caught:
        os.listdir(home.mountpoint)
    assert caught.value.errno == errno.ENOTCONN
    ran = home.run("status")
    assert ran.returncode == 3
    assert "attention – its process died" in ran.stdout
    assert home.run("mount", home.mountpoint).returncode == 0
    assert os.listdir(home.mountpoint)


def test_the_mount_of_a_dead_process_is_cleared_by_unmount(home: Home) -> None:
    kill(home)
    ran = home.run("unmount", home.mountpoint)
    assert (ran.returncode, ran.stdout) == (0, f"{home.mountpoint}: the mount of a dead process was cleared\n")
    assert os.listdir(home.mountpoint) == []


def test_the_state_of_one_file_is_told(home: Home) -> None:
    file = next(path for path in home.mountpoint.iterdir() if path.is_file())
    file.read_bytes()
    ran = home.run("status", file)
    assert ran.returncode == 0
    assert "state:   hydrated" in ran.stdout


def test_a_share_is_mounted_with_a_password_that_is_stored_for_the_next_time(share: str, tmp_path: Path) -> None:
    home = Home(tmp_path, real=True)
    first = home.run("mount", home.mountpoint, "--remote", share, "--user", "ann", DRIVEFS_PASSWORD="right")
    assert (first.returncode, first.stderr) == (0, "")
    assert (home.mountpoint / "file").read_text() == "content"
    assert home.run("unmount", home.mountpoint).returncode == 0
    assert home.run("mount", home.mountpoint).returncode == 0
    assert (home.mountpoint / "file").read_text() == "content"
    assert home.run("unmount", home.mountpoint).returncode == 0
    told = "".join(path.read_text() for path in (home.config, home.paths().log))
    assert "right" not in told


@pytest.mark.parametrize(
    ("address", "code"),
    [("SHARE", 5), ("https://no-such-host.invalid/", 4), ("http://127.0.0.1:1/", 4), ("https://SHARE", 4)],
)
def test_a_server_that_cannot_be_used_is_told_in_one_line(share: str, tmp_path: Path, address: str, code: int) -> None:
    address = address.replace("https://SHARE", share.replace("http:", "https:")).replace("SHARE", share)
    home = Home(tmp_path, real=True)
    ran = home.run("mount", home.mountpoint, "--remote", address, "--user", "ann", DRIVEFS_PASSWORD="wrong")
    assert ran.returncode == code, ran.stderr
    (only,) = ran.stderr.splitlines()
    assert only.startswith(f"drivefs: {address}")
    assert "wrong" not in only
    assert mounts.mounted_at(str(home.mountpoint)) is None
    assert not home.config.exists()


@pytest.mark.parametrize("digest", [None, 300], ids=["basic", "digest"])
def test_a_certificate_that_nobody_vouches_for_is_pinned_from_the_error(tmp_path: Path, digest: int | None) -> None:
    home = Home(tmp_path, real=True)
    with apache(users={"ann": "pass-w0rd"}, tls=True, digest=digest) as server:
        (server.data / "file").write_text("content")
        new = ("mount", home.mountpoint, "--remote", server.url, "--user", "ann")
        refused = home.run(*new, DRIVEFS_PASSWORD="pass-w0rd")
        assert refused.returncode == 4
        pin = re.search(r"--pin-cert (SHA256:[0-9A-F:]+)\n", refused.stderr)
        assert pin is not None, refused.stderr
        mounted = home.run(*new, "--pin-cert", pin[1], DRIVEFS_PASSWORD="pass-w0rd")
        assert (mounted.returncode, mounted.stderr) == (0, "")
        assert (home.mountpoint / "file").read_text() == "content"
        status = home.run("status", "--json").stdout
        assert '"mounted":true' in status.replace(" ", "")
        assert home.run("unmount", home.mountpoint).returncode == 0
    told = "".join(path.read_text() for path in (home.config, home.paths().log))
    assert "pass-w0rd" not in told + status + refused.stderr + mounted.stdout
    assert f'pin_cert = "{pin[1]}"' in home.config.read_text()


def test_an_address_that_is_no_share_is_a_wrong_configuration(tmp_path: Path) -> None:
    home = Home(tmp_path, real=True)
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        ran = home.run("mount", home.mountpoint, "--remote", address)
        server.shutdown()
    assert ran.returncode == 2, ran.stderr
    assert ran.stderr.startswith(f"drivefs: {address} is not a WebDAV share")
    assert len(ran.stderr.splitlines()) == 1
