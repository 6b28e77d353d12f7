"""`mount --foreground`: this process becomes the drive's daemon. Also the child of a `mount` in the background.

Here the process is made ready for it: the lock, umask, log. Everything else is `drivefs.mount.daemon`.
"""

from __future__ import annotations

import faulthandler
import logging
import logging.handlers
import os
import sys
import threading
from urllib.parse import urlsplit

from drivefs.cli.background import Report, send_report
from drivefs.cli.checks import check_can_mount
from drivefs.cli.failure import describe
from drivefs.cli.launch import Launch, remember
from drivefs.cli.text import typed
from drivefs.config import DrivePaths, DriveSettings
from drivefs.control import lock
from drivefs.credentials import VARIABLE, resolve_password
from drivefs.errors import DriveError, RemoteError, Unauthorized
from drivefs.remote.webdav.auth import Credentials

_LOG_BYTES = 5 * 2**20
_LOG_FILES = 2
_NOISY = ("httpx", "httpcore", "hypercorn", "wsgidav", "cheroot")
"""Libraries that log every request; httpcore's debug lines would even hold the Authorization header."""


def serve(launch: Launch, ready_fd: int | None, debug: bool) -> int:
    """Serve the drive until it is unmounted; answers the exit code.

    With `ready_fd`, how the start ended is told there, errors too, and nothing is printed.
    """
    os.umask(0o077)
    if ready_fd is None:
        return _serve(launch, None, debug)
    os.set_inheritable(ready_fd, False)
    reporter = _Reporter(ready_fd)
    try:
        return _serve(launch, reporter, debug)
    except Exception as problem:
        foreseen = isinstance(problem, DriveError)
        logging.getLogger("drivefs").error("%s", problem, exc_info=debug or not foreseen)
        return reporter.failed(*describe(problem, f"see {launch.paths.log}"))


class _Reporter:
    """Writes to the waiting parent, once."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def send(self, report: Report) -> None:
        if self._descriptor is not None:
            send_report(self._descriptor, report)
            self._descriptor = None

    def failed(self, error: str, exit_code: int) -> int:
        self.send(Report(error=error, exit_code=exit_code))
        return exit_code


def _serve(launch: Launch, reporter: _Reporter | None, debug: bool) -> int:
    settings, paths = launch.settings, launch.paths
    paths.make()
    with lock.held(paths, settings.mountpoint):
        _set_up_logging(paths, debug, to_stderr=reporter is None)
        check_can_mount(settings)
        password = os.environ.get(VARIABLE)
        credentials = find_credentials(settings, paths)

        def ready(state: str, message: str) -> None:
            if reporter is not None:
                reporter.send(Report(state=state, message=message))  # the parent remembers
                return
            sys.stderr.write(f"{settings.mountpoint}: mounted{f' ({message})' if message else ''}\n")
            threading.Thread(target=_remember, args=(launch, password), name="remember").start()

        from drivefs.mount.daemon import run

        try:
            return run(settings, paths, credentials, ready=ready)
        except RemoteError as problem:
            problem.args = (_with_address(str(problem), settings),)
            raise


def _with_address(text: str, settings: DriveSettings) -> str:
    """A remote knows requests and hosts; a person knows the address that was typed."""
    remote = settings.remote
    if text.startswith(remote):
        return text
    head, _, rest = text.partition(": ")
    told = head == urlsplit(remote).netloc or head.endswith(f" {remote}")
    return f"{remote}: {rest if told else text}"


def _remember(launch: Launch, password: str | None) -> None:
    log = logging.getLogger("drivefs")
    try:
        for line in remember(launch, password):
            log.info("%s", line)
    except OSError as problem:
        log.error("mounted, but the drive could not be saved: %s", problem)


def find_credentials(settings: DriveSettings, paths: DrivePaths) -> Credentials | None:
    """What to log in with, None for a drive without a user and a token. Raises: Unauthorized, UsageError."""
    if not settings.logs_in:
        return None
    password = resolve_password(settings, paths.config_file)
    os.environ.pop(VARIABLE, None)  # not for the processes that this one starts
    if password is None:
        raise Unauthorized(
            f"{settings.mountpoint}: no {f'password for user {settings.user}' if settings.user else 'token'}; "
            f"set {VARIABLE} and {typed('drivefs', 'setup', settings.mountpoint, '--no-input')}"
        )
    return Credentials(settings.user or "", password)


def _set_up_logging(paths: DrivePaths, debug: bool, to_stderr: bool) -> None:
    handlers: list[logging.Handler] = [
        logging.handlers.RotatingFileHandler(paths.log, maxBytes=_LOG_BYTES, backupCount=_LOG_FILES, encoding="utf-8")
    ]
    if to_stderr:
        handlers.append(logging.StreamHandler(sys.stderr))
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        handlers=handlers,
        force=True,
    )
    logging.getLogger("drivefs").setLevel(logging.DEBUG if debug else logging.INFO)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    faulthandler.enable()
