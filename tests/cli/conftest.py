"""The command as a process of its own, in a home of its own; daemons are real processes without a mount.

Unless a home is `real`, its `sitecustomize.py` puts `tests.cli.stand_in` in the place of `drivefs.mount.daemon`, in
every process that is started with its environment. What the stand-in does is told by the variable STAND_IN.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivefs.config import DrivePaths, config_file, drive_paths
from drivefs.control import lock

ROOT = Path(__file__).parents[2]

SITECUSTOMIZE = """
import importlib, importlib.abc, importlib.util, sys
class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "drivefs.mount.daemon":
            return importlib.util.spec_from_file_location(name, {stand_in!r})
sys.meta_path.insert(0, Finder())
"""


class Home:
    """XDG folders and an empty folder `mountpoint`; `run` is the command line. `real`: with the true daemon."""

    def __init__(self, root: Path, *, real: bool = False) -> None:
        self.root = Path(os.path.realpath(root))
        self.mountpoint = self.root / "Drive"
        self.mountpoint.mkdir()
        site = self.root / "site"
        site.mkdir()
        stand_in = str(Path(__file__).parent / "stand_in.py")
        (site / "sitecustomize.py").write_text("" if real else SITECUSTOMIZE.format(stand_in=stand_in))
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "DRIVEFS_P"))}
        self.environ = {
            **kept,
            "HOME": str(self.root),
            "PYTHONPATH": f"{site}:{ROOT}",
            "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
        }

    def run(self, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "drivefs", *map(str, arguments)],
            env={**self.environ, **variables},
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def patch(self, code: str) -> None:
        """Run this at the start of every process of this home."""
        with open(self.root / "site" / "sitecustomize.py", "a") as file:
            file.write(code + "\n")

    @property
    def config(self) -> Path:
        return config_file(self.environ)

    def configure(self, text: str) -> None:
        """Write the configuration; MOUNTPOINT stands for the mountpoint."""
        self.config.parent.mkdir(parents=True, exist_ok=True)
        self.config.write_text(text.replace("MOUNTPOINT", str(self.mountpoint)))

    def paths(self, name: str = "drive") -> DrivePaths:
        return drive_paths(name, self.environ)

    def holder(self, name: str = "drive") -> lock.Holder | None:
        return lock.holder(self.paths(name))


DRIVE = '[drive.drive]\nmountpoint = "MOUNTPOINT"\nremote = "https://host/"\n'
"""The configuration of one drive that is not mounted."""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def mounted(home: Home) -> Iterator[Home]:
    """With one drive whose daemon runs."""
    started = home.run("mount", home.mountpoint, "--remote", "https://host/")
    assert (started.returncode, started.stderr) == (0, "")
    yield home
    if home.holder():
        ended = home.run("unmount", home.mountpoint)
        assert ended.returncode == 0, ended.stderr
