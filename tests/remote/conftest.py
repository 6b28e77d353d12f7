"""Servers, started once for all tests of the remote, and the worlds of the contract suite."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import pytest

from drivefs.remote.base import Remote
from tests.remote.worlds import MEMORY_WORLDS, SERVERS, ServerWorld, World
from tests.remote.writing_worlds import WritableFarm
from tests.support import servers
from tests.support.servers import Server


class Farm:
    """Real servers, each started when it is first asked for."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._running: dict[str, Server] = {}
        self._numbers = itertools.count(1)

    def __getitem__(self, name: str) -> Server:
        if name not in self._running:
            self._running[name] = self._stack.enter_context(getattr(servers, name)())
        return self._running[name]

    def world(self, name: str) -> ServerWorld:
        return ServerWorld(self[name], f"world {next(self._numbers)}")


@pytest.fixture(scope="session")
def farm() -> Iterator[Farm]:
    with ExitStack() as stack:
        yield Farm(stack)


@pytest.fixture(scope="session")
def writable_farm() -> Iterator[WritableFarm]:
    with ExitStack() as stack:
        yield WritableFarm(stack)


@pytest.fixture(params=[*MEMORY_WORLDS, *SERVERS])
def world(request: pytest.FixtureRequest, farm: Farm) -> World:
    name: str = request.param
    return MEMORY_WORLDS[name]() if name in MEMORY_WORLDS else farm.world(name)


@pytest.fixture
async def remote(world: World) -> AsyncIterator[Remote]:
    remote = world.open()
    await remote.connect()
    yield remote
    await remote.aclose()
