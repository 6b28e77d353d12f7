"""What a sync would do now, without doing any of it (`drivefs sync --dry-run`)."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import trio

from drivefs.errors import NotFound, alone
from drivefs.model import Inode
from drivefs.plan import Action, Adopt, Appear, Confirm, Missing, plan_listing
from drivefs.remote.base import Remote
from drivefs.store.tree import Tree

PARALLEL = 4


class Preview(msgspec.Struct, frozen=True):
    """One thing that a sync would do; `size` in bytes."""

    action: str
    path: str
    size: int
    why: str


async def preview(remote: Remote, tree: Tree) -> list[Preview]:
    """Compare every directory that was listed before with the server. What is in new folders is not looked into.

    Raises RemoteError when the server cannot be asked.
    """
    found: list[Preview] = []
    directories = iter(tree.directories())

    async def worker() -> None:
        for directory in directories:
            try:
                listing = await remote.list(tree.ref(directory))
            except NotFound:
                continue  # told by the listing of the directory above
            for action in plan_listing(tree.remote_children(directory), listing):
                found.extend(_describe(tree, directory, action))

    with alone():
        async with trio.open_nursery() as nursery:
            for _ in range(PARALLEL):
                nursery.start_soon(worker)
    return sorted(found, key=lambda item: item.path)


def _describe(tree: Tree, directory: Inode, action: Action) -> Iterator[Preview]:
    match action:
        case Appear(observation):
            path = "/".join((*tree.path(directory), observation.name))
            yield Preview("create", path, observation.version.size or 0, "new on the server")
        case Adopt(inode, observation, content=True):
            yield Preview("update", "/".join(tree.path(inode)), observation.version.size or 0, "changed on the server")
        case Missing(inode):
            why = "not on the server any more, if that proves true"
            yield Preview("remove", "/".join(tree.path(inode)), tree.get(inode).size, why)
        case Adopt() | Confirm():
            pass
