"""What the answers of a server to a change mean: nothing that it says is believed before the share was looked at."""

from __future__ import annotations

import pytest

from drivefs.errors import (
    BadAnswer,
    NotFound,
    NotPermitted,
    QuotaExceeded,
    Refused,
    RemoteError,
    ServerBusy,
    Unauthorized,
    Unreachable,
    VersionMismatch,
)
from drivefs.model import Kind, Ref
from drivefs.remote.webdav.conditions import if_header, if_match
from drivefs.remote.webdav.locks import locks_in
from drivefs.remote.webdav.session import CHANGE_SECONDS, STALL_SECONDS, patience_with
from drivefs.remote.webdav.verbs import worst_of
from drivefs.remote.webdav.writable import WritableWebDav
from drivefs.remote.writing import Conflict, Unknown
from drivefs.remote.writing import Refused as RefusedOutcome
from tests.remote.writing_contract import conflict, done, refused
from tests.support.scripted import HANGUP, Asked, file, folder, http, multistatus, scripted

NEW = Ref(("d", "new"))
PART = "<D:response><D:href>/x</D:href><D:status>HTTP/1.1 {} X</D:status></D:response>"


class Share:
    """A server that answers MKCOL as told, and shows `/d/new` as a folder when it is `there`."""

    def __init__(self, reply: bytes, *, there: bytes | None = None, parent: bool = True) -> None:
        self.reply = reply
        self.there = there
        self.parent = parent

    def __call__(self, asked: Asked) -> bytes:
        if asked.method != "PROPFIND":
            return self.reply
        if asked.target.startswith("/d/new"):
            return self.there or http(404)
        return http(207, multistatus(folder(asked.target))) if self.parent else http(404)


FOLDER = http(207, multistatus(folder("/d/new/")))


async def outcome_of(share: Share) -> object:
    """The outcome, or the error that was raised."""
    async with scripted(share) as server:
        remote = WritableWebDav(server.url)
        try:
            return await remote.mkdir(NEW)
        except RemoteError as error:
            return error
        finally:
            await remote.aclose()


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (http(400), Refused),
        (http(403), NotPermitted),
        (http(405), Refused),
        (http(409), Refused),
        (http(413), Refused),
        (http(424), Refused),
        (http(501), Refused),
        (http(301, Location="/d/new/"), BadAnswer),
        (http(201), BadAnswer),  # it says yes, and nothing is there
        (http(207, multistatus(PART.format(403))), NotPermitted),
    ],
)
async def test_refusals_that_stay(reply: bytes, error: type[RemoteError]) -> None:
    outcome = await outcome_of(Share(reply))
    assert isinstance(outcome, RefusedOutcome)
    assert type(outcome.error) is error


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (http(401), Unauthorized),
        (http(507), QuotaExceeded),
        (http(423, Retry_After="100"), ServerBusy),
        (http(429, Retry_After="100"), ServerBusy),
        (http(500, Retry_After="100"), ServerBusy),
        (http(503, Retry_After="100"), ServerBusy),
    ],
)
async def test_refusals_that_pass_are_raised(reply: bytes, error: type[RemoteError]) -> None:
    raised = await outcome_of(Share(reply))
    assert type(raised) is error
    assert getattr(raised, "retry_after", 100) == 100


@pytest.mark.parametrize("reply", [http(403), http(404), http(409), http(500)])
async def test_without_a_parent_that_is_what_is_told(reply: bytes) -> None:
    outcome = await outcome_of(Share(reply, parent=False))
    assert isinstance(outcome, RefusedOutcome)
    assert isinstance(outcome.error, NotFound)


@pytest.mark.parametrize("reply", [http(500), http(502), http(504), HANGUP, http(201)])
async def test_what_is_there_counts_more_than_an_unclear_answer(reply: bytes) -> None:
    async with scripted(Appearing(reply)) as server:
        remote = WritableWebDav(server.url)
        assert done(await remote.mkdir(NEW)).kind is Kind.DIRECTORY
        await remote.aclose()


class Appearing(Share):
    """Another answer to a look once the folder was asked for, whatever the reply said: by default, it is there."""

    def __init__(self, reply: bytes, later: bytes = FOLDER) -> None:
        super().__init__(reply)
        self.later = later

    def __call__(self, asked: Asked) -> bytes:
        if asked.method == "MKCOL":
            self.there = self.later
        return super().__call__(asked)


async def test_what_another_made_is_a_conflict() -> None:
    async with scripted(Appearing(http(405))) as server:
        remote = WritableWebDav(server.url)
        observed = conflict(await remote.mkdir(NEW)).observed
        assert observed is not None
        assert observed.kind is Kind.DIRECTORY
        await remote.aclose()


