"""Help names every option of the contract, and is quick: nothing heavy is loaded before it is needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.cli.conftest import DRIVE, Home

DRIVE_OPTIONS = (
    *("--remote", "--direction", "--interval", "--content", "--cache-size", "--user", "--password-command"),
    *("--auth", "--ca-cert", "--client-cert", "--client-key", "--pin-cert", "--insecure-auth"),
    *("--read-only", "--ignore", "--limit-up", "--limit-down", "--allow-other"),
)
HEAVY = {"httpx", "rich", "keyring", "pyfuse3", "trio", "tomlkit", "hypercorn", "starlette", "sqlite3"}


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("mount", (*DRIVE_OPTIONS, "-f, --foreground", "DRIVEFS_PASSWORD")),
        ("setup", (*DRIVE_OPTIONS, "--no-input", "DRIVEFS_PASSWORD")),
        ("unmount", ("--timeout", "--no-wait")),
        ("status", ("--json", "--watch")),
        ("list", ("--json",)),
        ("sync", ("--no-wait", "--dry-run", "--accept-deletes")),
        ("serve", ("--port", "--host", "127.0.0.1", "--user", "--read-only")),
    ],
)
def test_help_names_each_option(home: Home, command: str, options: tuple[str, ...]) -> None:
    ran = home.run(command, "--help")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert [option for option in options if option not in ran.stdout] == []
    assert "ready-fd" not in ran.stdout


def test_help_lists_the_commands_and_how_to_complete_them(home: Home) -> None:
    text = home.run("--help").stdout
    for command in ("setup", "mount", "unmount", "status", "list", "sync", "serve"):
        assert f"\n  {command} " in text
    assert "_DRIVEFS_COMPLETE=bash_source" in text


def test_completion_works(home: Home) -> None:
    ran = home.run(_DRIVEFS_COMPLETE="bash_complete", COMP_WORDS="drivefs un", COMP_CWORD="1")
    assert "plain,unmount" in ran.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["mount", "--help"], ["list"], ["status"], ["unmount", "/nowhere"]])
def test_nothing_heavy_is_loaded_for_it(home: Home, arguments: list[str]) -> None:
    home.configure(DRIVE)
    script = (
        "import sys\nfrom drivefs.cli.main import run\nrun(sys.argv[1:])\n"
        f"print('LOADED', *sorted({HEAVY!r} & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, *arguments], env=home.environ, capture_output=True, text=True, check=True
    )
    assert ran.stdout.splitlines()[-1] == "LOADED"
