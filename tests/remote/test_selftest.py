"""Servers that nobody knows: what the self-test finds out of known ones is true of them, and enough to write safely."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest

from drivefs.remote.webdav import writable as writable_module
from drivefs.remote.writing import WritableRemote, WriteCapabilities
from tests.remote.journal import MemoryJournal
from tests.remote.server_tables import capabilities
from tests.remote.writing_contract import WritingContract
from tests.remote.writing_worlds import WRITABLE_SERVERS, WritableFarm, WritableServerWorld

KNOWN = tuple(name for name in WRITABLE_SERVERS if name not in ("rclone", "apache-deflate", "apache-tls"))


@pytest.fixture
def nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writable_module, "recognise", lambda options, answer: None)


@pytest.fixture(params=KNOWN)
def world(request: pytest.FixtureRequest, writable_farm: WritableFarm) -> WritableServerWorld:
    return writable_farm.world(request.param)


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


@pytest.fixture
async def writable(
    world: WritableServerWorld, journal: MemoryJournal, nobody_knows: None
) -> AsyncIterator[WritableRemote]:
    remote = world.open_writable()
    await remote.connect()
    await remote.prepare(journal)
    yield remote
    await remote.aclose()


async def test_nothing_is_believed_that_is_not_so(world: WritableServerWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    known = await capabilities(world)
    monkeypatch.setattr(writable_module, "recognise", lambda options, answer: None)
    learned = await capabilities(world)
    for field in msgspec.structs.fields(WriteCapabilities):
        believed, true = getattr(learned, field.name), getattr(known, field.name)
        if field.name == "unusable":
            assert believed == true
        elif isinstance(believed, bool):
            assert not believed or true, field.name
    assert world.names() == set()


@pytest.mark.slow
class TestWritingToUnknownServers(WritingContract):
    """All of the contract, the careful way."""
