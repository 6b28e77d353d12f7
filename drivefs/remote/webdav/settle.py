"""Sending a change until it is known what came of it. What the server said is never the last word: the share is looked
at after each attempt, and what stands there decides.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from drivefs.errors import BadAnswer, RemoteError, VersionMismatch
from drivefs.remote.retry import METADATA, Policy, delay_before, is_temporary
from drivefs.remote.webdav.verbs import Answer
from drivefs.remote.writing import Outcome, Refused, Unknown

Send = Callable[[], Awaitable[Answer]]
"""One attempt. It carries its conditions with it, so that a second one does no harm."""

Judge = Callable[[Answer, bool], Awaitable[Outcome | None]]
"""Looks at the share and tells the outcome, or None: not made, and nothing that is there stands in the way.

The flag is doubt: an attempt may have been made though its answer did not say so.
"""

CHANGES: Final = METADATA
ONCE: Final = Policy(attempts=1)
"""For a change that the server does not check: before each attempt, the caller has to compare anew."""


async def settle(
    send: Send,
    judge: Judge,
    *,
    doubt: bool = False,
    policy: Policy = CHANGES,
    chance: Callable[[], float] = random.random,
) -> Outcome:
    """The outcome of a change. Raises the error of the last attempt when that was temporary or account-wide, and the
    change is known not to have been made."""
    last_start = trio.current_time() + policy.give_up_after
    attempt = 0
    while True:
        answer = await send()
        doubt = doubt or not answer.certain
        if answer.error is not None and answer.error.account_wide and not doubt:
            raise answer.error
        try:
            outcome = await judge(answer, doubt)
        except RemoteError as blind:
            if answer.error is None or doubt:
                return Unknown(blind)
            raise answer.error from blind
        if outcome is not None:
            return outcome
        attempt += 1
        error = answer.error or BadAnswer("the server said that it made a change, and did not")
        delay = delay_before(attempt, error, policy, chance())
        again = is_temporary(error) or isinstance(error, VersionMismatch)  # 412, though it is as expected: perhaps now
        if not again or attempt >= policy.attempts or trio.current_time() + delay > last_start:
            return not_made(error)
        await trio.sleep(delay)


def not_made(error: RemoteError) -> Refused:
    """For a change that certainly was not made. Raises errors that pass."""
    if error.temporary or error.account_wide:
        raise error
    return Refused(error)
