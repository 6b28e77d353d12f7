"""What the documentation says of each server is what the code believes, and what the server does."""

from __future__ import annotations

import pytest

from tests.remote.races import NONE_WON, NOTICED, ONE_WON
from tests.remote.server_tables import (
    COLUMNS,
    DOCUMENT,
    Meter,
    capabilities,
    capability_table,
    race,
    request_table,
    window_list,
)
from tests.remote.writing_worlds import WRITABLE_SERVERS, WritableFarm

STATED = {"create": "create the same new name", "replace": "between the comparison and the rename"}
"""What a server's window says of each kind of race, where it says that somebody may lose."""


async def test_the_tables_of_the_documentation_are_true(writable_farm: WritableFarm) -> None:
    text = DOCUMENT.read_text()
    learned = {name: await capabilities(writable_farm.world(name)) for name in WRITABLE_SERVERS}
    measured = {name: await Meter(writable_farm.world(name)).measure() for name in WRITABLE_SERVERS}
    assert capability_table(learned) in text
    assert window_list(learned) in text
    assert request_table(measured) in text
    assert list(COLUMNS) == list(WRITABLE_SERVERS)


@pytest.mark.parametrize("kind", ["create", "replace"])
@pytest.mark.parametrize("name", WRITABLE_SERVERS)
async def test_two_writers_of_one_name_lose_nothing_that_is_not_stated(
    writable_farm: WritableFarm, name: str, kind: str
) -> None:
    await hold_race(writable_farm, name, kind, rounds=5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["create", "replace"])
@pytest.mark.parametrize("name", WRITABLE_SERVERS)
async def test_two_writers_race_two_hundred_times(writable_farm: WritableFarm, name: str, kind: str) -> None:
    await hold_race(writable_farm, name, kind, rounds=200)


async def hold_race(farm: WritableFarm, name: str, kind: str, rounds: int) -> None:
    counts = await race(farm.world(name), kind, rounds)
    stated = STATED[kind] in (await capabilities(farm.world(name))).window
    allowed = {ONE_WON, NONE_WON} | ({NOTICED} if stated else set())
    assert set(counts) <= allowed, counts
    assert counts[ONE_WON] > 0
