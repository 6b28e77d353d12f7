"""Paths around mountpoints, resolved without touching them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from drivefs import mountpoint as mounts


def test_all_but_the_last_part_is_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real" / "m").symlink_to("/nowhere")
    real = os.path.realpath(tmp_path)
    assert mounts.normalise(tmp_path / "link" / "m") == f"{real}/real/m"
    assert mounts.normalise(f"{tmp_path}/link/../link//m/") == f"{real}/real/m"
    monkeypatch.chdir(tmp_path)
    assert mounts.normalise("new") == f"{real}/new"
    assert mounts.normalise("/") == "/"


def test_the_mountpoint_itself_is_never_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stat of a mount whose daemon hangs would hang as well."""
    mountpoint = f"{os.path.realpath(tmp_path)}/m"
    touched = []
    lstat = os.lstat

    def watched(path: str) -> os.stat_result:
        touched.append(os.fspath(path))
        return lstat(path)

    monkeypatch.setattr(os, "lstat", watched)
    assert mounts.split_at_mountpoint(f"{mountpoint}/a/b", [mountpoint]) == (mountpoint, "a/b")
    assert mounts.normalise(mountpoint) == mountpoint
    assert touched
    assert not [path for path in touched if path.startswith(mountpoint)]


def test_a_path_is_split_at_its_mountpoint(tmp_path: Path) -> None:
    base = os.path.realpath(tmp_path)
    known = [f"{base}/m", f"{base}/m2"]
    assert mounts.split_at_mountpoint(f"{base}/m", known) == (f"{base}/m", "")
    assert mounts.split_at_mountpoint(f"{base}/m2/x", known) == (f"{base}/m2", "x")
    assert mounts.split_at_mountpoint(f"{base}/m3", known) is None
    assert mounts.split_at_mountpoint("/", known) is None


def test_the_table_of_the_kernel_is_read() -> None:
    text = (
        "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw\n"
        "36 22 0:40 / /home/u/My\\040Drive rw,nosuid shared:5 master:1 - fuse.drivefs drivefs rw,user_id=0\n"
    )
    assert mounts.parse_mountinfo(text) == [
        mounts.Mount("/", "ext4", "/dev/root"),
        mounts.Mount("/home/u/My Drive", "fuse.drivefs", "drivefs"),
    ]
    assert [mount.is_fuse for mount in mounts.parse_mountinfo(text)] == [False, True]


def test_what_is_mounted_is_known(tmp_path: Path) -> None:
    proc = mounts.mounted_at("/proc")
    assert proc is not None
    assert proc.kind == "proc"
    assert mounts.mounted_at(str(tmp_path)) is None
    assert not mounts.is_dead(str(tmp_path))
