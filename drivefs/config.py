"""The settings of a drive, checked once and frozen; and where a drive keeps its things.

A wrong value never gets past this file: every key has one reader in `_READERS`, which takes what TOML or the
command line gave and returns the checked value, or says in words what is allowed. `configfile` reads and
writes the file. Nothing here touches the disk, but for `DrivePaths.make`.

Invariants: a `DriveSettings` holds only checked values; it never holds a password.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

import msgspec

from drivefs.direction import Direction
from drivefs.errors import UsageError

DEMO = "demo:"
"""The remote of the embedded share with sample content, started and stopped with the mount."""

DEFAULT_IGNORE = (
    ".~lock.*#",
    "~$*",
    "*.sw?",
    "4913",
    ".Trash-*",
    ".directory",
    ".DS_Store",
    "._*",
    "Thumbs.db",
    "desktop.ini",
    ".fuse_hidden*",
    ".nfs*",
    "*.part",
    "*.crdownload",
)

_SOCKET_PATH_LIMIT = 107
"""sun_path has 108 bytes, the last one is NUL (unix(7))."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d)?", re.ASCII)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.ASCII | re.IGNORECASE)
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


class DriveSettings(msgspec.Struct, frozen=True):
    """One drive as configured. Durations are seconds, sizes bytes, limits bytes per second (None: no limit).

    `remote` is `http://…/`, `https://…/` or `demo:`; `mountpoint` is absolute. `max_delete` is "N" or "N%",
    None for the built-in guard against mass deletion.
    """

    name: str
    mountpoint: str
    remote: str
    direction: Direction = Direction.REMOTE_TO_LOCAL
    interval: float = 60.0
    content: Literal["on-demand", "mirror"] = "on-demand"
    cache_size: int = 10 * 2**30
    min_free: int = 2**30
    user: str | None = None
    password_command: str | None = None
    auth: Literal["auto", "basic", "digest", "bearer"] = "auto"
    ca_cert: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    pin_cert: str | None = None
    read_only: bool = False
    ignore: tuple[str, ...] = DEFAULT_IGNORE
    limit_up: int | None = None
    limit_down: int | None = None
    allow_other: bool = False
    max_delete: str | None = None
    xattr: bool = False
    indexers: Literal["deny", "allow"] = "deny"
    insecure_auth: bool = False

    @property
    def logs_in(self) -> bool:
        """Whether there is a password to find; a token (`auth = "bearer"`) needs no user name."""
        return self.user is not None or self.auth == "bearer"


class DrivePaths(msgspec.Struct, frozen=True):
    """Where one drive keeps its things. `state` and the socket's folder are for the owner only (0700)."""

    cache: Path
    state: Path
    socket: Path
    log: Path
    config_file: Path

    @property
    def lock(self) -> Path:
        """Held by the drive's daemon for as long as it lives."""
        return self.state / "lock"

    def make(self) -> None:
        """Make the folders, with the modes they must have."""
        for folder in (self.cache, self.state, self.socket.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self.state, self.socket.parent):
            folder.chmod(0o700)


def _base(environ: Mapping[str, str], variable: str, fallback: str) -> Path:
    """A base folder by the XDG Base Directory specification: a relative value must be ignored."""
    value = environ.get(variable, "")
    if value.startswith("/"):
        return Path(value)
    return Path(environ.get("HOME") or os.path.expanduser("~")) / fallback


def config_file(environ: Mapping[str, str] = os.environ) -> Path:
    return _base(environ, "XDG_CONFIG_HOME", ".config") / "drivefs" / "config.toml"


