"""The programs that are compared, each as: mount, unmount, forget what was cached.

Default settings, but where a comparison needs more: rclone with its full cache, davfs2 without locks and questions, and
with a cache that is large enough for the files. All they write is below a folder of their own.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path

from drivefs.mountpoint import mounted_at
from tests.support.drive import DriveHome, wait_until

READY_SECONDS = 60.0
LISTED_SECONDS = 600.0


class Peer(ABC):
    """One mount at a time. `close` ends everything, however far it came."""

    name: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mountpoint = folder / "Drive"
        self.forget()

    def forget(self) -> None:
        """Cold again. Only while nothing is mounted."""
        assert not self.is_mounted
        shutil.rmtree(self.folder, ignore_errors=True)
        self.mountpoint.mkdir(parents=True)

    @property
    def is_mounted(self) -> bool:
        return mounted_at(str(self.mountpoint)) is not None

    @abstractmethod
    def version(self) -> str: ...

    @abstractmethod
    def mount(self, url: str, ca_cert: Path | None) -> None:
        """Returns once the mount answers."""

    @abstractmethod
    def unmount(self) -> None:
        """Returns once the process is gone, too."""

    @abstractmethod
    def pid(self) -> int: ...

    def know_all(self) -> None:
        """Let it learn all names that it can keep."""
        subprocess.run(["find", self.mountpoint], check=True, capture_output=True)

    def processes(self) -> list[int]:
        """The mount's process and all that it started."""
        if not self.is_mounted:
            return []
        found = [self.pid()]
        for pid in found:
            with contextlib.suppress(OSError):
                found += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return found

    def close(self) -> None:
        if self.is_mounted:
            subprocess.run(["fusermount3", "-uz", self.mountpoint], check=False, capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)


class Drivefs(Peer):
    name = "drivefs"

    def forget(self) -> None:
        super().forget()
        self.home = DriveHome(self.folder)
        self.home.environ.pop("PYTHONWARNINGS")  # the tests' strictness; people do not run with it
        self.configured = False

    def version(self) -> str:
        """With the commit, and a plus sign if files of the package differ from it."""
        told = self.home.run("--version").stdout.strip().rpartition(" ")[2]
        commit, changed = (git("rev-parse", "--short", "HEAD"), git("status", "--porcelain", "--", "drivefs"))
        return f"{told} ({commit}{'+' if changed else ''})" if commit else told

    def mount(self, url: str, ca_cert: Path | None) -> None:
        remote = ["--remote", url, *(["--ca-cert", str(ca_cert)] if ca_cert else [])]
        self.home.mount(*([] if self.configured else remote))
        self.configured = True

    def unmount(self) -> None:
        self.home.unmount()

    def pid(self) -> int:
        return self.home.pid

    def know_all(self) -> None:
        self.home.wait_for(lambda status: status.initial_sync.done and status.state == "idle", LISTED_SECONDS)

    def close(self) -> None:
        with contextlib.suppress(AssertionError, OSError):
            self.home.clean_up()
        super().close()


class Rclone(Peer):
    name = "rclone"
    process: subprocess.Popen[bytes] | None = None

    def version(self) -> str:
        ran = subprocess.run(["rclone", "version"], check=True, capture_output=True, text=True)
        return ran.stdout.split()[1].lstrip("v")

    def mount(self, url: str, ca_cert: Path | None) -> None:
        command: list[object] = [
            "rclone",
            "mount",
            ":webdav:",
            self.mountpoint,
            "--webdav-url",
            url,
            "--vfs-cache-mode",
            "full",
        ]
        command += ["--cache-dir", self.folder / "cache", "--config", "/dev/null"]
        command += ["--ca-cert", ca_cert] if ca_cert else []
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", "--", *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_SECONDS
        while not self.is_mounted:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise OSError(f"rclone did not mount: {(self.folder / 'log').read_text()[-500:]}")
            time.sleep(0.002)

    def unmount(self) -> None:
        assert self.process is not None
        subprocess.run(["fusermount3", "-u", self.mountpoint], check=True, capture_output=True)
        self.process.wait(READY_SECONDS)

    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def close(self) -> None:
        if self.process is not None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
            self.process.kill()
            self.process.wait()
        super().close()


DAVFS_CONFIG = """use_locks 0
ask_auth 0
cache_dir {folder}/cache
cache_size 8192
secrets {folder}/secrets
"""


class Davfs(Peer):
    name = "davfs2"

    def version(self) -> str:
        ran = subprocess.run(["mount.davfs", "--version"], check=False, capture_output=True, text=True)
        return ran.stdout.split()[1]

    def mount(self, url: str, ca_cert: Path | None) -> None:
        cache, secrets, config = (self.folder / name for name in ("cache", "secrets", "config"))
        cache.mkdir(exist_ok=True)
        cache.chmod(0o777)  # it gives up root's rights
        trust = f"trust_ca_cert {ca_cert}\n" if ca_cert else ""
        for file, text in ((secrets, ""), (config, DAVFS_CONFIG.format(folder=self.folder) + trust)):
            file.write_text(text)
            file.chmod(0o600)
        command = ["mount.davfs", url, str(self.mountpoint), "-o", f"conf={config}"]
        ran = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if ran.returncode != 0 or not self.is_mounted:
            raise OSError(f"davfs2 did not mount: {ran.stderr.strip()}")

    def unmount(self) -> None:
        """Without its own umount helper, which looks for the end of the process every 3 seconds only."""
        pid = self.pid()
        subprocess.run(["umount", "-i", self.mountpoint], check=True, capture_output=True)
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), "davfs2 ends", READY_SECONDS)

    def pid(self) -> int:
        name = str(self.mountpoint).strip("/").replace("/", "-")
        return int(Path(f"/run/mount.davfs/{name}.pid").read_text())


def git(*arguments: str) -> str:
    """Its answer about this project; empty where there is no repository, or no git."""
    if shutil.which("git") is None:
        return ""
    ran = subprocess.run(
        ["git", *arguments],
        cwd=Path(__file__).parents[2],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    return ran.stdout.strip()


PEERS: tuple[type[Peer], ...] = (Drivefs, Rclone, Davfs)


def missing(name: str) -> str:
    """Why this peer cannot be run here; empty when it can."""
    if name == "rclone" and shutil.which("rclone") is None:
        return "rclone is not installed"
    if name == "davfs2" and shutil.which("mount.davfs") is None:
        return "davfs2 is not installed"
    if name == "davfs2" and os.geteuid() != 0:
        return "davfs2 mounts for root only, or by /etc/fstab"
    return ""
