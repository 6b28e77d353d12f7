"""A drive's password: where it is kept, and how it is found. It is never printed, logged or in the configuration.
A token (`auth = "bearer"`) is a password here.

Looked for in this order:
1. the variable DRIVEFS_PASSWORD;
2. the drive's `password_command`: split into words as a shell would, but run without one, so that no `$`, `;`
   or `|` means anything (write `sh -c '…'` for that). Its first line of output is the password. It has
   `COMMAND_SECONDS`; what it says on stderr is shown when it fails;
3. the keyring of the desktop, when there is a working one that answers within `KEYRING_SECONDS`;
4. the file `passwords/NAME` beside the configuration, refused when others can read it.

The keyring is asked in a process of its own: a backend may wait for a person who is not there (a locked
wallet, a dead session bus), and a thread that waits there could not be ended.
"""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from drivefs.config import DriveSettings
from drivefs.configfile import write_private
from drivefs.errors import Unauthorized, UsageError

VARIABLE = "DRIVEFS_PASSWORD"
COMMAND_SECONDS = 60
KEYRING_SECONDS = 10
_SERVICE = "drivefs"

_KEYRING_HELPER = """
import sys, keyring
from keyring.backends import fail, null
backend = keyring.get_keyring()
parts = getattr(backend, "backends", [backend])
if not parts or all(isinstance(part, (fail.Keyring, null.Keyring)) for part in parts):
    sys.exit(3)
verb, service, account = sys.argv[1:]
if verb == "get":
    secret = keyring.get_password(service, account)
    if secret is None:
        sys.exit(3)
    sys.stdout.buffer.write(secret.encode())
else:
    keyring.set_password(service, account, sys.stdin.buffer.read().decode())
    if keyring.get_password(service, account) is None:
        sys.exit(3)
"""


def resolve_password(settings: DriveSettings, config_file: Path, environ: Mapping[str, str] = os.environ) -> str | None:
    """The drive's password, None when there is none anywhere.

    Raises: Unauthorized when the password command fails; UsageError when the password file is not safe.
    """
    if environ.get(VARIABLE):
        return environ[VARIABLE]
    if settings.password_command:
        return _from_command(settings.password_command)
    stored = _from_keyring(settings, environ)
    return stored if stored is not None else _from_file(password_file(config_file, settings.name))


def store_password(
    settings: DriveSettings, password: str, config_file: Path, environ: Mapping[str, str] = os.environ
) -> str:
    """Keep a password for later mounts. Answers where, in words for a person."""
    file = password_file(config_file, settings.name)
    if _keyring("set", settings, environ, password) is not None:
        file.unlink(missing_ok=True)  # an older one must not come back when the keyring is away
        return "in the keyring"
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(file, password + "\n")
    return f"in {file}, readable by you only (there is no working keyring)"


def password_file(config_file: Path, name: str) -> Path:
    return config_file.parent / "passwords" / name


def _from_command(command: str) -> str:
    try:
        words = shlex.split(command)
        run = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise Unauthorized(f"password_command: no answer within {COMMAND_SECONDS} s; run it by hand") from None
    except (OSError, ValueError, IndexError) as problem:
        raise Unauthorized(f"password_command: cannot be run: {problem}") from problem
    if run.returncode != 0:
        said = " / ".join(run.stderr.decode("utf-8", "replace").split("\n")).strip(" /")
        raise Unauthorized(f"password_command: failed with exit code {run.returncode}: {said or 'it said nothing'}")
    lines = run.stdout.decode("utf-8", "surrogateescape").splitlines()
    if not lines or not lines[0]:
        raise Unauthorized("password_command: it gave no password; its first line of output must be the password")
    return lines[0]


def _from_keyring(settings: DriveSettings, environ: Mapping[str, str]) -> str | None:
    return _keyring("get", settings, environ) or None


def _keyring(verb: str, settings: DriveSettings, environ: Mapping[str, str], secret: str = "") -> str | None:
    """What the keyring's process said, None when there is no keyring, no entry, or no answer in time."""
    account = f"{settings.name} {settings.user or ''}@{settings.remote}"
    try:
        # -P: what lies in the current folder must not be imported.
        run = subprocess.run(
            [sys.executable, "-P", "-c", _KEYRING_HELPER, verb, _SERVICE, account],
            input=secret.encode(),
            capture_output=True,
            env=dict(environ),
            timeout=KEYRING_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return run.stdout.decode() if run.returncode == 0 else None


def _from_file(file: Path) -> str | None:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise UsageError(f"{file}: the password cannot be read: {problem.strerror}") from problem
    with open(descriptor, encoding="utf-8", errors="surrogateescape") as stream:
        status = os.fstat(descriptor)
        if stat.S_IMODE(status.st_mode) & 0o077 or status.st_uid != os.geteuid():
            raise UsageError(f"{file}: others can read this password; change it, then: chmod 600 {file}")
        return stream.readline().rstrip("\n") or None
