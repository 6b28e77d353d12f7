"""The configuration file: read, written, and what survives that."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from drivefs.config import DriveSettings
from drivefs.configfile import find_drive, free_name, load_drives, save_drive
from drivefs.errors import UsageError

DRIVE = DriveSettings(name="drive", mountpoint="/home/u/Drive", remote="https://host/", interval=30.0)

COMMENTED = """\
# my drives
[drive.drive]  # at work
remote = "https://host/"  # the old server
mountpoint = "/home/u/Drive"
read_only = true

# the other one
[drive.other]
mountpoint = "/home/u/Other"
remote = "demo:"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "drivefs" / "config.toml"


def write(file: Path, text: str) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)


def test_no_file_is_no_drives(file: Path) -> None:
    assert load_drives(file) == {}


def test_what_is_saved_is_read_again(file: Path) -> None:
    other = msgspec.structs.replace(DRIVE, name="drive-2", mountpoint="/m", ignore=("a", "b"), limit_up=3)
    save_drive(file, DRIVE)
    save_drive(file, other)
    assert load_drives(file) == {"drive": DRIVE, "drive-2": other}


def test_the_file_is_for_its_owner_only(file: Path) -> None:
    write(file, "")
    file.chmod(0o644)
    save_drive(file, DRIVE)
    assert file.stat().st_mode & 0o777 == 0o600
    assert sorted(os.listdir(file.parent)) == ["config.lock", "config.toml"]


def test_saving_keeps_comments_and_order(file: Path) -> None:
    write(file, COMMENTED)
    save_drive(file, DRIVE)
    text = file.read_text()
    for comment in ("# my drives", "# at work", "# the old server", "# the other one"):
        assert comment in text
    assert text.index("[drive.drive]") < text.index("[drive.other]")
    assert load_drives(file)["drive"] == DRIVE
    assert "read_only" not in text


def test_a_save_that_fails_leaves_the_old_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(file, COMMENTED)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_drive(file, DRIVE)
    assert file.read_text() == COMMENTED
    assert sorted(os.listdir(file.parent)) == ["config.lock", "config.toml"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[drive.x\n", "not valid TOML"),
        ("colour = 1\n", "there is no setting colour; drives are tables named [drive.NAME]"),
        ("drive = 1\n", "drive must hold tables named [drive.NAME]"),
        ("[drive]\nmountpoint = '/m'\n", "drive must hold tables named [drive.NAME]"),
        ("[drive.x]\nmountpoint = '/m'\nremote = 'demo:'\nxattr = 3\n", "drive x: xattr: 3 is not allowed"),
        (
            "[drive.x]\nmountpoint='/m'\nremote='demo:'\n[drive.y]\nmountpoint='/m'\nremote='demo:'\n",
            "drive y: mountpoint /m belongs to drive x",
        ),
    ],
)
def test_a_wrong_file_gives_one_line_that_names_it(file: Path, text: str, line: str) -> None:
    write(file, text)
    with pytest.raises(UsageError) as caught:
        load_drives(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert line in str(caught.value)


def test_a_file_that_is_no_text_is_refused(file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="cannot be read"):
        load_drives(file)


def test_a_mountpoint_is_known_however_it_was_written(file: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    write(file, f"[drive.d]\nmountpoint = '{tmp_path}/link//m/'\nremote = 'demo:'\n")
    assert load_drives(file)["d"].mountpoint == f"{os.path.realpath(tmp_path)}/real/m"


def test_drives_are_found_by_mountpoint() -> None:
    assert find_drive({"drive": DRIVE}, "/home/u/Drive") is DRIVE
    assert find_drive({"drive": DRIVE}, "/home/u") is None


@pytest.mark.parametrize(
    ("mountpoint", "name"),
    [("/home/u/Work", "work"), ("/m/Drive", "drive-3"), ("/m/Meine Datei", "meine-datei"), ("/m/資料", "drive-3")],
)
def test_names_come_from_the_mountpoint(mountpoint: str, name: str) -> None:
    assert free_name({"drive": DRIVE}, mountpoint, lambda name: name != "drive-2") == name
