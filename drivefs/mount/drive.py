"""All parts of one drive put together, without a mount: the composition root of store, remote, sync and file system."""

from __future__ import annotations

import os

import trio

from drivefs.config import DrivePaths, DriveSettings
from drivefs.errors import NoSuchEntry, RemoteError, StaleContent, Unauthorized
from drivefs.fs.filesystem import FileSystem
from drivefs.model import ROOT, ContentId, Inode, Observation, Ref
from drivefs.mount.kernel import Kernel
from drivefs.plan import Adopt, Confirm, plan_known
from drivefs.remote.base import Remote
from drivefs.store.blocks import BlockStore
from drivefs.store.db import Database, connect
from drivefs.store.index import BlockIndex
from drivefs.store.references import References
from drivefs.store.takeover import Takeover
from drivefs.store.trash import Trash
from drivefs.store.tree import TOTALS, Totals, Tree
from drivefs.sync.engine import Engine
from drivefs.sync.link import Link
from drivefs.sync.lister import Lister
from drivefs.sync.mirror import Mirror
from drivefs.sync.observe import Observer
from drivefs.sync.removal import Removal
from drivefs.transfer.download import Downloads
from drivefs.transfer.limits import Limits

FIRST_CONTACT_SECONDS = 3.0
"""How long a mount of a drive that is known already waits for the server, only to tell what it found."""

NO_LIMIT = 1 << 62


class Drive:
    """`run` is the service; everything else needs it to be running."""

    def __init__(self, settings: DriveSettings, paths: DrivePaths, remote: Remote) -> None:
        self.settings = settings
        self.paths = paths
        self.remote = remote
        self.kernel = Kernel()
        self.link = Link()
        self._db = Database(paths.state / "drive.db")
        self.references = References()
        self.tree = Tree(self._db, self.references, self.kernel.emit)
        self._takeover = Takeover(self.tree)
        self.trash = Trash(self._db, paths.state / "trash")
        mirror = settings.content == "mirror"
        self._index = BlockIndex(self._db, self._cached_changed)
        self.blocks = BlockStore(
            paths.cache / "content",
            self._index,
            limit=NO_LIMIT if mirror else settings.cache_size,  # what is mirrored is here to stay
            min_free=settings.min_free,
        )
        self.downloads = Downloads(
            remote,
            self.blocks,
            Limits(settings.limit_down),
            locate=self._locate,
            on_changed=self._content_changed,
            on_settled=self._content_settled,
            is_offline=lambda: self.link.offline,
            on_unreachable=lambda: self.engine.doubt(),
            following=self.tree.children,
        )
        observer = Observer(remote, self.tree, self._takeover)
        self._lister = Lister(self.tree, observer, self.link, lambda observed: self.engine.notice(observed))
        removal = Removal(remote, self.tree, self._takeover, self.blocks, self.trash, settings.max_delete)
        self.engine = Engine(remote, self.tree, self._lister, removal, self.link, interval=settings.interval)
        self.mirror = Mirror(self.tree, self.downloads, self.link, self._room) if mirror else None
        self.fs = FileSystem(
            self.tree,
            self.downloads,
            self._lister,
            space=lambda: self.engine.space,
            deny_indexers=settings.indexers == "deny",
        )

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Store, downloads and listings; then, once `first_contact` was made, `sync` is to be run beside it."""
        try:
            async with trio.open_nursery() as services:
                await services.start(self.blocks.run)
                async with trio.open_nursery() as users:
                    await users.start(self.downloads.run)
                    await users.start(self._lister.run)
                    task_status.started()
        finally:
            self._db.close()
            with trio.move_on_after(1, shield=True):
                await self.remote.aclose()

    async def sync(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """The periodic services."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._after_each_sync)
            nursery.start_soon(self._watch_link)
            if self.mirror is not None:
                nursery.start_soon(self.mirror.run)
            task_status.started()
            await self.engine.run()

    async def first_contact(self) -> str:
        """Reach the server before the mount. Returns what a person should know of it, "" if all is well.

        A drive whose root was listed once mounts without the network. Raises RemoteError for one that never was.
        """
        if self.tree.exists(ROOT) and self.tree.get(ROOT).listed is not None:
            return await self._greet()
        self._takeover.root(await self.engine.connect())
        await self._lister.ensure(ROOT)
        return ""

    async def _greet(self) -> str:
        """Look for the server of a drive that is known. When it is away the engine goes on trying, whenever the next
        sync would be."""
        reason = f"{self.settings.remote}: no answer within {FIRST_CONTACT_SECONDS:.0f} s"
        try:
            with trio.move_on_after(FIRST_CONTACT_SECONDS):
                await self.engine.connect()
                return ""
            self.link.lost(reason)
        except Unauthorized as error:
            self.engine.block(error)
            return str(error)
        except RemoteError as error:
            reason = str(error)
        self.engine.request()
        return reason

    async def totals(self) -> Totals:
        """One scan of the tree, in a worker thread with a connection of its own."""

        def scan() -> Totals:
            connection = connect(self.paths.state / "drive.db", read_only=True)
            try:
                return Totals(*connection.execute(TOTALS).fetchone())
            finally:
                connection.close()

        return await trio.to_thread.run_sync(scan)

    async def _after_each_sync(self) -> None:
        """What a sync left behind: blocks of versions that nobody has any more, old trash, new work for the mirror."""
        while True:
            await self.engine.wait_synced()
            opened = self.references.open_inodes
            for inode, content in self._index.stale():
                if inode not in opened:
                    self.blocks.drop(inode, content)
            self.trash.purge()
            await self.blocks.checkpoint()
            if self.mirror is not None:
                self.mirror.wake()

    async def _watch_link(self) -> None:
        """Programs that wait for content are told at once when the server is known to be away."""
        while True:
            await self.link.wait_changed()
            if self.link.offline:
                self.downloads.went_offline()

    def _room(self) -> int:
        """Bytes that may be stored before the disk has less than `min_free`."""
        disk = os.statvfs(self.paths.cache)
        return disk.f_bavail * disk.f_frsize - self.settings.min_free

    def _locate(self, inode: Inode) -> Ref:
        """Where an open file is on the remote. A version whose name has gone, or moved on, is nowhere any more."""
        try:
            return self.tree.ref(inode)
        except NoSuchEntry as error:
            raise StaleContent("this version is not on the server any more") from error

    def _cached_changed(self, inode: Inode) -> None:
        """What `du` shows: the kernel may have been given the attributes before the block was stored."""
        with self.tree.transaction():
            self.tree.changed(inode)

    def _content_changed(self, inode: Inode, observation: Observation | None) -> None:
        self.engine.suspect(inode)

    def _content_settled(self, inode: Inode, content: ContentId, observation: Observation) -> None:
        """A download saw that the version it reads is settled by now, or that there is another one."""
        known = self.tree.known(inode)
        if known is None or self.tree.get(inode).content != content:
            return
        match plan_known(known, observation):
            case Confirm() as action:
                with self.tree.transaction():
                    self._takeover.confirm(action)
            case Adopt():
                self.engine.suspect(inode)
            case None:
                pass
