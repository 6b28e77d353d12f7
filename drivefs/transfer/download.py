"""Content from the remote: what is open, and the task that owns all streams of a drive.

`Downloads` gives out one `SharedContent` per content id and forgets it after its last close. Who wins when both
sides changed is not decided here: a version that is gone is told (`on_changed`), and reads get StaleContent.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import trio

from drivefs.errors import DriveError, Offline
from drivefs.model import ContentId, Entry, Inode, Observation, Ref
from drivefs.remote.base import Remote
from drivefs.store.blocks import BlockStore
from drivefs.transfer.content import SharedContent
from drivefs.transfer.limits import Limits
from drivefs.transfer.siblings import Following, Siblings
from drivefs.transfer.stream import Stream

AHEAD = 4
"""Files that are fetched at a time because a reader will probably want them next."""


class Transfer(msgspec.Struct, frozen=True):
    """A file that comes in right now. Bytes, and bytes per second."""

    inode: Inode
    done: int
    total: int
    rate: float


class Downloads:
    """The drive's `ContentSource`.

    locate          where an inode is on the remote now
    on_changed      the version that is open is not there any more; with what was seen instead, if anything
    on_settled      an answer showed that an unsettled version is final now
    on_unreachable  a request did not get through
    is_offline      True while the remote is known to be unreachable: nothing is tried then
    following       the entries of a directory after a name, for fetching ahead

    The callbacks run in the loop's thread and must not block.
    """

    def __init__(
        self, remote: Remote, blocks: BlockStore, limits: Limits, *, locate: Callable[[Inode], Ref],
        on_changed: Callable[[Inode, Observation | None], None],
        on_settled: Callable[[Inode, ContentId, Observation], None],
        is_offline: Callable[[], bool],
        on_unreachable: Callable[[], None] = lambda: None,
        following: Following = lambda directory, name, limit: [],
    ) -> None:  # fmt: skip
        self.remote = remote
        self.blocks = blocks
        self.limits = limits
        self.locate = locate
        self.on_changed = on_changed
        self.on_settled = on_settled
        self.is_offline = is_offline
        self.on_unreachable = on_unreachable
        self._siblings = Siblings(following)
        self._ahead = trio.CapacityLimiter(AHEAD)
        self._contents: dict[ContentId, SharedContent] = {}
        self._nursery: trio.Nursery | None = None

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """The service: owns the streams. To be ended before the block store is."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self._nursery = None  # whoever is woken by the end of a stream must not start the next

    def open(self, entry: Entry) -> SharedContent:
        """The content of a file's present version; `close` it once per `open`."""
        if self._nursery is not None and not self.is_offline():
            for sibling in self._siblings.opened(entry):
                self._nursery.start_soon(self._fetch_ahead, sibling)
        return self._open(entry)

    def _open(self, entry: Entry) -> SharedContent:
        shared = self._contents.get(entry.content)
        if shared is None:
            shared = self._contents[entry.content] = SharedContent(entry, self)
        elif entry.settled:
            shared.settle()
        shared.users += 1
        return shared

    async def fetch(self, entry: Entry) -> None:
        """Bring the whole content into the cache, behind all interactive reads.

        What comes under an unsettled version is not kept. Raises: as `SharedContent.read`.
        """
        async with self.limits.background:
            shared = self._open(entry)
            try:
                await shared.fill()
            finally:
                shared.close()

    async def _fetch_ahead(self, entry: Entry) -> None:
        """Nobody asked for it: errors end the run, and are told to whoever opens the file."""
        async with self._ahead:
            shared = self._open(entry)
            try:
                await shared.complete()
            except DriveError:
                self._siblings.failed(entry)
            finally:
                shared.close()

    def transfers(self) -> list[Transfer]:
        """What comes in right now."""
        rates = [(shared, shared.rate()) for shared in self._contents.values()]
        return [
            Transfer(shared.entry.inode, shared.stored.bytes_here(), shared.size, rate)
            for shared, rate in rates
            if rate is not None
        ]

    def went_offline(self) -> None:
        """The remote became known to be unreachable: let all who wait know at once."""
        for shared in self._contents.values():
            shared.fail_all(Offline("the server is known to be unreachable"))

    # What contents call (content.Surroundings)

    def start(self, stream: Stream) -> None:
        if self._nursery is None:
            raise Offline("downloads are not running")
        self._nursery.start_soon(stream.run)

    def missed(self, entry: Entry) -> None:
        self._siblings.missed(entry)

    def closed(self, content: SharedContent) -> None:
        del self._contents[content.entry.content]
