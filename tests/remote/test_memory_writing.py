"""What only the share in memory does with changes: races on purpose, others' locks, room; and the fault wrapper."""

from __future__ import annotations

import msgspec
import pytest

from drivefs.errors import QuotaExceeded, ServerBusy, Unreachable
from drivefs.model import Ref
from drivefs.names import is_own, staging_name
from drivefs.remote.content import BytesContent, BytesPieces
from drivefs.remote.faulty import Call, Fault
from drivefs.remote.faulty_writing import FaultyWritable
from drivefs.remote.memory import MemoryRemote, Options
from drivefs.remote.memory_writing import PERFECT, WritableMemory
from drivefs.remote.writing import (
    NOTHING,
    Conflict,
    Done,
    Later,
    NewFile,
    Unknown,
    WritableRemote,
    WriteCapabilities,
    as_expected,
)
from tests.remote.journal import MemoryJournal
from tests.remote.writing_contract import FILE, conflict, done

CARELESS = WriteCapabilities()


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


def as_remote(remote: WritableRemote) -> WritableRemote:
    """Only typed: mypy proves that the memory remote and the fault wrapper keep the port."""
    return remote


@pytest.mark.parametrize("capabilities", [PERFECT, CARELESS], ids=["perfect", "careless"])
async def test_who_comes_in_between_is_seen_where_the_share_checks(
    journal: MemoryJournal, capabilities: WriteCapabilities
) -> None:
    share = MemoryRemote()
    before = share.put("file", b"old")
    remote = WritableMemory(share, capabilities)
    remote.race = lambda method, ref: share.put(ref, b"theirs")
    outcome = await as_remote(remote).write(FILE, BytesContent(b"mine"), expected=before, journal=journal)
    if capabilities is PERFECT:
        assert isinstance(outcome, Conflict)
        assert share.content("file") == b"theirs"
    else:  # the window of such a share
        done(outcome)
        assert share.content("file") == b"mine"


async def test_a_new_name_is_never_taken_over_by_a_rename(journal: MemoryJournal) -> None:
    share = MemoryRemote()
    remote = WritableMemory(share, CARELESS)
    remote.race = lambda method, ref: share.put(ref, b"theirs")
    outcome = conflict(await remote.write(FILE, BytesContent(b"mine"), expected=NOTHING, journal=journal))
    assert share.content("file") == b"theirs"
    assert outcome.staged is not None
    assert set(journal.left) == {outcome.staged.place}


async def test_others_locks_let_the_bytes_wait(journal: MemoryJournal) -> None:
    share = MemoryRemote()
    before = share.put("file", b"old")
    remote = WritableMemory(share, msgspec.structs.replace(PERFECT, checks_put=False))
    remote.locked.add(FILE.path)
    outcome = await remote.write(FILE, BytesContent(b"mine"), expected=before, journal=journal)
    assert isinstance(outcome, Later)
    assert outcome.staged is not None
    with pytest.raises(ServerBusy):
        await remote.delete(FILE, expected=before)
    remote.locked.clear()
    done(await remote.commit(outcome.staged, FILE, expected=before, journal=journal))
    assert (share.content("file"), share.names(), journal.left) == (b"mine", {"file"}, {})


async def test_a_full_share_takes_nothing(journal: MemoryJournal) -> None:
    share = MemoryRemote(Options(total_bytes=10))
    for capabilities in (PERFECT, CARELESS):
        remote = WritableMemory(share, capabilities)
        with pytest.raises(QuotaExceeded):
            await remote.write(FILE, BytesContent(b"x" * 11), expected=NOTHING, journal=journal)
        (outcome,) = await remote.create(Ref(), [NewFile("file", BytesContent(b"x" * 11))], journal)
        assert isinstance(outcome, Later)
        assert (share.names(), journal.left) == (set(), {})


