"""The control socket, a real one: who may connect, what is answered, how errors travel."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest
import trio

from drivefs import errors
from drivefs.control.client import BrokenOff, ControlClient, NoDaemon, error_of
from drivefs.control.messages import DriveStatus, Failure, Progress, SyncRequest
from drivefs.control.server import bind_socket, failure_of, serve
from tests.control.fake import STATUS, FakeControl

Answer = TypeVar("Answer")


@asynccontextmanager
async def serving(control: FakeControl, path: Path) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, control, path)
        yield
        nursery.cancel_scope.cancel()


async def ask(path: Path, question: Callable[[ControlClient], Answer]) -> Answer:
    """Ask in a thread, as another process would."""

    def run() -> Answer:
        with ControlClient(path) as client:
            return question(client)

    with trio.fail_after(20):
        return await trio.to_thread.run_sync(run)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "drive.sock"


async def test_status_is_answered(path: Path) -> None:
    async with serving(FakeControl(), path):
        assert await ask(path, ControlClient.status) == STATUS


async def test_only_the_owner_may_connect(path: Path) -> None:
    path.parent.mkdir(mode=0o755)
    async with serving(FakeControl(), path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_the_socket_goes_with_its_daemon(path: Path) -> None:
    async with serving(FakeControl(), path):
        pass
    assert not path.exists()
    with pytest.raises(NoDaemon):
        await ask(path, ControlClient.status)


async def test_the_socket_of_a_dead_daemon_is_replaced(path: Path) -> None:
    bind_socket(path).close()
    assert path.is_socket()
    async with serving(FakeControl(), path):
        assert await ask(path, ControlClient.status) == STATUS


async def test_the_socket_of_a_live_daemon_is_left_alone(path: Path) -> None:
    async with serving(FakeControl(), path):
        with pytest.raises(errors.UsageError, match="another drivefs process answers here"):
            bind_socket(path)
        assert await ask(path, ControlClient.status) == STATUS


def test_a_file_in_the_way_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("precious")
    with pytest.raises(errors.UsageError, match="in the way of the control socket"):
        bind_socket(path)
    assert path.read_text() == "precious"


async def test_names_that_are_no_text_are_asked_for_exactly(path: Path) -> None:
    control = FakeControl()
    async with serving(control, path):
        entry = await ask(path, lambda client: client.entry_status("a/\udcff é\n"))
    assert control.asked == ["a/\udcff é\n"]
    assert entry.path == "a/\udcff é\n"


async def test_an_error_travels_with_class_text_and_exit_code(path: Path) -> None:
    async with serving(FakeControl(), path):
        with pytest.raises(errors.NoSuchEntry, match="missing: no such entry"):
            await ask(path, lambda client: client.entry_status("missing"))


async def test_a_sync_reports_progress_and_its_result(path: Path) -> None:
    control = FakeControl()
    seen: list[Progress] = []

    def progress(event: Progress) -> None:
        seen.append(event)
        trio.from_thread.run_sync(control.may_finish.set)

    async with serving(control, path):
        result = await ask(path, lambda client: client.sync(SyncRequest(accept_deletes=True), progress))
    assert result == control.result
    assert control.asked == [SyncRequest(dry_run=False, accept_deletes=True, wait=True)]
    assert seen[0].transfers == STATUS.transfers


async def test_a_sync_that_is_not_waited_for_answers_at_once(path: Path) -> None:
    control = FakeControl()
    async with serving(control, path):
        result = await ask(path, lambda client: client.sync(SyncRequest(wait=False), lambda event: None))
    assert result == control.result
    assert not control.may_finish.is_set()


async def test_a_sync_that_fails_raises_the_error_of_the_daemon(path: Path) -> None:
    control = FakeControl(sync_result=errors.Unauthorized("wrong password for u"))
    async with serving(control, path):
        with pytest.raises(errors.Unauthorized, match="wrong password for u"):
            await ask(path, lambda client: client.sync(SyncRequest(wait=False), lambda event: None))


async def test_a_client_that_goes_away_does_not_stop_a_sync(path: Path) -> None:
    control = FakeControl()

    class Gone(Exception):
        pass

    def go_away(event: Progress) -> None:
        raise Gone

    async with serving(control, path):
        with pytest.raises(Gone):
            await ask(path, lambda client: client.sync(SyncRequest(), go_away))
        assert await ask(path, ControlClient.status) == STATUS
        control.may_finish.set()
        with trio.fail_after(10):
            await control.finished.wait()


async def test_unmount_is_ordered(path: Path) -> None:
    control = FakeControl()
    async with serving(control, path):
        await ask(path, ControlClient.unmount)
    assert control.unmounting.is_set()


async def test_a_daemon_that_ends_in_the_middle_is_not_a_success(path: Path) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, FakeControl(), path)

        def end_it(event: Progress) -> None:
            trio.from_thread.run_sync(nursery.cancel_scope.cancel)

        with trio.CancelScope(shield=True), pytest.raises(errors.DriveError, match="ended before the sync was done"):
            await ask(path, lambda client: client.sync(SyncRequest(), end_it))


async def test_an_answer_that_breaks_off_is_not_a_success(path: Path) -> None:
    async def answer_half(stream: trio.SocketStream) -> None:
        if await stream.receive_some():
            await stream.send_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")

    bound = trio.socket.from_stdlib_socket(bind_socket(path))
    bound.listen()
    listener = trio.SocketListener(bound)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, answer_half, [listener])
        with pytest.raises(BrokenOff):
            await ask(path, lambda client: client.sync(SyncRequest(), lambda event: None))
        nursery.cancel_scope.cancel()


async def test_a_defect_of_the_daemon_is_one_clear_line(path: Path, expected_warnings: list[str]) -> None:
    class Defective(FakeControl):
        async def status(self) -> DriveStatus:
            raise ZeroDivisionError

    expected_warnings.append("Error in ASGI Framework")
    async with serving(Defective(), path):
        with pytest.raises(errors.DriveError, match="an error inside the daemon; its log tells more"):
            await ask(path, ControlClient.status)


async def test_a_request_that_is_no_request_is_answered(path: Path) -> None:
    async with serving(FakeControl(), path):
        stream = await trio.open_unix_socket(path)
        await stream.send_all(b"POST /sync HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\nconnection: close\r\n\r\n[{]}")
        with trio.fail_after(10):
            answer = b"".join([piece async for piece in stream])
        await stream.aclose()
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"not understood" in answer


def all_errors(kind: type[errors.DriveError] = errors.DriveError) -> list[type[errors.DriveError]]:
    here = [kind] if kind.__module__ == "drivefs.errors" else []
    return here + [error for child in kind.__subclasses__() for error in all_errors(child)]


@pytest.mark.parametrize("kind", all_errors())
def test_every_error_comes_out_as_it_went_in(kind: type[errors.DriveError]) -> None:
    again = error_of(failure_of(kind("what happened")))
    assert (type(again), str(again), again.exit_code) == (kind, "what happened", kind.exit_code)


def test_an_error_of_a_newer_daemon_keeps_its_exit_code() -> None:
    again = error_of(Failure("FromTheFuture", "text", 5))
    assert (str(again), again.exit_code) == ("text", 5)
