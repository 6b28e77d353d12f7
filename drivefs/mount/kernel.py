"""What the kernel keeps is made to forget: drains `Changed` events into invalidations.

They are made in a worker thread, never in a handler: `invalidate_entry` waits for a lookup, unlink or readdir that is
pending in that directory, and an `invalidate_inode` of bytes for a pending read. So no handler may wait for this task.
"""

from __future__ import annotations

import contextlib
import math

import pyfuse3
import trio

from drivefs.model import Changed, encode_name

FLUSH_SECONDS = 5.0


class Kernel:
    """`emit` never waits; `run` is the service."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[Changed | trio.Event](math.inf)

    def emit(self, change: Changed) -> None:
        self._send.send_nowait(change)

    async def flush(self) -> None:
        """Wait until the kernel was told of everything emitted so far; bounded, since a pending read may hold it up."""
        reached = trio.Event()
        self._send.send_nowait(reached)
        with trio.move_on_after(FLUSH_SECONDS):
            await reached.wait()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        async for item in self._receive:
            if isinstance(item, trio.Event):
                item.set()
            else:
                await trio.to_thread.run_sync(_invalidate, item, abandon_on_cancel=True)


def _invalidate(change: Changed) -> None:
    # Not known to the kernel (any more), or the mount is on its way down: then there is nothing to forget.
    with contextlib.suppress(OSError):
        if change.name is None:
            pyfuse3.invalidate_inode(pyfuse3.InodeT(change.inode), attr_only=not change.content)
        else:
            pyfuse3.invalidate_entry(pyfuse3.InodeT(change.inode), pyfuse3.FileNameT(encode_name(change.name)))