async def test_a_change_fails_before_or_its_answer_is_lost(journal: MemoryJournal) -> None:
    share = MemoryRemote()
    faults = {1: Fault(before=Unreachable("cable")), 2: Fault(after=Unreachable("cable"))}
    remote = FaultyWritable(WritableMemory(share), lambda call: faults.get(call.number))
    with pytest.raises(Unreachable):
        await as_remote(remote).mkdir(FILE)
    assert share.names() == set()
    assert isinstance(await remote.mkdir(FILE), Unknown)
    assert share.names() == {"file"}
    assert isinstance(await remote.mkdir(FILE), Conflict)
    assert remote.calls == [Call(number, "mkdir", FILE) for number in (1, 2, 3)]


async def test_an_upload_that_is_cut_leaves_nothing(journal: MemoryJournal) -> None:
    for capabilities in (PERFECT, CARELESS):
        share = MemoryRemote()
        before = share.put("file", b"old")
        remote = FaultyWritable(WritableMemory(share, capabilities), lambda call: Fault(cut=100_000))
        with pytest.raises(Unreachable):
            await remote.write(FILE, BytesContent(bytes(200_000)), expected=before, journal=journal)
        assert (share.content("file"), share.names(), journal.left) == (b"old", {"file"}, {})


async def test_faults_hit_single_files_of_a_batch(journal: MemoryJournal) -> None:
    share = MemoryRemote()
    faults = {"/cut": Fault(cut=1), "/lost": Fault(after=Unreachable("cable"))}
    remote = FaultyWritable(WritableMemory(share), lambda call: faults.get(str(call.ref)))
    files = [NewFile(name, BytesContent(b"123")) for name in ("fine", "cut", "lost")]
    outcomes = await remote.create(Ref(), files, journal)
    assert [type(outcome) for outcome in outcomes] == [Done, Later, Unknown]
    assert share.names() == {"fine", "lost"}


async def test_half_of_an_upload_shows_where_put_is_not_atomic(journal: MemoryJournal) -> None:
    """Under our staging name, never under the final one."""
    for capabilities, shows in ((CARELESS, True), (msgspec.structs.replace(CARELESS, atomic_put=True), False)):
        share = MemoryRemote()
        watched = Watched(share)
        done(await WritableMemory(share, capabilities).write(FILE, watched, expected=NOTHING, journal=journal))
        assert (max(watched.seen) > 0, share.names()) == (shows, {"file"})


class Watched:
    """Content that looks, while it is sent, how much of it is on the share."""

    size = 300_000
    mtime_ns: int | None = None

    def __init__(self, share: MemoryRemote) -> None:
        self.share = share
        self.seen = [0]

    def open(self, offset: int = 0) -> WatchedPieces:
        return WatchedPieces(self)


class WatchedPieces(BytesPieces):
    def __init__(self, watched: Watched) -> None:
        super().__init__(bytes(watched.size), 0)
        self.watched = watched

    async def receive(self) -> bytes:
        share = self.watched.share
        assert all(is_own(name) for name in share.names())
        self.watched.seen += [len(share.content(name)) for name in share.names()]
        return await super().receive()


async def test_what_is_expected_is_compared_by_kind() -> None:
    share = MemoryRemote(Options(file_ids=True, tree_etags=True))
    file = share.put("file", b"1")
    share.mkdir("folder")
    folder = share.look("folder")
    assert folder is not None
    share.put("folder/inside", b"1")  # its ETag moves, and it is the same folder
    assert as_expected(share.look("folder"), folder.version)
    assert not as_expected(share.look("folder"), file)
    assert not as_expected(share.look("file"), folder.version)
    assert as_expected(share.look("nothing"), NOTHING)
    assert not as_expected(share.look("file"), NOTHING)
    assert not as_expected(None, file)


def test_staging_names_are_ours_and_never_the_same() -> None:
    names = {staging_name() for _ in range(100)}
    assert len(names) == 100
    assert all(is_own(name) and len(name) <= 40 for name in names)
