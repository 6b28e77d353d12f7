"""The command line's side of the control socket. Synchronous: a command does one thing and ends.

Where a drive's daemon listens is told by the drive's lock file, which the daemon fills in (`lock.py`): a daemon
started by systemd or at boot may have another runtime folder than the shell of the person who asks.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from drivefs import errors
from drivefs.control.messages import (
    Done,
    DriveStatus,
    EntryStatus,
    Failure,
    Message,
    Progress,
    SyncRequest,
    SyncResult,
    decode,
    decode_event,
    encode,
)

ANSWER_SECONDS = 10.0
"""A daemon answers from memory and its own disk; one that takes longer hangs."""


class NoDaemon(errors.DriveError):
    """Nobody listens on the drive's socket."""


class BrokenOff(errors.DriveError):
    """The daemon ended, or answered nonsense, in the middle of an answer."""


class ControlClient:
    """A connection to one drive's daemon.

    Entering raises NoDaemon when there is none; every method raises the error of `drivefs.errors` that the daemon
    raised, or BrokenOff.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._client = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(path)),
            base_url="http://drivefs",
            timeout=ANSWER_SECONDS,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        self._check_alive()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def _check_alive(self) -> None:
        """Find out that nobody is there by a socket of our own: httpcore leaves one open when it cannot connect."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(self._path))
            except OSError as problem:
                self._client.close()
                raise NoDaemon(f"no daemon answers at {self._path}: {problem.strerror}") from problem

    def status(self) -> DriveStatus:
        with _mapped():
            return _body(self._client.get("/status"), DriveStatus)

    def entry_status(self, path: str) -> EntryStatus:
        with _mapped():
            return _body(self._client.post("/entry", content=json.dumps({"path": path})), EntryStatus)

    def sync(self, request: SyncRequest, on_progress: Callable[[Progress], None]) -> SyncResult:
        """Order a sync, and follow it to its end (to its start, without `request.wait`)."""
        patient = httpx.Timeout(ANSWER_SECONDS, read=None)
        with _mapped(), self._client.stream("POST", "/sync", content=encode(request), timeout=patient) as answer:
            if answer.status_code != 200:
                answer.read()
                _body(answer, Done)
            for line in answer.iter_lines():
                event = decode_event(line)
                if isinstance(event, Progress):
                    on_progress(event)
                elif isinstance(event, Failure):
                    raise error_of(event)
                elif isinstance(event, Done) and event.result is not None:
                    return event.result
        raise BrokenOff("the daemon ended before the sync was done; see its log")

    def unmount(self) -> None:
        with _mapped():
            _body(self._client.post("/unmount"), Done)


@contextlib.contextmanager
def _mapped() -> Iterator[None]:
    try:
        yield
    except httpx.ConnectError as problem:
        raise NoDaemon("no daemon serves this drive") from problem
    except httpx.TimeoutException as problem:
        raise errors.DriveError(f"the daemon did not answer within {ANSWER_SECONDS:g} s") from problem
    except (httpx.HTTPError, ValueError) as problem:
        raise BrokenOff(f"the daemon broke off: {problem}") from problem


def _body(answer: httpx.Response, kind: type[Message]) -> Message:
    if answer.status_code != 200:
        raise error_of(_failure(answer))
    return decode(answer.content, kind)


def _failure(answer: httpx.Response) -> Failure:
    try:
        return decode(answer.content, Failure)
    except ValueError:  # the server library's own text about a defect
        return Failure("DriveError", "an error inside the daemon; its log tells more", 1)


def error_of(failure: Failure) -> errors.DriveError:
    """The error that the daemon raised, as the same class where it can be made from its text alone."""
    kind: object = getattr(errors, failure.error, None)
    if isinstance(kind, type) and issubclass(kind, errors.DriveError):
        return kind(failure.message)
    return _unknown(failure.exit_code)(failure.message)


def _unknown(code: int) -> type[errors.DriveError]:
    class DaemonError(errors.DriveError):
        exit_code = code

    return DaemonError
