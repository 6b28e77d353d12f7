"""The table of directions as data: may this be written, sent, pulled, shown, evicted?

Rule 1: every question that depends on a drive's direction is answered here and nowhere else.
Rule 2: this file knows nothing about the network, the disk or the kernel.
"""

from __future__ import annotations

import enum

import msgspec


class Direction(enum.StrEnum):
    """Who is the master. The value is the name that people use in commands and in the configuration."""

    REMOTE_TO_LOCAL = "remote-to-local"
    LOCAL_TO_REMOTE = "local-to-remote"
    TWO_WAY = "two-way"


class Policy(msgspec.Struct, frozen=True):
    """What a direction allows. `changes_remote` covers every request that is not a pure read."""

    pulls: bool
    """Reads pull content down, and remote changes of known entries are taken over."""
    shows_remote: bool
    """Remote entries that were never here appear here."""
    changes_remote: bool
    """Requests that change anything on the remote may be sent, locks and self-tests included."""
    evicts_clean: bool
    """Clean content may be dropped to make room: it can be fetched again."""


POLICIES: dict[Direction, Policy] = {
    Direction.REMOTE_TO_LOCAL: Policy(pulls=True, shows_remote=True, changes_remote=False, evicts_clean=True),
    Direction.LOCAL_TO_REMOTE: Policy(pulls=False, shows_remote=False, changes_remote=True, evicts_clean=False),
    Direction.TWO_WAY: Policy(pulls=True, shows_remote=True, changes_remote=True, evicts_clean=True),
}
