"""Every error that drivefs raises on purpose. Each class knows its errno and how far it reaches.

    DriveError                      EIO
     +- LocalError                  what a program asked for cannot be done here
     |   +- NoSuchEntry             ENOENT
     |   +- NotADirectory           ENOTDIR
     |   +- IsADirectory            EISDIR
     |   +- ReadOnly                EROFS
     |   +- NameTooLong             ENAMETOOLONG
     |   +- Denied                  EPERM
     |   +- NotAllowed              EACCES
     |   +- Invalid                 EINVAL
     |   +- StaleContent            ESTALE   the bytes of this version are nowhere to be had any more
     |   +- NoSpace                 ENOSPC
     +- Busy                        EBUSY    a program is still using it
     +- StoreError                  EIO      the cache or state folder failed
     +- RemoteError                 what the server, or the way to it, answered
     |   +- Unreachable             EIO      temporary: no connection, name not found, timeout, connection lost
     |   |   +- Offline             EIO      known to be unreachable: nothing was sent
     |   +- ServerBusy              EIO      temporary: 408, 423, 425, 429, 5xx; may carry Retry-After
     |   +- BadAnswer               EIO      an answer that is not what was asked for: says nothing about the share
     |   +- TlsError                EIO      account-wide: the server's certificate is not trusted
     |   +- Unauthorized            EACCES   account-wide: credentials are missing or wrong (401, 407)
     |   +- QuotaExceeded           ENOSPC   account-wide: 507
     |   +- NotPermitted            EACCES   per entry: 403
     |   +- Refused                 EIO      per entry: any other refusal (400, 413, a name the server rejects)
     |   +- NotFound                ENOENT   per entry: 404, 410
     |   +- VersionMismatch         ESTALE   per entry: not the version that was expected
     |   +- NotAShare               EIO      account-wide: the address answers, but not as a share
     +- UsageError                           wrong usage or configuration (exit code 2)

A handler of the file system may only let out errors of this tree; `mount/fuse.py` turns `errno` into the
kernel's answer, and `cli/` turns `exit_code` and the text into one line for a person.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from drivefs.model import Observation


class DriveError(Exception):
    """Root of the tree. The text says what happened, to what, and what to do."""

    errno: ClassVar[int] = errno.EIO
    exit_code: ClassVar[int] = 1
    temporary: ClassVar[bool] = False
    account_wide: ClassVar[bool] = False


class LocalError(DriveError):
    pass


class NoSuchEntry(LocalError):
    errno = errno.ENOENT


class NotADirectory(LocalError):
    errno = errno.ENOTDIR


class IsADirectory(LocalError):
    errno = errno.EISDIR


class ReadOnly(LocalError):
    errno = errno.EROFS


class NameTooLong(LocalError):
    errno = errno.ENAMETOOLONG


class Denied(LocalError):
    errno = errno.EPERM


class NotAllowed(LocalError):
    errno = errno.EACCES


class Invalid(LocalError):
    errno = errno.EINVAL


class StaleContent(LocalError):
    errno = errno.ESTALE


class NoSpace(LocalError):
    errno = errno.ENOSPC


class Busy(DriveError):
    errno = errno.EBUSY


class StoreError(DriveError):
    pass


class RemoteError(DriveError):
    pass


class Unreachable(RemoteError):
    exit_code = 4
    temporary = True


class Offline(Unreachable):
    pass


class ServerBusy(RemoteError):
    """`retry_after`: seconds the server asked us to wait, None when it did not."""

    exit_code = 4
    temporary = True

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class BadAnswer(RemoteError):
    pass


class TlsError(RemoteError):
    exit_code = 4
    account_wide = True


class Unauthorized(RemoteError):
    errno = errno.EACCES
    exit_code = 5
    account_wide = True


class QuotaExceeded(RemoteError):
    errno = errno.ENOSPC
    account_wide = True


class NotPermitted(RemoteError):
    errno = errno.EACCES
    exit_code = 5


class Refused(RemoteError):
    pass


class NotFound(RemoteError):
    errno = errno.ENOENT


class VersionMismatch(RemoteError):
    """`observed` is what the answer showed instead, None when it did not tell."""

    errno = errno.ESTALE

    def __init__(self, message: str, observed: Observation | None = None) -> None:
        super().__init__(message)
        self.observed = observed


class NotAShare(RemoteError):
    """`address` is that of the share which the person may have meant, where the server told it."""

    exit_code = 2
    account_wide = True

    def __init__(self, message: str, address: str | None = None) -> None:
        super().__init__(message)
        self.address = address


class UsageError(DriveError):
    errno = errno.EINVAL
    exit_code = 2


@contextmanager
def alone() -> Iterator[None]:
    """Let the first error of drivefs out of a nursery by itself, so that callers can tell what it is.

    For blocks whose tasks share one purpose: any error ends it. Groups that hold anything else stay as they are.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        ours, others = group.split(DriveError)
        if ours is None or others is not None:
            raise
        error: BaseException = ours
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from group
