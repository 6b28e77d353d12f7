"""Every way to be wrong: one line on stderr that says what happened, to what, and what to do; and the exit code."""

from __future__ import annotations

import os
import re

import pytest

from tests.cli.conftest import DRIVE, Home

TWO_WAY = DRIVE + 'direction = "two-way"\n'
M = "MOUNTPOINT"
NEW = ("mount", M, "--remote", "https://host/")


@pytest.mark.parametrize(
    ("config", "arguments", "code", "line"),
    [
        # the command line itself
        ("", ("frobnicate",), 2, "No such command 'frobnicate' (see drivefs --help)"),
        ("", ("mount",), 2, "Missing argument 'MOUNTPOINT' (see drivefs mount --help)"),
        ("", ("mount", M, "--colour"), 2, "No such option:? '?--colour"),
        ("", (*NEW, "--direction", "up"), 2, "'up' is not one of 'remote-to-local', 'local-to-remote', 'two-way'"),
        ("", (*NEW, "--interval", "soon"), 2, '--interval: "soon" is not allowed; it must be a duration like 30s'),
        ("", (*NEW, "--cache-size", "big"), 2, '--cache-size: "big" is not allowed; it must be a size like 500M'),
        ("", (*NEW, "--limit-down", "0"), 2, "--limit-down: "),
        ("", (*NEW, "--ca-cert", "none.pem"), 2, r"--ca-cert: .*/none\.pem: no such file"),
        ("", (*NEW, "--client-key", "none.key"), 2, r"--client-key: .*/none\.key: no such file"),
        ("", (*NEW, "--auth", "ntlm"), 2, "'ntlm' is not one of 'auto', 'basic', 'digest', 'bearer'"),
        (
            "",
            (*NEW, "--pin-cert", "SHA256:12"),
            2,
            '--pin-cert: "SHA256:12" is not allowed; it must be SHA256: and the',
        ),
        ("", ("mount", M, "--remote", "https://u:secret@h/"), 2, "without a password: set DRIVEFS_PASSWORD"),
        ("", ("mount", M, "--remote", "ftp://h/"), 2, '--remote: "ftp://h/" is not allowed; it must be an address'),
        ("", ("unmount", M, "--timeout", "x"), 2, '--timeout: "x" is not allowed; it must be a duration'),
        ("", ("serve", ".", "--port", "99999"), 2, "99999 is not in the range"),
        ("", ("serve", "none"), 2, "none is not a folder"),
        # the configuration
        ("[drive", ("mount", M), 2, r"config\.toml: not valid TOML"),
        (DRIVE + "interval = 'x'\n", ("status",), 2, r'config\.toml: drive drive: interval: "x" is not allowed'),
        (DRIVE + "colour = 1\n", ("list",), 2, "there is no setting colour"),
        # which drive
        ("", ("mount", M), 2, "no drive is configured there; type: drivefs mount .*/Drive --remote https://HOST/PATH/"),
        ("", ("setup", M, "--no-input"), 2, "no drive is configured there"),
        ("", ("setup", M), 2, "asking is not available yet; type: drivefs setup .* --no-input --remote URL"),
        ("", ("unmount", M), 2, "no drive is configured or mounted there"),
        ("", ("sync", M), 2, "no drive is configured there; `drivefs list` shows all"),
        ("", ("status", M), 2, "is in no drive"),
        (DRIVE, ("unmount", M), 1, "/Drive: is not mounted"),
        (DRIVE, ("unmount", "/proc"), 2, r"what is mounted there is no drive \(proc\)"),
        (DRIVE, ("sync", M), 1, "is not mounted; type: drivefs mount .*/Drive"),
        (DRIVE, ("status", M + "/file"), 1, "is not mounted; type: drivefs mount .*/Drive"),
        (
            DRIVE,
            ("mount", M, "--remote", "https://other/"),
            2,
            "drive drive has the remote https://host/, which cannot be",
        ),
        (DRIVE, ("setup", M, "--no-input", "--remote", "https://other/"), 2, "use another folder for https://other/"),
        (
            DRIVE,
            ("mount", M, "--direction", "two-way"),
            2,
            "has the direction remote-to-local, which cannot be changed",
        ),
        # what this version cannot do
        (TWO_WAY, ("mount", M), 2, "this version of drivefs knows the direction remote-to-local only, not two-way"),
        ("", (*NEW, "--direction", "local-to-remote"), 2, "remote-to-local only, not local-to-remote"),
        ("", ("setup", M, "--no-input", "--remote", "demo:", "--direction", "two-way"), 2, "remote-to-local only"),
        # the mountpoint
        ("", ("mount", M + "/none", "--remote", "demo:"), 2, "no such folder; type: mkdir -p .*/Drive/none"),
        ("", ("mount", "FILE", "--remote", "demo:"), 2, "is not a folder; give an empty folder"),
        ("", ("mount", "FULL", "--remote", "demo:"), 2, "is not empty; give an empty folder"),
        ("", ("mount", "/proc", "--remote", "demo:"), 2, r"something else is mounted there \(proc\)"),
        # the password
        ("", (*NEW, "--user", "u"), 5, "no password for user u; set DRIVEFS_PASSWORD and type: drivefs setup"),
        ("", (*NEW, "--user", "u", "--password-command", "false"), 5, "password_command: failed with exit code 1"),
    ],
)
def test_an_error_is_one_line_and_its_exit_code(
    home: Home, config: str, arguments: tuple[str, ...], code: int, line: str
) -> None:
    if config:
        home.configure(config)
    (home.root / "file").touch()
    (home.root / "full").mkdir()
    (home.root / "full" / "x").touch()
    known = {"MOUNTPOINT": str(home.mountpoint), "FILE": str(home.root / "file"), "FULL": str(home.root / "full")}
    ran = home.run(*(re.sub("MOUNTPOINT|FILE|FULL", lambda word: known[word[0]], one) for one in arguments))
    assert ran.returncode == code, ran.stderr
    assert ran.stdout == ""
    (only,) = ran.stderr.splitlines()
    assert only.startswith("drivefs: ")
    assert line in only or re.search(line, only), only
    assert "secret" not in only


