"""The commands, against daemons that answer the control socket but have no mount."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from drivefs.control.messages import DriveStatus, StatusReport, decode
from tests.cli.conftest import DRIVE, Home


def seen(home: Home, name: str = "drive") -> dict[str, object]:
    loaded: dict[str, object] = json.loads((home.paths(name).state / "seen").read_text())
    return loaded


def statuses(text: str) -> tuple[DriveStatus, ...]:
    return decode(text, StatusReport).drives


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_mount_saves_a_new_drive_and_needs_nothing_more_the_next_time(home: Home) -> None:
    options = ("--remote", "dav://host/x", "--interval", "30s", "--ignore", "*.tmp", "--user", "u")
    first = home.run("mount", home.mountpoint, *options, DRIVEFS_PASSWORD="s3cret")
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout.startswith(f"{home.mountpoint}: mounted, remote-to-local, http://host/x/\n")
    before = seen(home)
    assert home.run("unmount", home.mountpoint).returncode == 0
    assert home.run("mount", home.mountpoint).returncode == 0
    assert seen(home) == before
    assert before["credentials"] == "u"
    assert home.run("unmount", home.mountpoint).stdout == f"{home.mountpoint}: unmounted\n"
    assert home.holder() is None
    written = home.config.read_text() + home.paths().log.read_text() + first.stdout
    assert "s3cret" not in written


def test_options_on_a_configured_drive_are_for_one_mount(mounted: Home) -> None:
    mounted.run("unmount", mounted.mountpoint)
    before = mounted.config.read_text()
    assert mounted.run("mount", mounted.mountpoint, "--interval", "5s", "--read-only").returncode == 0
    settings = seen(mounted)["settings"]
    assert isinstance(settings, dict)
    assert (settings["interval"], settings["read_only"]) == (5.0, True)
    assert mounted.config.read_text() == before


def test_a_mount_without_the_network_succeeds_and_says_so(home: Home) -> None:
    home.configure(DRIVE)
    ran = home.run("mount", home.mountpoint, STAND_IN="offline:host cannot be reached")
    assert ran.returncode == 0
    assert ran.stderr == "drivefs: offline: host cannot be reached\n"
    assert home.run("status").returncode == 4
    assert home.run("unmount", home.mountpoint).returncode == 0


def test_the_daemon_leaves_the_shell_and_its_folder(mounted: Home) -> None:
    holder = mounted.holder()
    assert holder is not None
    assert os.getsid(holder.pid) == holder.pid
    assert os.readlink(f"/proc/{holder.pid}/fd/0") == "/dev/null"
    assert os.readlink(f"/proc/{holder.pid}/fd/2") == str(mounted.paths().log)
    assert os.readlink(f"/proc/{holder.pid}/cwd") == "/"


def test_a_password_that_is_not_used_is_pointed_out(home: Home) -> None:
    ran = home.run("mount", home.mountpoint, "--remote", "demo:", DRIVEFS_PASSWORD="s3cret")
    assert ran.returncode == 0
    assert ran.stderr == "drivefs: DRIVEFS_PASSWORD is not used: the drive has no user; add --user NAME\n"
    assert home.run("unmount", home.mountpoint).returncode == 0


def test_foreground_serves_until_it_is_unmounted(home: Home) -> None:
    command = [sys.executable, "-m", "drivefs", "mount", "-f", str(home.mountpoint)]
    command += ["--remote", "https://host/", "--user", "u"]
    environ = {**home.environ, "DRIVEFS_PASSWORD": "s3cret"}
    with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == f"{home.mountpoint}: mounted\n"
        assert any("password of u stored in" in line for line in iter(process.stderr.readline, ""))
        assert home.run("unmount", home.mountpoint).returncode == 0
        assert process.wait(10) == 0
    assert (home.config.parent / "passwords" / "drive").read_text() == "s3cret\n"


def test_a_drive_that_was_forgotten_comes_back_under_its_name_for_the_same_remote_only(mounted: Home) -> None:
    mounted.run("unmount", mounted.mountpoint)
    for remote, name in (("https://other/", "drive-2"), ("https://host/", "drive")):
        mounted.config.unlink()
        assert mounted.run("mount", mounted.mountpoint, "--remote", remote).returncode == 0
        assert [drive["name"] for drive in json.loads(mounted.run("list", "--json").stdout)["drives"]] == [name]
        assert mounted.run("unmount", mounted.mountpoint).returncode == 0


def test_unmount_ends_a_drive_that_still_starts(home: Home) -> None:
    home.configure(DRIVE)
    command = [sys.executable, "-m", "drivefs", "mount", str(home.mountpoint)]
    environ = {**home.environ, "STAND_IN_LATE": "60"}
    with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) as mount:
        wait_for(home.holder)
        assert home.run("unmount", home.mountpoint).returncode == 0
        assert mount.stderr is not None
        assert "was killed by SIGTERM before the mount answered" in mount.stderr.read()
    assert mount.returncode == 1


def test_ctrl_c_ends_a_drive_that_still_starts(home: Home) -> None:
    home.configure(DRIVE)
    command = [sys.executable, "-m", "drivefs", "mount", str(home.mountpoint)]
    environ = {**home.environ, "STAND_IN_LATE": "60"}
    with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) as mount:
        wait_for(home.holder)
        mount.send_signal(signal.SIGINT)
        assert mount.stderr is not None
        assert mount.stderr.read().strip() == "drivefs: interrupted"
    wait_for(lambda: not home.holder())


def test_unmount_can_be_ordered_only(mounted: Home) -> None:
    ran = mounted.run("unmount", mounted.mountpoint, "--no-wait")
    assert (ran.returncode, ran.stdout) == (0, "")
    wait_for(lambda: not mounted.holder())


def test_unmount_gives_up_waiting_when_told_so_and_goes_on(home: Home) -> None:
    home.configure(DRIVE)
    home.run("mount", home.mountpoint, STAND_IN_SLOW="3")
    ran = home.run("unmount", home.mountpoint, "--timeout", "1s")
    assert ran.returncode == 1
    assert ran.stderr == f"drivefs: {home.mountpoint}: still busy after 1 s; the unmount goes on in the background\n"
    assert home.run("unmount", home.mountpoint).returncode == 0


def test_status_shows_all_drives_mounted_or_not(mounted: Home) -> None:
    mounted.configure(DRIVE + '[drive.other]\nmountpoint = "/nowhere"\nremote = "demo:"\n')
    ran = mounted.run("status", "--json")
    assert ran.returncode == 0
    other, running = statuses(ran.stdout)
    holder = mounted.holder()
    assert holder is not None
    assert (running.mountpoint, running.state, running.pid) == (str(mounted.mountpoint), "idle", holder.pid)
    assert (other.name, other.state, other.mounted, other.pid) == ("other", "unmounted", False, None)
    (only,) = statuses(mounted.run("status", "/nowhere", "--json").stdout)
    assert only.name == "other"


def test_status_for_people_is_plain_where_nobody_looks(mounted: Home) -> None:
    ran = mounted.run("status", mounted.mountpoint)
    assert ran.returncode == 0
    for text in ("state:      idle", "https://host/ (Apache/2.4)", "5: 2 hydrated, 3 placeholder", "every 1 min"):
        assert text in ran.stdout
    assert "\x1b" not in ran.stdout
    assert "│" not in ran.stdout


def test_status_of_one_file(mounted: Home) -> None:
    ran = mounted.run("status", f"{mounted.mountpoint}/a/b", "--json")
    assert ran.returncode == 0
    entry = json.loads(ran.stdout)
    assert entry == {
        "path": "a/b",
        "state": "hydrated",
        "pinned": False,
        "size": 3,
        "cached": 3,
        "version": "e1",
        "reason": "",
    }
    missing = mounted.run("status", f"{mounted.mountpoint}/missing")
    assert (missing.returncode, missing.stderr) == (1, "drivefs: missing: no such entry\n")


def test_status_asks_for_help_with_its_exit_code(home: Home) -> None:
    home.configure(DRIVE)
    home.run("mount", home.mountpoint, STAND_IN="attention:3 deletes are held")
    ran = home.run("status")
    assert ran.returncode == 3
    assert "attention – 3 deletes are held" in ran.stdout
    held = home.run("sync", home.mountpoint)
    assert (held.returncode, held.stderr) == (3, "drivefs: 1 delete is held\n")
    dry = home.run("sync", home.mountpoint, "--dry-run")
    assert dry.returncode == 3
    assert "\x1b" not in dry.stdout
    assert home.run("unmount", home.mountpoint).returncode == 0


@pytest.mark.slow
def test_a_daemon_that_hangs_is_told_in_bounded_time(mounted: Home) -> None:
    holder = mounted.holder()
    assert holder is not None
    os.kill(holder.pid, signal.SIGSTOP)
    try:
        ran = mounted.run("status", "--json")
    finally:
        os.kill(holder.pid, signal.SIGCONT)
    assert ran.returncode == 3
    (status,) = statuses(ran.stdout)
    assert (status.state, status.message) == ("attention", "the daemon did not answer within 10 s")


def test_a_killed_daemon_does_not_keep_its_drive(mounted: Home) -> None:
    holder = mounted.holder()
    assert holder is not None
    os.kill(holder.pid, signal.SIGKILL)
    ran = mounted.run("mount", mounted.mountpoint)
    assert ran.returncode == 0, ran.stderr
    assert mounted.holder() != holder


def test_sync_says_what_was_done(mounted: Home) -> None:
    ran = mounted.run("sync", mounted.mountpoint)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "done\n", "")
    dry = mounted.run("sync", mounted.mountpoint, "--dry-run")
    assert dry.stdout == "pull a (3 B): new\ndone\n"
    as_json = json.loads(mounted.run("sync", mounted.mountpoint, "--dry-run", "--json").stdout)
    assert as_json == {"actions": [{"action": "pull", "path": "a", "bytes": 3, "why": "new"}], "totals": {"pull": 1}}


def test_list_shows_what_is_configured(mounted: Home) -> None:
    mounted.configure(DRIVE + '[drive.other]\nmountpoint = "/nowhere"\nremote = "demo:"\n')
    listed = json.loads(mounted.run("list", "--json").stdout)["drives"]
    assert {drive["name"]: drive["mounted"] for drive in listed} == {"other": False, "drive": True}
    lines = mounted.run("list").stdout.splitlines()
    assert f"{mounted.mountpoint}\tmounted\tremote-to-local\thttps://host/\tdrive" in lines


@pytest.mark.parametrize("command", ["status", "list"])
def test_no_drives_is_no_error(home: Home, command: str) -> None:
    ran = home.run(command)
    assert ran.returncode == 0
    assert ran.stdout == "No drive is configured. Add one: drivefs mount FOLDER --remote URL\n"
    assert json.loads(home.run(command, "--json").stdout) == {"drives": []}


def test_setup_writes_what_it_was_given_and_says_where(home: Home) -> None:
    options = ("--no-input", "--remote", "https://host", "--user", "u", "--cache-size", "1G", "--content", "mirror")
    ran = home.run("setup", home.mountpoint, *options, DRIVEFS_PASSWORD="s3cret")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert f"Saved in {home.config}" in ran.stdout
    password = home.config.parent / "passwords" / "drive"
    assert f"Password of u stored in {password}, readable by you only" in ran.stdout
    assert password.read_text() == "s3cret\n"
    assert "s3cret" not in ran.stdout + home.config.read_text()
    assert home.run("setup", home.mountpoint, "--no-input", "--interval", "5m").returncode == 0
    text = home.config.read_text()
    for line in (
        'cache_size = "1G"',
        'content = "mirror"',
        'interval = "5m"',
        'remote = "https://host/"',
        'user = "u"',
    ):
        assert line in text


def test_setup_takes_a_token_without_a_user(home: Home) -> None:
    options = ("--no-input", "--remote", "https://host", "--auth", "bearer")
    ran = home.run("setup", home.mountpoint, *options, DRIVEFS_PASSWORD="t0ken")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "Token stored in " in ran.stdout
    assert (home.config.parent / "passwords" / "drive").read_text() == "t0ken\n"
    assert 'auth = "bearer"' in home.config.read_text()
    assert "t0ken" not in ran.stdout + home.config.read_text()


def test_watch_prints_one_report_a_line(mounted: Home) -> None:
    command = [sys.executable, "-u", "-m", "drivefs", "status", "--watch", "--json"]
    with subprocess.Popen(command, env=mounted.environ, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in (process.stdout.readline(), process.stdout.readline()):
            assert statuses(line)[0].name == "drive"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
