"""Trying again: the one place that decides whether a failed request is sent once more, and when.

Only requests that change nothing on the server may pass through here: an unknown outcome of any other must be
looked at first. All waiting is `trio.sleep`, so a caller's cancel scope ends it and tests need no real time.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import msgspec
import trio

from drivefs.errors import Offline, RemoteError, ServerBusy, Unreachable

T = TypeVar("T")

SAFE_METHODS: Final = frozenset(("GET", "HEAD", "OPTIONS", "PROPFIND"))
"""Requests that change nothing, and may therefore be sent again, or elsewhere."""


class ConnectionClosed(Unreachable):
    """The server closed the connection before it answered.

    Ordinary under keep-alive: server and client may close and send in the same moment (RFC 9112 section 9.3.1).
    """


class Policy(msgspec.Struct, frozen=True):
    """How patient to be. Seconds throughout.

    No attempt starts later than `give_up_after` after the first one did. How long one attempt may stall is not
    decided here.
    """

    attempts: int = 5
    first_delay: float = 0.25
    longest_delay: float = 4.0
    give_up_after: float = 10.0


METADATA = Policy()
CONTENT = Policy(attempts=7, give_up_after=30.0)


def is_temporary(error: RemoteError) -> bool:
    """Whether the same request may succeed later. `Offline` is a decision not to ask: asking again is no use."""
    return error.temporary and not isinstance(error, Offline)


def delay_before(attempt: int, error: RemoteError, policy: Policy, chance: float) -> float:
    """Seconds to wait before attempt number `attempt` (the second one is 1).

    Doubles each time, half of it by `chance` (0..1) so that clients do not come back in step. A server that
    names a time gets at least that.
    """
    backoff: float = min(policy.longest_delay, policy.first_delay * 2 ** (attempt - 1)) * (0.5 + chance / 2)
    asked = error.retry_after if isinstance(error, ServerBusy) else None
    return max(backoff, asked or 0.0)


async def retry(
    call: Callable[[], Awaitable[T]], policy: Policy = METADATA, *, chance: Callable[[], float] = random.random
) -> T:
    """The answer of `call`, which is tried again while it fails for a temporary reason.

    A connection closed under keep-alive is tried again at once, one time. When the wait would outlast the
    policy, the last error goes to the caller at once, with its `retry_after`.
    """
    last_start = trio.current_time() + policy.give_up_after
    closed_before = False
    attempt = 0
    while True:
        try:
            return await call()
        except RemoteError as error:
            if isinstance(error, ConnectionClosed) and not closed_before:
                closed_before = True
                continue
            attempt += 1
            delay = delay_before(attempt, error, policy, chance())
            late = trio.current_time() + delay > last_start
            if not is_temporary(error) or attempt >= policy.attempts or late:
                raise
        await trio.sleep(delay)