@pytest.mark.parametrize(
    ("stand_in", "code", "line"),
    [
        ("Unauthorized:wrong password for u", 5, "drivefs: https://host/: wrong password for u"),
        ("Unreachable:no such host: host", 4, "no such host: host"),
        ("NotAShare:not a WebDAV share", 2, "not a WebDAV share"),
        ("TlsError:unknown certificate", 4, "unknown certificate"),
        ("StoreError:disk is full", 1, "disk is full"),
        ("bug", 1, "unexpected error: RuntimeError: a bug; see .*/drivefs.log"),
        ("die", 1, "was killed by SIGKILL before the mount answered; its log .* ends with: about to die"),
    ],
)
def test_a_mount_that_fails_to_start_says_why(home: Home, stand_in: str, code: int, line: str) -> None:
    ran = home.run("mount", home.mountpoint, "--remote", "https://host/", STAND_IN=stand_in)
    assert ran.returncode == code
    (only,) = ran.stderr.splitlines()
    assert re.search(line, only), only
    assert home.holder() is None
    assert not home.config.exists(), "a drive that never mounted must not stand in the way of the next try"


def test_debug_shows_the_traceback(home: Home) -> None:
    ran = home.run("--debug", "mount", home.mountpoint)
    assert ran.stderr.startswith("Traceback")
    assert "drivefs: " in ran.stderr.splitlines()[-1]
    assert ran.returncode == 2


def test_a_second_mount_is_refused_and_told_the_pid(mounted: Home) -> None:
    holder = mounted.holder()
    assert holder is not None
    for arguments in (("mount",), ("mount", "--foreground"), ("setup", "--no-input")):
        ran = mounted.run(*arguments, mounted.mountpoint)
        assert ran.returncode == 2
        assert ran.stderr == f"drivefs: {mounted.mountpoint}: is already mounted, pid {holder.pid}\n"


@pytest.mark.parametrize(
    ("missing", "line"),
    [
        ("fusermount3", "fusermount3 is missing: type: sudo apt install fuse3"),
        ("/dev/fuse", "/dev/fuse/none is missing: type: sudo modprobe fuse"),
    ],
)
def test_without_fuse_it_says_what_to_install(home: Home, missing: str, line: str) -> None:
    if missing == "/dev/fuse":
        home.patch("import drivefs.cli.checks as c, pathlib; c.FUSE_DEVICE = pathlib.Path('/dev/fuse/none')")
    path = str(home.root) if missing == "fusermount3" else os.environ["PATH"]
    ran = home.run("mount", home.mountpoint, "--remote", "demo:", PATH=path)
    assert ran.returncode == 1
    assert ran.stderr.startswith(f"drivefs: {line}")
    assert len(ran.stderr.splitlines()) == 1


def test_a_folder_that_cannot_be_made_is_named(home: Home) -> None:
    ran = home.run("mount", home.mountpoint, "--remote", "demo:", XDG_STATE_HOME="/proc/none")
    assert ran.returncode == 1
    assert ran.stderr.startswith("drivefs: /proc/none")
    assert len(ran.stderr.splitlines()) == 1


def test_an_edited_remote_does_not_get_the_records_of_the_other(mounted: Home) -> None:
    mounted.run("unmount", mounted.mountpoint)
    mounted.configure(DRIVE.replace("https://host/", "https://other/"))
    ran = mounted.run("mount", mounted.mountpoint)
    assert ran.returncode == 2
    assert "drive drive was https://host/ remote-to-local before; undo the change in" in ran.stderr


def test_names_from_outside_cannot_steer_the_terminal(home: Home) -> None:
    ran = home.run("status", "no\x1b[31mthing")
    assert ran.stderr.startswith("drivefs: no\\x1b[31mthing")
