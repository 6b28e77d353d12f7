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
WORKERS = 4
BATCH = 200


class Kernel:
    """`emit` never waits; `run` is the service. Several at a time, so that one that is held up does not hold up all."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[tuple[int, Changed]](math.inf)
        self._emitted = 0
        self._untold: set[int] = set()
        self._told = trio.Event()

    def emit(self, change: Changed) -> None:
        self._emitted += 1
        self._untold.add(self._emitted)
        self._send.send_nowait((self._emitted, change))

    async def flush(self) -> None:
        """Wait until the kernel was told of everything emitted so far; bounded, since a pending read may hold it up."""
        last = self._emitted
        with trio.move_on_after(FLUSH_SECONDS):
            while any(number <= last for number in self._untold):
                await self._told.wait()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(WORKERS):
                nursery.start_soon(self._work)
            task_status.started()

    async def _work(self) -> None:
        async for first in self._receive:
            batch = [first, *self._more_that_never_wait(first)]
            await trio.to_thread.run_sync(_invalidate_all, [change for _, change in batch], abandon_on_cancel=True)
            self._untold.difference_update(number for number, _ in batch)
            self._told.set()
            self._told = trio.Event()

    def _more_that_never_wait(self, first: tuple[int, Changed]) -> list[tuple[int, Changed]]:
        """Changes of attributes go many at a time, since a hand-over to a thread costs more than they do; what may wait
        for a pending request goes by itself, the last of its batch."""
        more: list[tuple[int, Changed]] = []
        last = first
        with contextlib.suppress(trio.WouldBlock):
            while _never_waits(last[1]) and len(more) < BATCH:
                last = self._receive.receive_nowait()
                more.append(last)
        return more


def _never_waits(change: Changed) -> bool:
    return change.name is None and not change.content


def _invalidate_all(changes: list[Changed]) -> None:
    for change in changes:
        _invalidate(change)


def _invalidate(change: Changed) -> None:
    # Not known to the kernel (any more), or the mount is on its way down: then there is nothing to forget.
    with contextlib.suppress(OSError):
        if change.name is None:
            pyfuse3.invalidate_inode(pyfuse3.InodeT(change.inode), attr_only=not change.content)
        else:
            pyfuse3.invalidate_entry(pyfuse3.InodeT(change.inode), pyfuse3.FileNameT(encode_name(change.name)))
