"""The contract suite, over the share in memory in several forms, its fault wrapper, and real servers."""

from __future__ import annotations

from tests.remote.contract import RemoteContract


class TestContract(RemoteContract):
    """Inherits all tests; the fixtures `world` and `remote` choose what they run over."""
