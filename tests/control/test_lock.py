"""One daemon per drive."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from drivefs.config import DrivePaths, drive_paths
from drivefs.control import lock

HOLD = """
import sys
from drivefs.config import drive_paths
from drivefs.control import lock
with lock.held(drive_paths("drive", {"HOME": sys.argv[1]}), "/m"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def paths(tmp_path: Path) -> DrivePaths:
    made = drive_paths("drive", {"HOME": str(tmp_path)})
    made.make()
    return made


def test_who_holds_the_lock_is_known_while_it_is_held(paths: DrivePaths) -> None:
    assert lock.holder(paths) is None
    with lock.held(paths, "/m"):
        assert lock.holder(paths) == lock.Holder(os.getpid(), str(paths.socket))
    assert lock.holder(paths) is None


def test_a_second_daemon_is_refused_and_told_the_pid_of_the_first(paths: DrivePaths) -> None:
    with lock.held(paths, "/m"):
        with (
            pytest.raises(lock.AlreadyMounted, match=f"/m: is already mounted, pid {os.getpid()}"),
            lock.held(paths, "/m"),
        ):
            pass
        assert lock.holder(paths) is not None


def test_a_killed_daemon_holds_nothing(paths: DrivePaths, tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        found = lock.holder(paths)
        assert found is not None
        assert found.pid == process.pid
        process.kill()
    assert lock.holder(paths) is None
    with lock.held(paths, "/m"):
        pass


def test_looking_does_not_keep_a_daemon_from_starting(paths: DrivePaths) -> None:
    """The look takes a shared lock for a moment; a daemon that meets it tries again."""
    with lock.held(paths, "/m"):
        pass
    looker = os.open(paths.lock, os.O_RDONLY)
    fcntl.flock(looker, fcntl.LOCK_SH)
    release = threading.Timer(0.1, os.close, [looker])
    release.start()
    with lock.held(paths, "/m"):
        assert lock.holder(paths) is not None
    release.join()