def drive_paths(name: str, environ: Mapping[str, str] = os.environ) -> DrivePaths:
    """The places of drive `name`.

    The socket is in the runtime folder where there is one and its path is short enough for a socket, else
    in the state folder. Raises: UsageError when both are too long.
    """
    state = _base(environ, "XDG_STATE_HOME", ".local/state") / "drivefs" / name
    candidates = [state / "socket"]
    if environ.get("XDG_RUNTIME_DIR", "").startswith("/"):
        candidates.insert(0, Path(environ["XDG_RUNTIME_DIR"]) / "drivefs" / f"{name}.sock")
    fitting = [path for path in candidates if len(os.fsencode(path)) <= _SOCKET_PATH_LIMIT]
    if not fitting:
        raise UsageError(
            f"{candidates[0]}: too long for the path of a socket ({_SOCKET_PATH_LIMIT} bytes); "
            "set XDG_RUNTIME_DIR to a shorter folder of yours"
        )
    return DrivePaths(
        cache=_base(environ, "XDG_CACHE_HOME", ".cache") / "drivefs" / name,
        state=state,
        socket=fitting[0],
        log=state / "drivefs.log",
        config_file=config_file(environ),
    )


def parse_duration(text: str) -> float:
    """Seconds in `30s`, `5m`, `1h`, `1d`, or a plain number of seconds. Raises: ValueError."""
    match = _DURATION.fullmatch(text.strip())
    if not match:
        raise ValueError("a duration like 30s, 5m or 1h")
    return float(match[1]) * _SECONDS[match[2] or ""]


def parse_size(text: str) -> int:
    """Bytes in `500M`, `10G` (1024-based), or a plain number of bytes. Raises: ValueError."""
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise ValueError("a size like 500M or 10G")
    return int(float(match[1]) * _BYTES[match[2].upper()])


def format_duration(seconds: float) -> str:
    """The shortest text that `parse_duration` reads back."""
    for unit in ("h", "m"):
        if seconds >= _SECONDS[unit] and seconds % _SECONDS[unit] == 0:
            return f"{int(seconds // _SECONDS[unit])}{unit}"
    return f"{seconds:g}s"


def format_size(size: int) -> str:
    """The shortest text that `parse_size` reads back to the same number."""
    for unit in ("T", "G", "M", "K"):
        if size >= _BYTES[unit] and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return str(size)


def parse_pin(text: str) -> str:
    """The SHA-256 fingerprint of a certificate in its one form, `SHA256:` and pairs of digits. Raises: ValueError."""
    kind, _, digits = text.strip().partition(":")
    pairs = digits.replace(":", "").upper()
    if kind.upper() not in ("SHA256", "SHA-256") or not re.fullmatch("[0-9A-F]{64}", pairs):
        raise ValueError("SHA256: and the 64 hexadecimal digits of a certificate's fingerprint")
    return "SHA256:" + bytes.fromhex(pairs).hex(":").upper()


def parse_remote(text: str) -> str:
    """The address of a remote in its one form: http(s) with a trailing slash, or `demo:`.

    Raises: ValueError saying what is allowed. A password in the address is refused, and not repeated.
    """
    if text == DEMO:
        return DEMO
    try:
        parts = urlsplit(text)
        scheme = {"dav": "http", "davs": "https"}.get(parts.scheme, parts.scheme)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("an address like https://host/path/") from None
    if scheme not in ("http", "https") or not host:
        raise ValueError("an address that starts with https://, http://, davs:// or dav://, or demo:")
    if parts.password is not None:
        raise ValueError("an address without a password: set DRIVEFS_PASSWORD and run `drivefs setup` to store it")
    if parts.username is not None:
        raise ValueError("an address without a user name: give it with --user NAME")
    if parts.query or parts.fragment:
        raise ValueError("an address without ? and #; write them as %3F and %23 where they belong to a name")
    path = parts.path if parts.path.endswith("/") else parts.path + "/"
    return urlunsplit((scheme, parts.netloc, path, "", ""))


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("a text")
    if any(ord(character) < 0x20 for character in value):
        raise ValueError("a text without control characters")
    return value


def _absolute(value: object) -> str:
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError("an absolute path")
    return value


def _remote(value: object) -> str:
    return parse_remote(_text(value))


def _pin(value: object) -> str:
    return parse_pin(_text(value))


