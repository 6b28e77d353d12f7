"""Settings of a drive: what is allowed, and the one line for what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivefs import config
from drivefs.config import DriveSettings, settings_from_table, table_from_settings
from drivefs.direction import Direction
from drivefs.errors import UsageError

MINIMAL = {"mountpoint": "/home/u/Drive", "remote": "https://host/path"}


PIN = "SHA256:" + ":".join(["AB"] * 32)


def read(**extra: object) -> DriveSettings:
    return settings_from_table("drive", {**MINIMAL, **extra}, "/c/config.toml")


def test_defaults_are_careful() -> None:
    settings = read()
    assert settings.direction is Direction.REMOTE_TO_LOCAL
    assert (settings.interval, settings.content) == (60.0, "on-demand")
    assert (settings.cache_size, settings.min_free) == (10 * 2**30, 2**30)
    assert ".Trash-*" in settings.ignore
    assert (settings.indexers, settings.insecure_auth, settings.allow_other, settings.xattr) == (
        "deny",
        False,
        False,
        False,
    )


def test_every_setting_is_read() -> None:
    settings = read(
        direction="two-way",
        interval="5m",
        content="mirror",
        cache_size="500M",
        min_free=0,
        user="u",
        password_command="pass show x",
        auth="bearer",
        ca_cert="/ca.pem",
        client_cert="/me.pem",
        client_key="/me.key",
        pin_cert=PIN,
        read_only=True,
        ignore=["*.tmp"],
        limit_up="5M",
        limit_down=1000,
        allow_other=True,
        max_delete="20%",
        xattr=True,
        indexers="allow",
        insecure_auth=True,
    )
    assert settings == DriveSettings(
        name="drive",
        mountpoint="/home/u/Drive",
        remote="https://host/path/",
        direction=Direction.TWO_WAY,
        interval=300.0,
        content="mirror",
        cache_size=500 * 2**20,
        min_free=0,
        user="u",
        password_command="pass show x",
        auth="bearer",
        ca_cert="/ca.pem",
        client_cert="/me.pem",
        client_key="/me.key",
        pin_cert=PIN,
        read_only=True,
        ignore=("*.tmp",),
        limit_up=5 * 2**20,
        limit_down=1000,
        allow_other=True,
        max_delete="20%",
        xattr=True,
        indexers="allow",
        insecure_auth=True,
    )
    assert settings_from_table("drive", table_from_settings(settings), "x") == settings


def test_what_is_at_its_default_is_not_written() -> None:
    assert table_from_settings(read()) == {
        "mountpoint": "/home/u/Drive",
        "remote": "https://host/path/",
        "direction": "remote-to-local",
    }


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("mountpoint", "Drive", 'mountpoint: "Drive" is not allowed; it must be an absolute path'),
        ("remote", "ftp://h/", 'remote: "ftp://h/" is not allowed; it must be an address that starts with https://'),
        ("remote", "https:///x", "it must be an address that starts with https://"),
        ("remote", "https://h:port/", "it must be an address like https://host/path/"),
        ("remote", "https://h/?x=1", "it must be an address without ? and #"),
        ("remote", "https://u@h/", "it must be an address without a user name: give it with --user NAME"),
        ("remote", 7, "remote: 7 is not allowed; it must be a text"),
        ("direction", "both", "it must be remote-to-local, local-to-remote or two-way"),
        ("interval", "soon", 'interval: "soon" is not allowed; it must be a duration like 30s, 5m or 1h'),
        ("interval", "0s", "it must be a duration of at least 1s"),
        ("interval", float("nan"), "it must be a duration of at least 1s"),
        ("interval", True, "interval: true is not allowed; it must be a duration"),
        ("content", "all", 'content: "all" is not allowed; it must be on-demand or mirror'),
        ("cache_size", "10 apples", "it must be a size like 500M or 10G"),
        ("cache_size", 0, "cache_size: 0 is not allowed; it must be a size above 0"),
        ("min_free", -1, "it must be a size like 500M or 10G"),
        ("user", "", "it must be a text"),
        ("user", "a\nb", "it must be a text without control characters"),
        ("password_command", ["pass"], "it must be a text"),
        ("ca_cert", "ca.pem", "it must be an absolute path"),
        ("auth", "ntlm", 'auth: "ntlm" is not allowed; it must be auto, basic, digest or bearer'),
        ("client_cert", "me.pem", "it must be an absolute path"),
        ("client_key", "", "it must be an absolute path"),
        ("pin_cert", "AB:CD", "it must be SHA256: and the 64 hexadecimal digits of a certificate's fingerprint"),
        ("read_only", "yes", 'read_only: "yes" is not allowed; it must be true or false'),
        ("ignore", "*.tmp", "it must be a list of patterns as in .gitignore"),
        ("limit_up", "fast", "it must be a size like 500M or 10G"),
        ("limit_down", "0", "it must be a size above 0"),
        ("allow_other", 1, "it must be true or false"),
        ("max_delete", "half", "it must be a number like 100, or a share like 20%"),
        ("max_delete", "101%", "it must be a number like 100, or a share like 20%"),
        ("xattr", None, "it must be true or false"),
        ("indexers", "ask", "it must be deny or allow"),
        ("insecure_auth", 0, "it must be true or false"),
        ("colour", "red", "there is no setting colour; there are mountpoint, remote,"),
    ],
)
def test_a_wrong_value_gives_one_clear_line(key: str, value: object, line: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(**{key: value})
    text = str(caught.value)
    assert text.startswith("/c/config.toml: drive drive: ")
    assert line in text
    assert "\n" not in text.replace("a\nb", "")


@pytest.mark.parametrize("key", ["mountpoint", "remote"])
def test_what_is_needed_is_asked_for(key: str) -> None:
    table = {name: value for name, value in MINIMAL.items() if name != key}
    with pytest.raises(UsageError, match=f"drive drive: {key} is missing"):
        settings_from_table("drive", table, "f")


@pytest.mark.parametrize("name", ["", "..", "a/b", "-a", "x" * 65, "é"])
def test_a_name_that_would_leave_its_folder_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="a name has up to 64 letters"):
        settings_from_table(name, MINIMAL, "f")


@pytest.mark.parametrize("url", ["https://u:secret@host/", "dav://u:secret@host", "https://:secret@h/a@b"])
def test_a_password_in_an_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(remote=url)
    assert "DRIVEFS_PASSWORD" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://host", "https://host/"),
        ("davs://host/a", "https://host/a/"),
        ("dav://host:81/a/", "http://host:81/a/"),
        ("http://[::1]:80/", "http://[::1]:80/"),
        ("demo:", "demo:"),
    ],
)
def test_an_address_has_one_form(given: str, kept: str) -> None:
    assert config.parse_remote(given) == kept


@pytest.mark.parametrize("given", [PIN, PIN.lower(), "SHA256:" + "ab" * 32, " sha-256:" + "AB" * 32])
def test_a_fingerprint_has_one_form(given: str) -> None:
    assert config.parse_pin(given) == PIN


def test_who_has_a_password_to_find() -> None:
    assert not read().logs_in
    assert read(user="u").logs_in
    assert read(auth="bearer").logs_in


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("5m", 300), ("1h", 3600), ("1.5m", 90), ("7", 7), ("2d", 172800)]
)
def test_durations(text: str, seconds: float) -> None:
    assert config.parse_duration(text) == seconds
    assert config.parse_duration(config.format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "size"), [("500M", 500 * 2**20), ("10G", 10 * 2**30), ("1.5k", 1536), ("7", 7), ("1TiB", 2**40), ("0", 0)]
)
def test_sizes(text: str, size: int) -> None:
    assert config.parse_size(text) == size
    assert config.parse_size(config.format_size(size)) == size


def test_places_follow_the_xdg_variables(tmp_path: Path) -> None:
    environ = {f"XDG_{name}": f"/{name}" for name in ("CONFIG_HOME", "CACHE_HOME", "STATE_HOME", "RUNTIME_DIR")}
    paths = config.drive_paths("drive", environ)
    assert paths.config_file == Path("/CONFIG_HOME/drivefs/config.toml")
    assert paths.cache == Path("/CACHE_HOME/drivefs/drive")
    assert paths.state == Path("/STATE_HOME/drivefs/drive")
    assert paths.socket == Path("/RUNTIME_DIR/drivefs/drive.sock")
    assert paths.log.parent == paths.state


def test_without_a_runtime_folder_the_socket_is_with_the_state() -> None:
    paths = config.drive_paths("drive", {"HOME": "/home/u", "XDG_STATE_HOME": "not/absolute"})
    assert paths.state == Path("/home/u/.local/state/drivefs/drive")
    assert paths.socket == paths.state / "socket"


def test_a_runtime_folder_too_deep_for_a_socket_is_not_used() -> None:
    paths = config.drive_paths("drive", {"HOME": "/home/u", "XDG_RUNTIME_DIR": "/" + "r" * 100})
    assert paths.socket == paths.state / "socket"
    with pytest.raises(UsageError, match="set XDG_RUNTIME_DIR to a shorter folder"):
        config.drive_paths("drive", {"HOME": "/" + "h" * 100})


def test_folders_of_a_drive_are_for_its_owner_only(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path / "h")}
    config.drive_paths("d", environ).state.mkdir(parents=True, mode=0o755)
    paths = config.drive_paths("d", environ)
    paths.make()
    assert {folder.stat().st_mode & 0o777 for folder in (paths.state, paths.socket.parent)} == {0o700}
    assert paths.cache.is_dir()
