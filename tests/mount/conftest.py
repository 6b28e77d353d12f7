"""Real servers for real mounts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.servers import Server, apache


@pytest.fixture
def server() -> Iterator[Server]:
    """An empty Apache, with an access log."""
    with apache() as running:
        yield running
