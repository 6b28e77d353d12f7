"""Put a whole file together from its blocks. Blocks; for worker threads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from drivefs.store.session import sync_folder


def assemble(sources: Sequence[Path], size: int, destination: Path) -> bool:
    """Make `destination` of all `sources` in order, `size` bytes in all, durable when this returns.

    False when a source is not there or the sizes do not add up; then nothing is made. One block on the same
    file system is linked, not copied: complete blocks never change.
    """
    draft = destination.with_name(f"{destination.name}.draft")
    draft.unlink(missing_ok=True)
    try:
        if not (_linked(sources, draft) or _copied(sources, draft)) or draft.stat().st_size != size:
            return False
        _sync(draft)
        draft.replace(destination)
    except FileNotFoundError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(destination.parent)
    return True


def _linked(sources: Sequence[Path], draft: Path) -> bool:
    if len(sources) != 1:
        return False
    try:
        os.link(sources[0], draft)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without links
        return False
    return True


def _copied(sources: Sequence[Path], draft: Path) -> bool:
    with draft.open("wb") as target:
        for source in sources:
            with source.open("rb") as block:
                rest = os.fstat(block.fileno()).st_size
                while rest > 0:
                    count = os.sendfile(target.fileno(), block.fileno(), None, rest)
                    if count == 0:
                        return False
                    rest -= count
    return True


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
