"""What the tests of writing to a Nextcloud share: a writer with its journal, contents, and ways to look at outcomes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from drivefs.model import Observation, Ref, Version
from drivefs.remote.content import BytesContent
from drivefs.remote.open import open_remote
from drivefs.remote.webdav.auth import Credentials
from drivefs.remote.webdav.cloudwrite import CloudWriter
from drivefs.remote.webdav.paths import parse_base
from drivefs.remote.writing import Conflict, Done, Later, Outcome, Staged, Unknown
from tests.remote.journal import MemoryJournal
from tests.support.nextcloud import NEXTCLOUD, OWNCLOUD, PASSWORD, USER, Cloud

FILE = Ref(("folder", "file"))
MTIME = 1_600_000_000
SMALL = BytesContent(b"some bytes", MTIME * 10**9 + 123)
CHUNK = 1000
LARGE = BytesContent(bytes(range(250)) * 14, MTIME * 10**9)
"""3,500 bytes: three whole chunks, and half of one."""
PRODUCTS = {"nextcloud": NEXTCLOUD, "owncloud": OWNCLOUD}


class Writing:
    """A writer, its journal, and the server that it writes to. Another `Writing` is the same after a restart."""

    def __init__(self, cloud: Cloud, notes: MemoryJournal | None = None) -> None:
        self.cloud = cloud
        self.notes = notes or MemoryJournal()
        self.remote = open_remote(cloud.url, credentials=Credentials(USER, PASSWORD))
        self.writer = CloudWriter(self.remote._session, parse_base(cloud.url), chunk=CHUNK)

    async def connect(self) -> None:
        await self.remote.connect()
        self.cloud.forget()

    async def write(self, content: BytesContent, expected: Version | None = None, ref: Ref = FILE) -> Outcome:
        return await self.writer.write(ref, content, expected=expected, journal=self.notes)

    def theirs(self, content: bytes = b"theirs, of another size") -> Version:
        return self.cloud.storage.put(FILE, content)

    async def now(self, ref: Ref = FILE) -> Version:
        observed = await self.writer.look(ref)
        assert observed is not None
        return observed.version

    @property
    def content(self) -> bytes:
        return self.cloud.storage.content(FILE)

    def nothing_left(self) -> bool:
        return not self.cloud.uploads and not self.notes.left


def done(outcome: Outcome) -> Observation:
    assert isinstance(outcome, Done), outcome
    assert outcome.observed is not None
    return outcome.observed


def left(outcome: Outcome) -> Staged:
    assert isinstance(outcome, Conflict | Later | Unknown), outcome
    assert outcome.staged is not None
    return outcome.staged


@contextmanager
def during(cloud: Cloud, where: str, act: Callable[[], object]) -> Iterator[None]:
    """Does something when the request has arrived that ends so, as in `path METHOD`."""
    cloud.on_arrival[where] = act
    yield
    assert where not in cloud.on_arrival, "that request never came"