def _duration(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("a duration like 30s, 5m or 1h")
    seconds = parse_duration(value) if isinstance(value, str) else float(value)
    if not 1 <= seconds <= 366 * 86400:
        raise ValueError("a duration of at least 1s, like 30s, 5m or 1h")
    return seconds


def _size(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("a size like 500M or 10G")
    return parse_size(str(value))


def _positive_size(value: object) -> int:
    size = _size(value)
    if size < 1:
        raise ValueError("a size above 0, like 500M or 10G")
    return size


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _max_delete(value: object) -> str:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not re.fullmatch(r"\d+|(\d{1,2}|100)%", text, re.ASCII):
        raise ValueError("a number like 100, or a share like 20%")
    return text


def _patterns(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) and item for item in value):
        raise ValueError("a list of patterns as in .gitignore")
    return tuple(value)


def _one_of(*allowed: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise ValueError(", ".join(allowed[:-1]) + " or " + allowed[-1])
        return value

    return read


_direction = _one_of(*Direction)

_READERS: dict[str, Callable[[object], Any]] = {
    "mountpoint": _absolute,
    "remote": _remote,
    "direction": lambda value: Direction(_direction(value)),
    "interval": _duration,
    "content": _one_of("on-demand", "mirror"),
    "cache_size": _positive_size,
    "min_free": _size,
    "user": _text,
    "password_command": _text,
    "auth": _one_of("auto", "basic", "digest", "bearer"),
    "ca_cert": _absolute,
    "client_cert": _absolute,
    "client_key": _absolute,
    "pin_cert": _pin,
    "read_only": _switch,
    "ignore": _patterns,
    "limit_up": _positive_size,
    "limit_down": _positive_size,
    "allow_other": _switch,
    "max_delete": _max_delete,
    "xattr": _switch,
    "indexers": _one_of("deny", "allow"),
    "insecure_auth": _switch,
}


def _shown(key: str, value: object) -> str:
    """A wrong value for an error line; of an address, nothing that could be a password."""
    if key == "remote" and isinstance(value, str) and "@" in value:
        return '"' + re.sub(r"//.*@", "//…@", value) + '"'
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def check_value(key: str, value: object, source: str) -> Any:
    """The checked value of one setting. `source` is where it came from, for the error: a file, or an option.

    Raises: UsageError naming source, value and what is allowed.
    """
    try:
        return _READERS[key](value)
    except ValueError as problem:
        raise UsageError(f"{source}: {_shown(key, value)} is not allowed; it must be {problem}") from None


def settings_from_table(name: str, table: Mapping[str, object], source: str) -> DriveSettings:
    """The settings in one `[drive.NAME]` table of the file `source`.

    Raises: UsageError naming the file, the drive, the key, the value and what is allowed.
    """
    where = f"{source}: drive {name}"
    if not _NAME.fullmatch(name):
        raise UsageError(f"{where}: a name has up to 64 letters, digits, dots, dashes and underscores")
    for key in table:
        if key not in _READERS:
            raise UsageError(f"{where}: there is no setting {key}; there are {', '.join(_READERS)}")
    for key in ("mountpoint", "remote"):
        if key not in table:
            raise UsageError(f"{where}: {key} is missing")
    checked = {key: check_value(key, value, f"{where}: {key}") for key, value in table.items()}
    return DriveSettings(name=name, **checked)


def table_from_settings(settings: DriveSettings) -> dict[str, object]:
    """What to write into the file: every setting that is not at its default, in words for people."""
    defaults = DriveSettings(name="", mountpoint="", remote="")
    table: dict[str, object] = {}
    for key in _READERS:
        value = getattr(settings, key)
        if value == getattr(defaults, key) and key != "direction":
            continue
        if key == "interval":
            value = format_duration(value)
        elif _READERS[key] in (_size, _positive_size):
            value = format_size(value)
        table[key] = list(value) if isinstance(value, tuple) else str(value) if key == "direction" else value
    return table
