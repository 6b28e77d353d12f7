"""A drive as its user has it: the command `drivefs`, run in a home of its own, and the mount that it makes.

    with drive(tmp_path, server.url, "--interval", "2s") as mounted:
        (mounted.mountpoint / "file").read_bytes()
        mounted.sync()

Whatever a test did, at its end neither process nor mount is left.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from drivefs.config import DrivePaths, config_file, drive_paths
from drivefs.configfile import load_drives
from drivefs.control import lock
from drivefs.control.client import ControlClient
from drivefs.control.messages import DriveStatus, SyncRequest
from drivefs.mountpoint import mounted_at

COMMAND_SECONDS = 90.0
WAIT_SECONDS = 30.0
POLL_SECONDS = 0.02

Ran = subprocess.CompletedProcess[str]


class DriveHome:
    """A home with an empty folder `Drive` in it. `run` is the command line; the rest are its shorthands."""

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.realpath(root))
        self.mountpoint = self.root / "Drive"
        self.command = Path(sys.executable).parent / "drivefs"
        self.mountpoint.mkdir(exist_ok=True)
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "DRIVEFS_P"))}
        folders = {f"XDG_{kind}_HOME": str(self.root / kind.lower()) for kind in ("CONFIG", "CACHE", "STATE")}
        self.environ = {
            **kept,
            **folders,
            "HOME": str(self.root),
            "XDG_RUNTIME_DIR": str(self.root / "run"),
            "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
            "PYTHONWARNINGS": "error,ignore:subprocess",  # the daemon outlives the command on purpose
        }

    def run(self, *arguments: object, **variables: str) -> Ran:
        return subprocess.run(
            [self.command, *map(str, arguments)],
            env={**self.environ, **variables},
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )

    def mount(self, *options: object, **variables: str) -> Ran:
        """`drivefs mount`, which must succeed."""
        return succeeded(self.run("mount", self.mountpoint, *options, **variables))

    def unmount(self) -> Ran:
        return succeeded(self.run("unmount", self.mountpoint))

    def sync(self) -> None:
        """A whole sync; what it brought is to be seen when this returns. As the command, without a process."""
        with ControlClient(self.paths.socket) as client:
            result = client.sync(SyncRequest(), lambda progress: None)
        assert result.ok, result

    @property
    def paths(self) -> DrivePaths:
        (drive,) = load_drives(config_file(self.environ)).values()
        return drive_paths(drive.name, self.environ)

    @property
    def log(self) -> str:
        return self.paths.log.read_text("utf-8", "replace")

    @property
    def pid(self) -> int:
        holder = lock.holder(self.paths)
        assert holder is not None, "no daemon serves the drive"
        return holder.pid

    @property
    def is_mounted(self) -> bool:
        return mounted_at(str(self.mountpoint)) is not None

    def status(self) -> DriveStatus:
        """As `drivefs status --json` shows it, from the daemon without a process in between."""
        with ControlClient(self.paths.socket) as client:
            return client.status()

    def wait_for(self, condition: Callable[[DriveStatus], bool], seconds: float = WAIT_SECONDS) -> DriveStatus:
        """Poll the status until it is so. Fails with the last one when that does not come."""
        deadline = time.monotonic() + seconds
        while not condition(status := self.status()):
            assert time.monotonic() < deadline, f"did not come within {seconds} s: {status}"
            time.sleep(POLL_SECONDS)
        return status

    def listed(self) -> DriveStatus:
        """The status once the first sync is through."""
        return self.wait_for(lambda status: status.initial_sync.done and status.state == "idle")

    def rss(self) -> int:
        """Bytes of memory that the daemon has now."""
        fields = Path(f"/proc/{self.pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send the daemon a signal, and wait until it is gone."""
        with process_of(self.pid) as process:
            process(number)

    def kill_any(self) -> None:
        """SIGKILL for the daemon of a drive that may not be saved in the configuration yet."""
        (folder,) = (self.root / "state" / "drivefs").iterdir()
        holder = lock.holder(drive_paths(folder.name, self.environ))
        assert holder is not None, "no daemon serves the drive"
        with process_of(holder.pid) as process:
            process(signal.SIGKILL)

    def clean_up(self) -> None:
        """Nothing runs and nothing is mounted afterwards, however the test ended."""
        with contextlib.suppress(ValueError):
            if lock.holder(self.paths) is not None:
                self.kill(signal.SIGTERM)
        while self.is_mounted:
            subprocess.run(["fusermount3", "-uz", str(self.mountpoint)], check=True, capture_output=True)


def succeeded(ran: Ran) -> Ran:
    assert ran.returncode == 0, f"{ran.args} ended with {ran.returncode}: {ran.stdout}{ran.stderr}"
    return ran


@contextlib.contextmanager
def process_of(pid: int) -> Iterator[Callable[[signal.Signals], None]]:
    """Gives a function that signals the process; at the end it is waited for. Killed when it does not end."""
    descriptor = os.pidfd_open(pid)
    try:
        yield lambda number: signal.pidfd_send_signal(descriptor, number)
        if not ends_within(descriptor, WAIT_SECONDS):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            raise AssertionError(f"process {pid} did not end")
    finally:
        os.close(descriptor)


def ends_within(descriptor: int, seconds: float) -> bool:
    return bool(select.select([descriptor], [], [], seconds)[0])


def wait_until(condition: Callable[[], bool], what: str, seconds: float = WAIT_SECONDS) -> None:
    """Poll until `condition` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"did not come within {seconds} s: {what}"
        time.sleep(POLL_SECONDS)


@contextlib.contextmanager
def home(root: Path) -> Iterator[DriveHome]:
    """A home without a drive yet."""
    made = DriveHome(root)
    try:
        yield made
    finally:
        made.clean_up()


@contextlib.contextmanager
def drive(root: Path, url: str, *options: object, listed: bool = True, **variables: str) -> Iterator[DriveHome]:
    """A mounted drive; with `listed`, once its first sync is through."""
    with home(root) as made:
        made.mount("--remote", url, *options, **variables)
        if listed:
            made.listed()
        yield made


def drop_pages(descriptor: int) -> None:
    """Let the kernel forget the bytes of an open file, so that the next read asks the daemon."""
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def status_json(made: DriveHome) -> dict[str, object]:
    """What `drivefs status --json` prints of the only drive."""
    ran = made.run("status", "--json")
    (only,) = json.loads(ran.stdout)["drives"]
    assert isinstance(only, dict)
    return only
