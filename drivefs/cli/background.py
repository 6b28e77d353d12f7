"""`mount` without --foreground: a process of its own serves the drive; this one waits until the mount answers.

The two talk over a pipe: the child writes one `Report` when the mount answers, or when it cannot be, and closes it.
A pipe that ends without a word means that the child died.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time

import msgspec

from drivefs.cli.launch import Launch
from drivefs.cli.options import Given, as_arguments
from drivefs.config import DrivePaths
from drivefs.control.messages import decode, encode
from drivefs.errors import DriveError

START_SECONDS = 180
"""Far beyond every bound that the daemon keeps when it starts: only a hang is caught by this."""


class Report(msgspec.Struct, frozen=True):
    """How the start of a mount ended. `error` is "" when the mount answers."""

    state: str = ""
    message: str = ""
    error: str = ""
    exit_code: int = 0


def send_report(descriptor: int, report: Report) -> None:
    """The child's half; a parent that was killed meanwhile is no reason to fail."""
    try:
        os.write(descriptor, encode(report).encode() + b"\n")
    except BrokenPipeError:
        pass
    finally:
        os.close(descriptor)


def start(launch: Launch, given: Given, debug: bool) -> Report:
    """Start the drive's process and wait for its report. Raises: DriveError when it hangs."""
    receiver, sender = os.pipe()
    with open(receiver, "rb") as pipe:
        try:
            child = _spawn(launch, given, sender, debug)
        finally:
            os.close(sender)
        try:
            line = _wait(pipe.fileno())
        except BaseException:
            child.send_signal(signal.SIGTERM)
            raise
    report = decode(line, Report) if line else None
    if report and not report.error:
        return report
    code = child.wait()  # it lets go of the drive before another try
    return report or Report(error=_obituary(code, launch.paths), exit_code=1)


def _spawn(launch: Launch, given: Given, sender: int, debug: bool) -> subprocess.Popen[bytes]:
    arguments = [*(["--debug"] if debug else []), "mount", "--foreground", f"--ready-fd={sender}", *as_arguments(given)]
    log = os.open(launch.paths.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        # -P: what lies in the current folder must not be imported.
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "drivefs", *arguments, "--", launch.settings.mountpoint],
            cwd="/",  # the folder where it was typed must stay free to be unmounted
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(sender,),
            start_new_session=True,
        )
    finally:
        os.close(log)


def _wait(pipe: int) -> bytes:
    """The child's line, b"" when it ended without one."""
    deadline = time.monotonic() + START_SECONDS
    received = b""
    while not received.endswith(b"\n"):
        if not select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise DriveError(f"the mount did not answer within {START_SECONDS} s; it was told to stop")
        piece = os.read(pipe, 65536)
        if not piece:
            return b""
        received += piece
    return received


def _obituary(code: int, paths: DrivePaths) -> str:
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    lines = paths.log.read_text("utf-8", "replace").strip().splitlines()
    last = lines[-1] if lines else "nothing"
    return f"the process of the drive {how} before the mount answered; its log {paths.log} ends with: {last}"