async def test_a_version_that_fits_and_is_refused_for_ever_is_told() -> None:
    """A proxy that makes its own ETags lets no condition hold."""

    def answer(asked: Asked) -> bytes:
        if asked.method == "OPTIONS":
            return http(200, DAV="1,2,3", Server="lighttpd/1")
        if asked.method == "PROPFIND":
            target = asked.target
            return http(207, multistatus(folder("/") if target == "/" else file(target)), Server="lighttpd/1")
        return http(412, Retry_After="100")

    async with scripted(answer) as server:
        remote = WritableWebDav(server.url)
        await remote.connect()
        await remote.prepare(NoJournal())
        observed = await remote.stat(Ref(("f",)))
        outcome = await remote.delete(Ref(("f",)), expected=observed.version)
        assert isinstance(refused(outcome).error, VersionMismatch)
        assert not isinstance(outcome, Conflict)
        await remote.aclose()


async def test_when_nobody_can_look_the_outcome_is_unknown() -> None:
    """Whatever the answer was: yes, or none at all."""
    for reply in (http(201), HANGUP):
        async with scripted(Appearing(reply, http(503, Retry_After="100"))) as server:
            remote = WritableWebDav(server.url)
            outcome = await remote.mkdir(NEW)
            assert isinstance(outcome, Unknown)
            assert isinstance(outcome.error, ServerBusy)
            await remote.aclose()


async def test_when_no_connection_was_made_nothing_can_have_been_changed() -> None:
    async with scripted(Share(http(201))) as server:
        url = server.url
    remote = WritableWebDav(url)
    with pytest.raises(Unreachable):
        await remote.mkdir(NEW)
    await remote.aclose()


class NoJournal:
    """For what leaves nothing behind."""

    async def begin(self, staged: object) -> None:
        raise AssertionError("nothing was to be staged")

    end = begin


def test_conditions_name_both_strengths_and_the_lock() -> None:
    assert if_header("http://h/f", "e") == {"If": '<http://h/f> (["e"]) ([W/"e"])'}
    assert if_header("http://h/f", "e", "t:1") == {"If": '<http://h/f> (<t:1> ["e"]) (<t:1> [W/"e"])'}
    assert if_header("http://h/f", None, "t:1") == {"If": "<http://h/f> (<t:1>)"}
    assert if_header("http://h/f", 'br"oken', "") == if_match(None) == {}


@pytest.mark.parametrize(
    ("statuses", "worst"), [((200, 204), 200), ((424, 423), 423), ((424,), 424), ((200, 403), 403), ((), 500)]
)
def test_the_worst_part_of_a_207_is_its_status(statuses: tuple[int, ...], worst: int) -> None:
    assert worst_of(multistatus(*(PART.format(status) for status in statuses))) == worst


def test_a_207_that_is_none_is_a_failure() -> None:
    assert worst_of(b"") == worst_of(b"<html>") == 500


def test_locks_are_told_by_their_owner() -> None:
    lock = (
        "<D:activelock><D:owner> {} </D:owner><D:locktoken><D:href>{}</D:href></D:locktoken>"
        "<D:lockroot><D:href>/f</D:href></D:lockroot></D:activelock>"
    )
    body = multistatus(lock.format("drivefs:1", "urn:1"), lock.format("<D:href>mailto:x</D:href>", "urn:2"))
    assert locks_in(body) == {"drivefs:1": "urn:1", "mailto:x": "urn:2"}
    with pytest.raises(BadAnswer):
        locks_in(b"<a>")


def test_servers_may_take_their_time_for_what_is_much_work() -> None:
    assert patience_with("MOVE").read == patience_with("PUT").read == CHANGE_SECONDS
    assert patience_with("PROPFIND").read == patience_with("LOCK").read == STALL_SECONDS


@pytest.mark.parametrize("change", ["delete", "replace by a move"])
async def test_what_the_server_does_not_check_is_compared_anew_before_each_attempt(change: str) -> None:
    """The file changes while the server is too busy: the second attempt must not hit the new version."""
    looks = 0

    def answer(asked: Asked) -> bytes:
        nonlocal looks
        if asked.method != "PROPFIND":
            return http(503, Retry_After="0")
        if asked.target == "/source":
            return http(207, multistatus(file("/source")))
        looks += 1
        return http(207, multistatus(file("/f", etag='"e1"' if looks <= 2 + (change != "delete") else '"e2"')))

    async with scripted(answer) as server:
        remote = WritableWebDav(server.url)
        target = Ref(("f",))
        version = (await remote.stat(target)).version
        if change == "delete":
            outcome = await remote.delete(target, expected=version)
        else:
            source = Ref(("source",))
            mine = (await remote.stat(source)).version
            outcome = await remote.move(source, target, expected=mine, replaces=version)
        observed = conflict(outcome).observed
        assert observed is not None
        assert observed.version.etag == "e2"
        assert len([asked for asked in server.requests if asked.method in ("DELETE", "MOVE")]) == 1
        await remote.aclose()
