"""Faults happen as asked for, and nowhere else."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from drivefs.errors import BadAnswer, ServerBusy, Unreachable
from drivefs.model import Ref
from drivefs.remote.faulty import Call, Fault, FaultyRemote
from drivefs.remote.memory import MemoryRemote

FILE = Ref(("f",))


@pytest.fixture
def memory() -> MemoryRemote:
    memory = MemoryRemote()
    memory.put("f", b"0123456789")
    return memory


async def test_a_call_fails_before_or_after_it_was_sent(memory: MemoryRemote) -> None:
    faults = {1: Fault(before=Unreachable("cable")), 2: Fault(after=ServerBusy("late"))}
    remote = FaultyRemote(memory, lambda call: faults.get(call.number))
    with pytest.raises(Unreachable):
        await remote.stat(FILE)
    assert memory.requests == []
    with pytest.raises(ServerBusy):
        await remote.stat(FILE)
    assert len(memory.requests) == 1
    assert (await remote.stat(FILE)).version.size == 10
    assert remote.calls == [Call(number, "stat", FILE) for number in (1, 2, 3)]


async def test_a_call_waits_for_an_event(memory: MemoryRemote) -> None:
    gate = trio.Event()
    remote = FaultyRemote(memory, lambda call: Fault(until=gate) if call.method == "list" else None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(remote.list, Ref())
        await wait_all_tasks_blocked()
        assert memory.requests == []
        gate.set()
    assert [request.method for request in memory.requests] == ["list"]


async def test_a_read_breaks_off_and_a_cut_listing_is_none(memory: MemoryRemote) -> None:
    version = (await memory.stat(FILE)).version
    remote = FaultyRemote(memory, lambda call: Fault(cut=4))
    async with remote.read(FILE, version=version, offset=2) as stream:
        assert (stream.offset, stream.observed.version, await stream.receive()) == (2, version, b"2345")
        with pytest.raises(Unreachable):
            await stream.receive()
    with pytest.raises(BadAnswer):
        await remote.list(Ref())
    assert remote.calls[0] == Call(1, "read", FILE, 2, None)
    assert remote.traffic is memory.traffic
