"""Rules about names: which remote names can exist here. (Conflict names and ignore rules join them with writing.)"""

from __future__ import annotations

import secrets

from drivefs.model import encode_name

MAX_NAME_BYTES = 255
"""NAME_MAX of Linux; a longer name cannot be given to a program."""

OWN_PREFIX = ".~drivefs-"
"""Staging names of drivefs itself on a remote: always hidden, whoever made them."""


def can_exist_here(name: str) -> bool:
    """False for a remote name that no local path can reach, or that would reach outside the mount."""
    return (
        name not in ("", ".", "..")
        and "/" not in name
        and "\0" not in name
        and len(encode_name(name)) <= MAX_NAME_BYTES
    )


def is_own(name: str) -> bool:
    return name.startswith(OWN_PREFIX)


def staging_name() -> str:
    """A new name for bytes on their way: never used before, and short enough for every server."""
    return OWN_PREFIX + secrets.token_hex(8)
