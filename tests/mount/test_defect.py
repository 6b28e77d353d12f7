"""A defect ends the daemon: the mountpoint stays behind broken, because an empty folder means "all deleted" to programs
that mirror it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROGRAM = """
import logging, sys
from pathlib import Path
from drivefs.config import DrivePaths, DriveSettings
from drivefs.model import Ref
from drivefs.mount import daemon
from drivefs.remote.memory import MemoryRemote

class Defective(MemoryRemote):
    async def stat(self, ref):
        raise RuntimeError("a defect, on purpose")

def remote(*args, **kwargs):
    made = Defective() if sys.argv[2] == "defective" else MemoryRemote()
    made.put("file", b"content")
    return made

logging.basicConfig(level=logging.INFO)
daemon.open_remote = remote
folder = Path(sys.argv[1])
paths = DrivePaths(folder / "cache", folder / "state", folder / "socket", folder / "log", folder / "config")
paths.make()
settings = DriveSettings("drive", str(folder / "Drive"), "http://127.0.0.1/")
sys.exit(daemon.run(settings, paths, None, ready=lambda state, message: print("ready", flush=True)))
"""


@pytest.fixture
def mountpoint(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "Drive"
    folder.mkdir()
    yield folder
    take_away(folder)


def take_away(mountpoint: Path) -> None:
    subprocess.run(["fusermount3", "-uz", str(mountpoint)], check=False, capture_output=True)


def start(tmp_path: Path, how: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), how]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_defect_leaves_the_mount_broken_and_a_traceback_in_the_log(tmp_path: Path, mountpoint: Path) -> None:
    process = start(tmp_path, "defective")
    try:
        said, log = process.communicate(timeout=30)
        assert said == "ready\n"
        assert process.returncode != 0
        assert "a defect, on purpose" in log
        with pytest.raises(OSError, match=os.strerror(errno.ENOTCONN)):
            os.listdir(mountpoint)
    finally:
        process.kill()
        take_away(mountpoint)
    assert os.listdir(mountpoint) == []


def test_an_orderly_end_leaves_an_empty_folder(tmp_path: Path, mountpoint: Path) -> None:
    process = start(tmp_path, "sound")
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        process.communicate(timeout=30)
        assert process.returncode == 0
        assert not os.path.ismount(mountpoint)
        assert os.listdir(mountpoint) == []
    finally:
        process.kill()
