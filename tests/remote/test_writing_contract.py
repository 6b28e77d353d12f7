"""The contract of changes, over the share in memory in several forms, its fault wrapper, and real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from drivefs.remote.writing import WritableRemote
from tests.remote.journal import MemoryJournal
from tests.remote.writing_contract import WritingContract
from tests.remote.writing_worlds import WRITABLE_MEMORIES, WRITABLE_SERVERS, WritableFarm, WritableWorld


@pytest.fixture(params=[*WRITABLE_MEMORIES, *WRITABLE_SERVERS])
def world(request: pytest.FixtureRequest, writable_farm: WritableFarm) -> WritableWorld:
    name: str = request.param
    return WRITABLE_MEMORIES[name]() if name in WRITABLE_MEMORIES else writable_farm.world(name)


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


@pytest.fixture
async def writable(world: WritableWorld, journal: MemoryJournal) -> AsyncIterator[WritableRemote]:
    remote = world.open_writable()
    await remote.connect()
    await remote.prepare(journal)
    assert journal.left == {}
    yield remote
    await remote.aclose()


class TestWritingContract(WritingContract):
    """Inherits all tests; the fixtures `world` and `writable` choose what they run over."""
