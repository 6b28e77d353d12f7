"""When a request is sent again, and when not. The clock jumps: nothing here takes real time."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio
from trio.testing import MockClock

from drivefs.errors import BadAnswer, NotFound, Offline, RemoteError, ServerBusy, Unauthorized, Unreachable
from drivefs.remote.retry import CONTENT, METADATA, ConnectionClosed, Policy, retry


class Scripted:
    """Fails with the given errors, one after the other, then answers. `at`: when each attempt came, in seconds."""

    def __init__(self, errors: Sequence[RemoteError]) -> None:
        self.errors = list(errors)
        self.start = trio.current_time()
        self.at: list[float] = []

    async def __call__(self) -> str:
        await trio.lowlevel.checkpoint()
        self.at.append(round(trio.current_time() - self.start, 6))
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


async def test_waits_twice_as_long_each_time(autojump_clock: MockClock) -> None:
    call = Scripted([Unreachable("no")] * 4)
    assert await retry(call, METADATA, chance=lambda: 1.0) == "answer"
    assert call.at == [0, 0.25, 0.75, 1.75, 3.75]


async def test_chance_takes_up_to_half_of_each_wait(autojump_clock: MockClock) -> None:
    call = Scripted([ServerBusy("no")] * 2)
    await retry(call, METADATA, chance=lambda: 0.0)
    assert call.at == [0, 0.125, 0.375]


async def test_the_number_of_attempts_is_bounded(autojump_clock: MockClock) -> None:
    call = Scripted([Unreachable("no")] * 100)
    with pytest.raises(Unreachable):
        await retry(call, Policy(attempts=3))
    assert len(call.at) == 3


@pytest.mark.parametrize("policy", [METADATA, CONTENT])
async def test_no_attempt_comes_after_the_time_to_give_up(autojump_clock: MockClock, policy: Policy) -> None:
    start = trio.current_time()

    async def stalls() -> None:
        await trio.sleep(4)
        raise Unreachable("stalled")

    with pytest.raises(Unreachable):
        await retry(stalls, policy)
    assert trio.current_time() - start <= policy.give_up_after + 4


@pytest.mark.parametrize("error", [NotFound("no"), BadAnswer("no"), Unauthorized("no"), Offline("no")])
async def test_what_is_not_temporary_is_not_tried_again(autojump_clock: MockClock, error: RemoteError) -> None:
    call = Scripted([error])
    with pytest.raises(type(error)):
        await retry(call)
    assert call.at == [0]


async def test_the_servers_own_time_is_kept(autojump_clock: MockClock) -> None:
    call = Scripted([ServerBusy("later", retry_after=3.0)])
    await retry(call, chance=lambda: 1.0)
    assert call.at == [0, 3.0]


async def test_a_server_that_asks_for_too_long_gets_no_second_request(autojump_clock: MockClock) -> None:
    call = Scripted([ServerBusy("much later", retry_after=3600.0)])
    with pytest.raises(ServerBusy) as caught:
        await retry(call)
    assert (call.at, caught.value.retry_after) == ([0], 3600.0)


async def test_a_closed_connection_is_tried_again_at_once_but_one_time_only(autojump_clock: MockClock) -> None:
    call = Scripted([ConnectionClosed("race")] * 2)
    await retry(call, chance=lambda: 1.0)
    assert call.at == [0, 0, 0.25]


async def test_a_caller_may_end_the_waiting(autojump_clock: MockClock) -> None:
    call = Scripted([Unreachable("no")] * 100)
    with trio.move_on_after(1) as scope:
        await retry(call, chance=lambda: 1.0)
    assert scope.cancelled_caught
    assert call.at == [0, 0.25, 0.75]
