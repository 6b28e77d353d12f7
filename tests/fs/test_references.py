"""What the file system counts for the kernel: after it forgot all, nothing is held on to."""

from __future__ import annotations

import contextlib
from collections import Counter
from random import Random

import pytest

from drivefs.errors import Invalid
from drivefs.fs.handles import Handle
from drivefs.model import ROOT, Inode
from drivefs.store.references import References
from tests.fs.views import Direct, names

PATHS = ["a", "b", "folder/c", "folder/d", "folder/deep/e"]


def held(references: References) -> dict[str, object]:
    """All that is kept, by what it is."""
    return {key: dict(value) for key, value in vars(references).items() if value}


async def test_forget_takes_what_lookups_and_walks_gave(kernel: Direct) -> None:
    for path in PATHS:
        kernel.share.put(path, b"1")
    await kernel.sync()
    for _ in range(3):
        for path in PATHS:
            await kernel.look_up(path)
    assert await names(kernel, "folder") == ["c", "d", "deep"]
    counted = held(kernel.drive.references)
    assert counted == {"_lookups": dict(kernel.lookups)}
    inode, count = kernel.lookups.popitem()
    kernel.fs.forget([(inode, count - 1)])
    assert kernel.drive.references.known_to_kernel(inode)
    kernel.fs.forget([(inode, 1)])
    assert not kernel.drive.references.known_to_kernel(inode)
    kernel.forget_all()
    assert held(kernel.drive.references) == {}


async def test_a_failed_lookup_counts_nothing(kernel: Direct) -> None:
    kernel.share.put("file", b"1")
    await kernel.sync()
    for path in ("missing", "x" * 256):
        with pytest.raises(OSError, match=r"."):
            await kernel.stat(path)
    assert held(kernel.drive.references) == {}


async def test_a_handle_can_be_released_once(kernel: Direct) -> None:
    kernel.share.put("file", b"1")
    await kernel.sync()
    handle = await kernel.open("file")
    kernel.fs.release(Handle(handle))
    with pytest.raises(Invalid):
        kernel.fs.release(Handle(handle))
    kernel.forget_all()
    assert held(kernel.drive.references) == {}


@pytest.mark.parametrize("seed", range(8))
async def test_any_order_of_requests_ends_with_nothing_held(kernel: Direct, seed: int) -> None:
    """Lookups, opens, walks, changes on the share, and forgetting, in any order, against counters of our own."""
    random = Random(seed)
    for path in PATHS:
        kernel.share.put(path, b"1")
    kernel.share.put("always", b"")
    await kernel.sync()
    opened: Counter[Inode] = Counter()
    handles: list[tuple[Handle, Inode]] = []
    for _ in range(150):
        path = random.choice(PATHS)
        with contextlib.suppress(OSError, KeyError):
            match random.randrange(8):
                case 0 | 1:
                    await kernel.stat(path)
                case 2 | 3:
                    handle = await kernel.open(path)
                    inode = kernel._inodes[handle]
                    handles.append((Handle(handle), inode))
                    opened[inode] += 1
                case 4 if handles:
                    closing, inode = handles.pop(random.randrange(len(handles)))
                    kernel.fs.release(closing)
                    opened[inode] -= 1
                case 5:
                    await names(kernel, random.choice(["", "folder"]))
                case 6:
                    kernel.share.put(path, b"x" * random.randrange(5))
                    await kernel.sync()
                case 7 if random.randrange(3) == 0:
                    kernel.share.delete(path)
                    await kernel.sync()
                case _ if kernel.lookups:
                    inode = random.choice(list(kernel.lookups))
                    kernel.fs.forget([(inode, kernel.lookups.pop(inode))])
        assert kernel.drive.references.open_inodes == set(+opened)
        assert held(kernel.drive.references).get("_lookups", {}) == dict(kernel.lookups)
    for handle_left, _ in handles:
        kernel.fs.release(handle_left)
    kernel.forget_all()
    assert held(kernel.drive.references) == {}
    assert len(kernel.fs._handles) == 0
    assert kernel.fs._cached_pages.keys() <= {ROOT}
