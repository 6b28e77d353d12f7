"""A drive that must not change its share cannot: it is given a remote that has no way to, and nothing else has one."""

from __future__ import annotations

import ast
import inspect
import typing
from contextlib import suppress
from pathlib import Path

import drivefs
from drivefs.direction import POLICIES, Direction
from drivefs.errors import NotFound
from drivefs.model import Ref, Version
from drivefs.mount import daemon, drive
from drivefs.remote.base import Remote
from drivefs.remote.open import open_remote, open_writable_remote
from drivefs.remote.retry import SAFE_METHODS
from drivefs.remote.webdav import verbs
from drivefs.remote.webdav.client import WebDavRemote
from drivefs.remote.webdav.writable import WritableWebDav
from drivefs.remote.writing import WritableRemote
from tests.remote.conftest import Farm

SOURCES = Path(drivefs.__file__).parent
CHANGING = {"PUT", "MKCOL", "DELETE", "MOVE", "COPY", "LOCK", "UNLOCK", "PROPPATCH", "POST", "PATCH"}


def names_of(protocol: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(protocol) if not name.startswith("_")}


def test_a_remote_for_reading_has_no_method_that_changes() -> None:
    changes = names_of(WritableRemote) - names_of(Remote)
    assert {"write", "create", "commit", "discard", "mkdir", "delete", "move", "copy", "prepare"} <= changes
    remote = open_remote("http://127.0.0.1/")
    assert type(remote) is WebDavRemote
    assert [name for name in changes if hasattr(remote, name)] == []
    assert isinstance(open_writable_remote("http://127.0.0.1/"), WritableWebDav)


def test_a_drive_takes_its_remote_for_one_that_reads() -> None:
    """As long as no direction sends, nothing above the port may even name the writable kind."""
    assert not POLICIES[Direction.REMOTE_TO_LOCAL].changes_remote
    assert typing.get_type_hints(drive.Drive.__init__)["remote"] is Remote
    assert not hasattr(daemon, "open_writable_remote")


def test_requests_that_change_are_sent_from_one_file_only() -> None:
    senders = {path.relative_to(SOURCES).as_posix() for path in SOURCES.glob("remote/**/*.py") if sends_changes(path)}
    own = Path(inspect.getfile(verbs)).relative_to(SOURCES).as_posix()
    assert own in senders
    assert senders <= {own, "remote/share.py"}  # the embedded share is a server


def sends_changes(path: Path) -> bool:
    """Whether a method that changes something stands in a call there."""
    calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    arguments = (argument for call in calls for argument in call.args)
    return any(isinstance(argument, ast.Constant) and argument.value in CHANGING for argument in arguments)


async def test_reading_all_there_is_sends_no_request_that_changes(farm: Farm) -> None:
    for name in ("apache", "nginx", "rclone", "wsgidav"):
        methods: set[str] = set()
        world = farm.world(name)
        world.put(("folder", "file"), b"content")

        def note(event: str, method: str, path: str, methods: set[str] = methods) -> None:
            methods.add(method)

        remote = open_remote(f"{world.server.url}{world.folder}/", hook=note)
        await remote.connect()
        await remote.list(Ref())
        async with remote.read(Ref(("folder", "file")), version=Version()) as stream:
            assert await stream.receive() == b"content"
        await remote.space()
        with suppress(NotFound):
            await remote.stat(Ref(("nothing",)))
        await remote.aclose()
        assert methods <= SAFE_METHODS
        assert {"OPTIONS", "PROPFIND", "GET"} <= methods
