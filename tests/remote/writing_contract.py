"""What every remote must do with changes, whatever stands behind it. `test_writing_contract.py` runs it over all.

Where servers differ, the test asserts what the remote's capabilities claim: no case is left out for any of them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from types import TracebackType

import msgspec
import pytest
import trio

from drivefs.errors import NotFound, StoreError
from drivefs.model import Kind, Observation, Ref, Version
from drivefs.names import is_own
from drivefs.remote.content import BytesContent, BytesPieces, collect
from drivefs.remote.writing import NOTHING, Conflict, Done, Later, NewFile, Outcome, Refused, Staged, WritableRemote
from tests.remote.contract import ODD_NAMES
from tests.remote.journal import MemoryJournal
from tests.remote.worlds import OLD
from tests.remote.writing_worlds import WritableWorld

FILE = Ref(("file",))
OTHER = Ref(("other",))
LARGE = bytes(range(256)) * 4096 * 3
MORE_NAMES = (
    "&amp; <b>",
    "a?b#c%20d",
    "%C3%A9",
    "trailing space ",
    "...",
    "~$lock",
    "'",
    "a" * 200,
    ";",
    "+",
    "\\",
    "é" * 120,
)
NAMES = (*ODD_NAMES, *MORE_NAMES)


class BrokenContent(msgspec.Struct, frozen=True):
    """Content that is not as long as it says: only `data` comes, then an error, or the end."""

    data: bytes
    size: int
    error: bool = False
    mtime_ns: int | None = None

    def open(self, offset: int = 0) -> BrokenPieces:
        return BrokenPieces(self)


class BrokenPieces:
    def __init__(self, content: BrokenContent) -> None:
        self._content = content
        self._left = content.data

    async def __aenter__(self) -> BrokenPieces:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

    async def receive(self) -> bytes:
        await trio.lowlevel.checkpoint()
        piece, self._left = self._left[:65536], self._left[65536:]
        if not piece and self._content.error:
            raise StoreError("the disk failed")
        return piece


async def version_of(remote: WritableRemote, ref: Ref) -> Version:
    return (await remote.stat(ref)).version


def done(outcome: Outcome) -> Observation:
    """What stands there after a change that was made."""
    assert isinstance(outcome, Done), outcome
    assert outcome.observed is not None
    return outcome.observed


def conflict(outcome: Outcome) -> Conflict:
    assert isinstance(outcome, Conflict), outcome
    return outcome


def refused(outcome: Outcome) -> Refused:
    assert isinstance(outcome, Refused), outcome
    return outcome


def staged_in(outcome: Outcome, world: WritableWorld) -> Staged | None:
    """What waits after a conflict: it is on the share, or there is nothing of ours at all."""
    staged = conflict(outcome).staged
    own = {name for name in world.names() if is_own(name)}
    assert own == ({staged.place.name} if staged else set())
    return staged


async def put_away(remote: WritableRemote, outcome: Outcome, journal: MemoryJournal) -> None:
    staged = conflict(outcome).staged
    if staged is not None:
        await remote.discard(staged, journal)


class WritingContract:
    """Each test gets a connected and prepared remote, the world behind it (an empty share), and a journal."""

    async def test_a_file_is_created(
        self, writable: WritableRemote, world: WritableWorld, journal: MemoryJournal
    ) -> None:
        for name, data in (("file", b"content"), ("empty", b""), ("large", LARGE)):
            ref = Ref((name,))
            observed = done(await writable.write(ref, BytesContent(data), expected=NOTHING, journal=journal))
            assert (observed.kind, observed.name, observed.version.size) == (Kind.FILE, name, len(data))
            assert observed.version.same(await version_of(writable, ref))
            assert world.content((name,)) == data
        assert (world.names(), journal.left) == ({"file", "empty", "large"}, {})

    async def test_a_file_is_replaced_at_its_version(
        self, writable: WritableRemote, world: WritableWorld, journal: MemoryJournal
    ) -> None:
        world.put(("file",), b"old")
        before = await version_of(writable, FILE)
        observed = done(await writable.write(FILE, BytesContent(LARGE), expected=before, journal=journal))
        assert (observed.version.size, observed.version.same(before)) == (len(LARGE), False)
        assert world.content(("file",)) == LARGE
        assert (world.names(), journal.left) == ({"file"}, {})

    async def test_what_was_written_just_now_is_replaced_moved_and_deleted(
        self, writable: WritableRemote, world: WritableWorld, journal: MemoryJournal
    ) -> None:
        """ETags that are still weak, and versions that are not settled, serve as conditions."""
        first = done(await writable.write(FILE, BytesContent(b"1"), expected=NOTHING, journal=journal))
        second = done(await writable.write(FILE, BytesContent(b"22"), expected=first.version, journal=journal))
        moved = done(await writable.move(FILE, OTHER, expected=second.version))
        assert moved.version.same(second.version) or not writable.write_capabilities.moves_keep_version
        assert world.content(("other",)) == b"22"
        assert await writable.delete(OTHER, expected=moved.version) == Done()
        assert world.names() == set()

    async def test_a_name_that_is_taken_is_not_overwritten_by_a_new_file(
        self, writable: WritableRemote, world: WritableWorld, journal: MemoryJournal
    ) -> None:
        world.put(("file",), b"theirs")
        world.mkdir(("other",))
        for ref, kind in ((FILE, Kind.FILE), (OTHER, Kind.DIRECTORY)):
            outcome = await writable.write(ref, BytesContent(b"mine"), expected=NOTHING, journal=journal)
            observed = conflict(outcome).observed
            assert observed is not None
            assert (observed.kind, observed.name) == (kind, ref.name)
            staged_in(outcome, world)
            await put_away(writable, outcome, journal)
        assert world.content(("file",)) == b"theirs"
        assert (world.names(), journal.left) == ({"file", "other"}, {})

    async def test_a_file_that_changed_is_not_replaced(
        self, writable: WritableRemote, world: WritableWorld, journal: MemoryJournal
    ) -> None:
        world.put(("file",), b"old")
        before = await version_of(writable, FILE)
        world.put(("file",), b"theirs", mtime=OLD + 10)
        outcome = await writable.write(FILE, BytesContent(b"mine"), expected=before, journal=journal)
        observed = conflict(outcome).observed
        assert observed is not None
        assert observed.version.same(await version_of(writable, FILE))
        staged = staged_in(outcome, world)
        assert set(journal.left) == ({staged.place} if staged else set())
        assert world.content(("file",)) == b"theirs"
        await put_away(writable, outcome, journal)
        assert (world.names(), journal.left) == ({"file"}, {})

    async def test_a_file_that_went_away_is_not_replaced(
        self, writable: WritableRemote, world: WritableWorld, journal: MemoryJournal
    ) -> None:
        world.put(("file",), b"old")
        before = await version_of(writable, FILE)
        world.delete(("file",))
        outcome = await writable.write(FILE, BytesContent(b"mine"), expected=before, journal=journal)
        assert conflict(outcome).observed is None
        staged_in(outcome, world)
        await put_away(writable, outcome, journal)
        assert (world.names(), journal.left) == (set(), {})

    async def test_a_folder_is_never_replaced_by_a_file(
        self, writable: WritableRemote, world: WritableWorld, journal: MemoryJournal
    ) -> None:
        world.put(("file",), b"old")
        before = await version_of(writable, FILE)
        world.delete(("file",))
        world.put(("file", "inside"), b"theirs")
        outcome = await writable.write(FILE, BytesContent(b"mine"), expected=before, journal=journal)
        observed = conflict(outcome).observed
        assert observed is not None
        assert observed.kind is Kind.DIRECTORY
        await put_away(writable, outcome, journal)
        assert conflict(await writable.delete(FILE, expected=before)).observed is not None
        assert conflict(await writable.move(FILE, OTHER, expected=before)).observed is not None
        assert world.content(("file", "inside")) == b"theirs"
        assert (world.names(), journal.left) == ({"file"}, {})

    async def test_bytes_that_wait_are_committed_without_a_second_upload(
        self, writable: WritableRemote, world: WritableWorld, journal: MemoryJournal
    ) -> None:
        world.put(("file",), b"old")
        before = await version_of(writable, FILE)
        world.put(("file",), b"theirs", mtime=OLD + 10)
        outcome = await writable.write(FILE, BytesContent(b"mine"), expected=before, journal=journal)
        staged = conflict(outcome).staged
        sent = writable.traffic.up_bytes
        if staged is None:  # a server that checks a PUT: nothing was kept
            assert writable.write_capabilities.checks_put
            return
        again = await writable.commit(staged, FILE, expected=before, journal=journal)
        assert conflict(again).staged == staged
        done(await writable.commit(staged, OTHER, expected=NOTHING, journal=journal))
        assert (world.content(("file",)), world.content(("other",))) == (b"theirs", b"mine")
        assert (world.names(), journal.left, writable.traffic.up_bytes) == ({"file", "other"}, {}, sent)
        refused(await writable.commit(staged, FILE, expected=NOTHING, journal=journal))

    async def test_bytes_that_wait_may_take_over_what_is_there_now(
        self, writable: WritableRemote, world: WritableWorld, journal: MemoryJournal
    ) -> None:
        world.put(("file",), b"theirs")
        outcome = await writable.write(FILE, BytesContent(b"mine"), expected=NOTHING, journal=journal)
        staged, observed = conflict(outcome).staged, conflict(outcome).observed
        assert observed is not None
        if staged is None:
            outcome = await writable.write(FILE, BytesContent(b"mine"), expected=observed.version, journal=journal)
        else:
            outcome = await writable.commit(staged, FILE, expected=observed.version, journal=journal)
        done(outcome)
        assert (world.content(("file",)), world.names(), journal.left) == (b"mine", {"file"}, {})

    async def test_what_a_crash_left_is_discarded_from_the_journal(
        self, writable: WritableRemote, world: WritableWorld, journal: MemoryJournal
    ) -> None:
        name = ".~drivefs-0123456789abcdef"
        world.put((name,), b"left")
        for _ in range(2):  # the second time it is gone already
            staged = Staged(Ref((name,)), FILE, 4, token="urn:uuid:00000000-0000-0000-0000-000000000000")
            await journal.begin(staged)
            await writable.discard(staged, journal)
            assert (world.names(), journal.left) == (set(), {})

    async def test_a_write_that_was_interrupted_is_made_anew_and_leaves_nothing(
        self, writable: WritableRemote, world: WritableWorld, journal: MemoryJournal
    ) -> None:
        name = ".~drivefs-0123456789abcdef"
        world.put((name,), b"par")
        left = Staged(Ref((name,)), FILE, 4)
        await journal.begin(left)
        done(await writable.write(FILE, BytesContent(b"part"), expected=NOTHING, journal=journal, resume=left))
        assert (world.content(("file",)), world.names(), journal.left) == (b"part", {"file"}, {})

    async def test_only_our_own_names_are_discarded(
        self, writable: WritableRemote, world: WritableWorld, journal: MemoryJournal
    ) -> None:
        world.put(("file",), b"theirs")
        with pytest.raises(AssertionError):
            await writable.discard(Staged(FILE, FILE, 4), journal)
        assert world.content(("file",)) == b"theirs"

    async def test_nothing_is_created_where_there_is_no_folder(
        self, writable: WritableRemote, world: WritableWorld, journal: MemoryJournal
    ) -> None:
        world.put(("file",), b"1")
        expected = await version_of(writable, FILE)
        lost = Ref(("no folder", "new"))
        for outcome in (
            await writable.write(lost, BytesContent(b"mine"), expected=NOTHING, journal=journal),
            await writable.mkdir(lost),
            await writable.move(FILE, lost, expected=expected),
            await writable.copy(FILE, lost, expected=expected),
        ):
            assert isinstance(refused(outcome).error, NotFound)
        assert (world.names(), journal.left) == ({"file"}, {})

    @pytest.mark.parametrize("fault", ["short", "long", "error"])
    async def test_content_that_breaks_leaves_what_was_there(
        self, writable: WritableRemote, world: WritableWorld, journal: MemoryJournal, fault: str
    ) -> None:
        world.put(("file",), b"old")
        before = await version_of(writable, FILE)
        size = len(LARGE) + {"short": 1, "long": -1, "error": 10_000_000}[fault]
        for ref, expected in ((FILE, before), (OTHER, NOTHING)):
            with pytest.raises(StoreError):
                await writable.write(
                    ref, BrokenContent(LARGE, size, fault == "error"), expected=expected, journal=journal
                )
        assert world.content(("file",)) == b"old"
        for staged in list(journal.left.values()):  # what might have appeared late
            await writable.discard(staged, journal)
        assert (world.names(), journal.left) == ({"file"}, {})

    # Folders

    async def test_a_folder_is_made(self, writable: WritableRemote, world: WritableWorld) -> None:
        assert done(await writable.mkdir(Ref(("new",)))).kind is Kind.DIRECTORY
        assert done(await writable.mkdir(Ref(("new", "inner")))).name == "inner"
        assert (world.names(), world.names(("new",))) == ({"new"}, {"inner"})

    async def test_what_is_there_already_is_told_instead(self, writable: WritableRemote, world: WritableWorld) -> None:
        world.put(("file",), b"1")
        world.put(("folder", "inside"), b"1")
        for name, kind in (("file", Kind.FILE), ("folder", Kind.DIRECTORY)):
            observed = conflict(await writable.mkdir(Ref((name,)))).observed
            assert observed is not None
            assert observed.kind is kind
        assert (world.content(("file",)), world.names(("folder",))) == (b"1", {"inside"})

    async def test_an_empty_folder_is_deleted_and_a_full_one_only_on_purpose(
        self, writable: WritableRemote, world: WritableWorld
    ) -> None:
        world.mkdir(("empty",))
        world.put(("full", "inside"), b"1")
        outcome = await writable.delete(Ref(("empty",)), expected=await version_of(writable, Ref(("empty",))))
        if writable.capabilities.hides_dotfiles:  # nobody can tell that it is empty
            refused(outcome)
            world.delete(("empty",))
        else:
            assert outcome == Done()
        full = Ref(("full",))
        expected = await version_of(writable, full)
        assert isinstance(await writable.delete(full, expected=expected), Conflict | Refused)
        assert world.names(("full",)) == {"inside"}
        assert await writable.delete(full, expected=expected, recursive=True) == Done()
        assert world.names() == set()

    async def test_a_folder_is_moved_with_all_that_is_in_it(
        self, writable: WritableRemote, world: WritableWorld
    ) -> None:
        world.put(("a", "b", "file"), b"1")
        world.mkdir(("x",))
        expected = await version_of(writable, Ref(("a",)))
        assert done(await writable.move(Ref(("a",)), Ref(("x", "y")), expected=expected)).kind is Kind.DIRECTORY
        assert (world.names(), world.content(("x", "y", "b", "file"))) == ({"x"}, b"1")

    async def test_a_folder_takes_no_name_that_is_taken(self, writable: WritableRemote, world: WritableWorld) -> None:
        world.put(("a", "mine"), b"1")
        world.put(("b", "theirs"), b"2")
        world.put(("file",), b"3")
        expected = await version_of(writable, Ref(("a",)))
        for target in (Ref(("b",)), FILE):
            observed = conflict(await writable.move(Ref(("a",)), target, expected=expected)).observed
            assert observed is not None
            assert observed.name == target.name
        refused(await writable.move(Ref(("a",)), Ref(("a", "c")), expected=expected))
        assert (world.names(("a",)), world.names(("b",)), world.content(("file",))) == ({"mine"}, {"theirs"}, b"3")

    # Delete, move, copy of files

    async def test_a_file_is_deleted_at_its_version_only(self, writable: WritableRemote, world: WritableWorld) -> None:
        world.put(("file",), b"old")
        before = await version_of(writable, FILE)
        world.put(("file",), b"theirs", mtime=OLD + 10)
        observed = conflict(await writable.delete(FILE, expected=before)).observed
        assert observed is not None
        assert world.content(("file",)) == b"theirs"
        assert await writable.delete(FILE, expected=observed.version) == Done()
        assert world.names() == set()
        assert await writable.delete(FILE, expected=observed.version) == Done()  # as wanted

    async def test_a_file_is_moved_at_its_version_only(self, writable: WritableRemote, world: WritableWorld) -> None:
        world.mkdir(("folder",))
        world.put(("file",), b"old")
        before = await version_of(writable, FILE)
        world.put(("file",), b"theirs", mtime=OLD + 10)
        target = Ref(("folder", "moved"))
        observed = conflict(await writable.move(FILE, target, expected=before)).observed
        assert observed is not None
        assert (world.content(("file",)), world.names(("folder",))) == (b"theirs", set())
        moved = done(await writable.move(FILE, target, expected=observed.version))
        assert (moved.name, moved.version.size) == ("moved", 6)
        assert (world.names(), world.content(("folder", "moved"))) == ({"folder"}, b"theirs")
        assert conflict(await writable.move(FILE, OTHER, expected=observed.version)).observed is None

    async def test_a_moved_file_takes_no_name_that_is_taken(
        self, writable: WritableRemote, world: WritableWorld
    ) -> None:
        world.put(("file",), b"mine")
        world.put(("other",), b"theirs")
        expected = await version_of(writable, FILE)
        observed = conflict(await writable.move(FILE, OTHER, expected=expected)).observed
        assert observed is not None
        assert observed.name == "other"
        assert (world.content(("file",)), world.content(("other",))) == (b"mine", b"theirs")

    async def test_a_moved_file_replaces_another_at_its_version_only(
        self, writable: WritableRemote, world: WritableWorld
    ) -> None:
        world.put(("file",), b"mine")
        world.put(("other",), b"old")
        expected, before = await version_of(writable, FILE), await version_of(writable, OTHER)
        world.put(("other",), b"theirs", mtime=OLD + 10)
        outcome = await writable.move(FILE, OTHER, expected=expected, replaces=before)
        observed = conflict(outcome).observed
        assert observed is not None
        assert (world.content(("file",)), world.content(("other",))) == (b"mine", b"theirs")
        done(await writable.move(FILE, OTHER, expected=expected, replaces=observed.version))
        assert (world.names(), world.content(("other",))) == ({"other"}, b"mine")

    async def test_a_name_changes_its_case(self, writable: WritableRemote, world: WritableWorld) -> None:
        world.put(("readme",), b"1")
        expected = await version_of(writable, Ref(("readme",)))
        assert done(await writable.move(Ref(("readme",)), Ref(("README",)), expected=expected)).name == "README"
        assert world.names() == {"README"}

    async def test_a_file_is_copied_at_its_version_to_a_free_name(
        self, writable: WritableRemote, world: WritableWorld
    ) -> None:
        world.put(("file",), LARGE)
        expected = await version_of(writable, FILE)
        observed = done(await writable.copy(FILE, OTHER, expected=expected))
        assert (observed.name, observed.version.size) == ("other", len(LARGE))
        assert (world.content(("file",)), world.content(("other",))) == (LARGE, LARGE)
        world.put(("file",), b"theirs", mtime=OLD + 10)
        assert conflict(await writable.copy(FILE, Ref(("third",)), expected=expected)).observed is not None
        expected = await version_of(writable, FILE)
        assert conflict(await writable.copy(FILE, OTHER, expected=expected)).observed is not None
        assert (world.names(), world.content(("other",))) == ({"file", "other"}, LARGE)

    # Names, batches, many at once

    async def test_odd_names_are_written_moved_and_deleted(
        self, writable: WritableRemote, world: WritableWorld, journal: MemoryJournal
    ) -> None:
        assert len({unicodedata.normalize("NFC", name) for name in NAMES}) < len(NAMES)
        done(await writable.mkdir(Ref(("names",))))
        usable = [name for name in NAMES if not set(name) & set(writable.write_capabilities.unusable)]
        for name in usable:
            ref, moved = Ref(("names", name)), Ref(("names", name[:60] + "→"))
            first = done(await writable.write(ref, BytesContent(b"1"), expected=NOTHING, journal=journal))
            done(await writable.write(ref, BytesContent(name.encode()), expected=first.version, journal=journal))
            assert world.content(ref.path) == name.encode()
            expected = await version_of(writable, ref)
            at_other_name = done(await writable.move(ref, moved, expected=expected))
            assert at_other_name.name == moved.name
            done(await writable.move(moved, ref, expected=at_other_name.version))
        assert world.names(("names",)) == set(usable)
        for name in usable[::4]:
            ref = Ref(("names", name))
            assert await writable.delete(ref, expected=await version_of(writable, ref)) == Done()
        assert (world.names(("names",)), journal.left) == (set(usable) - set(usable[::4]), {})

    async def test_names_that_the_server_would_confuse_are_refused(
        self, writable: WritableRemote, world: WritableWorld, journal: MemoryJournal
    ) -> None:
        """A rename to a shortened name could replace another file."""
        world.put(("file",), b"1")
        expected = await version_of(writable, FILE)
        for character in writable.write_capabilities.unusable:
            name = f"na{character}me"
            world.put(("na",), b"theirs")
            world.put((name,), b"old")
            ref = Ref((name,))
            before = await version_of(writable, ref)
            refused(await writable.write(ref, BytesContent(b"new"), expected=before, journal=journal))
            refused(await writable.move(FILE, ref, expected=expected, replaces=before))
            refused(await writable.copy(FILE, Ref((f"{name}2",)), expected=expected))
            assert await writable.delete(ref, expected=before) == Done()
            assert (world.names(), world.content(("na",))) == ({"file", "na"}, b"theirs")
        assert journal.left == {}

    async def test_folders_may_have_odd_names_and_change_them(
        self, writable: WritableRemote, world: WritableWorld
    ) -> None:
        for name in NAMES[::3]:
            ref, moved = Ref((name,)), Ref((name[:60] + "→",))
            done(await writable.mkdir(ref))
            done(await writable.mkdir(ref.child(name)))
            if not set(name) & set(writable.write_capabilities.unusable):
                done(await writable.move(ref, moved, expected=await version_of(writable, ref)))
                assert world.names(moved.path) == {name}
                done(await writable.move(moved, ref, expected=await version_of(writable, moved)))
            assert world.names(ref.path) == {name}

    async def test_a_batch_creates_what_is_not_there(
        self, writable: WritableRemote, world: WritableWorld, journal: MemoryJournal
    ) -> None:
        world.put(("folder", "taken"), b"theirs")
        files = [NewFile(f"file {number}", BytesContent(b"x" * number)) for number in range(20)]
        files += [NewFile("taken", BytesContent(b"mine")), NewFile(".dotfile", BytesContent(b"dot"))]
        files += [NewFile("broken", BrokenContent(LARGE, len(LARGE) + 1, error=True))]
        folder = Ref(("folder",))
        outcomes: Sequence[Outcome] = await writable.create(folder, files, journal)
        assert len(outcomes) == len(files)
        for file, outcome in zip(files, outcomes, strict=True):
            if file.name == "taken":
                await put_away(writable, outcome, journal)
            elif file.name == "broken":
                assert isinstance(outcome, Later)
                assert isinstance(outcome.error, StoreError)
            else:
                observed = done(outcome)
                assert (observed.name, observed.version.size) == (file.name, file.content.size)
                assert observed.version.same(await version_of(writable, folder.child(file.name)))
                assert world.content(("folder", file.name)) == await collect(file.content)
        assert world.content(("folder", "taken")) == b"theirs"
        for staged in list(journal.left.values()):  # what might have appeared late
            await writable.discard(staged, journal)
        assert (world.names(("folder",)), journal.left) == ({file.name for file in files} - {"broken"}, {})

    async def test_a_batch_for_a_folder_that_is_gone_is_refused_one_by_one(
        self, writable: WritableRemote, world: WritableWorld, journal: MemoryJournal
    ) -> None:
        files = [NewFile(f"{number}", BytesContent(b"1")) for number in range(5)]
        for outcome in await writable.create(Ref(("gone",)), files, journal):
            assert isinstance(refused(outcome).error, NotFound)
        assert (world.names(), journal.left) == (set(), {})

    async def test_changes_run_side_by_side(
        self, writable: WritableRemote, world: WritableWorld, journal: MemoryJournal
    ) -> None:
        async def live(number: int) -> None:
            ref = Ref((f"file {number}",))
            first = done(await writable.write(ref, BytesContent(b"1"), expected=NOTHING, journal=journal))
            data = BytesContent(str(number).encode() * 3)
            second = done(await writable.write(ref, data, expected=first.version, journal=journal))
            if number % 2:
                assert await writable.delete(ref, expected=second.version) == Done()

        async with trio.open_nursery() as nursery:
            for number in range(12):
                nursery.start_soon(live, number)
        assert (world.names(), journal.left) == ({f"file {number}" for number in range(0, 12, 2)}, {})
        assert world.content(("file 4",)) == b"444"

    async def test_a_cancelled_upload_leaves_what_was_there(
        self, writable: WritableRemote, world: WritableWorld, journal: MemoryJournal
    ) -> None:
        world.put(("file",), b"old")
        before = await version_of(writable, FILE)
        for expected, ref in ((before, FILE), (NOTHING, OTHER)):
            with trio.CancelScope() as scope:
                await writable.write(ref, CancellingContent(LARGE, scope), expected=expected, journal=journal)
            assert scope.cancelled_caught
        for staged in list(journal.left.values()):
            await writable.discard(staged, journal)
        assert (world.names(), world.content(("file",)), journal.left) == ({"file"}, b"old", {})
        done(await writable.write(FILE, BytesContent(b"new"), expected=before, journal=journal))


class CancellingContent:
    """Cancels its own sending when some of it has gone out."""

    mtime_ns: int | None = None

    def __init__(self, data: bytes, scope: trio.CancelScope) -> None:
        self.size = len(data)
        self._data = data
        self._scope = scope

    def open(self, offset: int = 0) -> CancellingPieces:
        return CancellingPieces(self._data, self._scope)


class CancellingPieces(BytesPieces):
    def __init__(self, data: bytes, scope: trio.CancelScope) -> None:
        super().__init__(data, 0)
        self._scope = scope
        self._given = 0

    async def receive(self) -> bytes:
        piece = await super().receive()
        self._given += len(piece)
        if self._given > len(LARGE) // 2:
            self._scope.cancel()
        return piece
