"""Where passwords come from, and that they go nowhere else."""

from __future__ import annotations

import logging
import os
import stat
import sys
from pathlib import Path

import msgspec
import pytest

from drivefs import credentials
from drivefs.config import DriveSettings
from drivefs.credentials import password_file, resolve_password, store_password
from drivefs.errors import Unauthorized, UsageError

DRIVE = DriveSettings(name="drive", mountpoint="/m", remote="https://host/", user="u")

FAKE_KEYRING = """
import json, os, keyring.backend
class Keyring(keyring.backend.KeyringBackend):
    priority = 1
    file = os.environ["FAKE_KEYRING_FILE"]
    def get_password(self, service, account):
        return json.load(open(self.file)).get(account) if os.path.exists(self.file) else None
    def set_password(self, service, account, password):
        json.dump({account: password}, open(self.file, "w"))
    def delete_password(self, service, account): pass
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


@pytest.fixture
def no_keyring() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}


@pytest.fixture
def a_keyring(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "fakering.py").write_text(FAKE_KEYRING)
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(tmp_path),
        "PYTHON_KEYRING_BACKEND": "fakering.Keyring",
        "FAKE_KEYRING_FILE": str(tmp_path / "ring.json"),
    }


def with_command(command: str) -> DriveSettings:
    return msgspec.structs.replace(DRIVE, password_command=command)


def test_the_variable_comes_first(config: Path, no_keyring: dict[str, str]) -> None:
    environ = {**no_keyring, "DRIVEFS_PASSWORD": "from env"}
    assert resolve_password(with_command("echo other"), config, environ) == "from env"


def test_nothing_anywhere_is_none(config: Path, no_keyring: dict[str, str]) -> None:
    assert resolve_password(DRIVE, config, no_keyring) is None


def test_the_command_gives_its_first_line(config: Path) -> None:
    assert resolve_password(with_command("printf 'a b\\nnot this\\n'"), config, {}) == "a b"


def test_the_command_is_not_run_by_a_shell(config: Path, tmp_path: Path) -> None:
    command = f"echo $HOME;touch {tmp_path}/surprise"
    assert resolve_password(with_command(command), config, {}) == f"$HOME;touch {tmp_path}/surprise"
    assert not (tmp_path / "surprise").exists()


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("sh -c 'echo locked >&2; exit 3'", "failed with exit code 3: locked"),
        ("false", "failed with exit code 1: it said nothing"),
        ("true", "it gave no password"),
        ("/no/such/program", "cannot be run"),
        ("echo 'open", "cannot be run: No closing quotation"),
    ],
)
def test_a_command_that_fails_says_why(config: Path, command: str, line: str) -> None:
    with pytest.raises(Unauthorized) as caught:
        resolve_password(with_command(command), config, {})
    assert str(caught.value).startswith("password_command: ")
    assert line in str(caught.value)


def test_a_command_that_hangs_is_ended(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "COMMAND_SECONDS", 0.2)
    with pytest.raises(Unauthorized, match=r"no answer within 0\.2 s"):
        resolve_password(with_command("sleep 60"), config, {})


def test_without_a_keyring_a_private_file_keeps_it(config: Path, no_keyring: dict[str, str]) -> None:
    where = store_password(DRIVE, "s3cret", config, no_keyring)
    file = password_file(config, "drive")
    assert str(file) in where
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert resolve_password(DRIVE, config, no_keyring) == "s3cret"


def test_a_file_that_others_can_read_is_refused(config: Path, no_keyring: dict[str, str]) -> None:
    store_password(DRIVE, "s3cret", config, no_keyring)
    password_file(config, "drive").chmod(0o640)
    with pytest.raises(UsageError, match="others can read this password") as caught:
        resolve_password(DRIVE, config, no_keyring)
    assert "s3cret" not in str(caught.value)


def test_a_link_is_not_followed(config: Path, no_keyring: dict[str, str]) -> None:
    file = password_file(config, "drive")
    file.parent.mkdir()
    file.symlink_to("/etc/hostname")
    with pytest.raises(UsageError, match="cannot be read"):
        resolve_password(DRIVE, config, no_keyring)


def test_a_keyring_is_used_and_replaces_the_file(
    config: Path, no_keyring: dict[str, str], a_keyring: dict[str, str]
) -> None:
    store_password(DRIVE, "old", config, no_keyring)
    assert store_password(DRIVE, "nëw", config, a_keyring) == "in the keyring"
    assert not password_file(config, "drive").exists()
    assert resolve_password(DRIVE, config, a_keyring) == "nëw"


def test_a_password_belongs_to_one_user_at_one_address(config: Path, a_keyring: dict[str, str]) -> None:
    store_password(DRIVE, "s3cret", config, a_keyring)
    moved = msgspec.structs.replace(DRIVE, remote="https://elsewhere/")
    assert resolve_password(moved, config, a_keyring) is None


def test_a_keyring_that_hangs_is_not_waited_for(
    config: Path, tmp_path: Path, a_keyring: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fakering.py").write_text("import time; time.sleep(60)")
    monkeypatch.setattr(credentials, "KEYRING_SECONDS", 0.3)
    assert resolve_password(DRIVE, config, a_keyring) is None


def test_a_password_is_never_logged_nor_on_a_command_line(
    config: Path, a_keyring: dict[str, str], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """The keyring's process gets it through a pipe: the fake one writes down how it was called."""
    fake = (tmp_path / "fakering.py").read_text()
    (tmp_path / "fakering.py").write_text(
        fake + f"\nimport sys; open({str(tmp_path / 'argv')!r}, 'w').write(str(sys.argv))"
    )
    with caplog.at_level(logging.DEBUG):
        store_password(DRIVE, "s3cret", config, a_keyring)
    assert "drive u@https://host/" in (tmp_path / "argv").read_text()
    assert "s3cret" not in (tmp_path / "argv").read_text() + caplog.text
    assert sys.executable
