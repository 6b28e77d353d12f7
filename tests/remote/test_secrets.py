"""No secret comes out: not in errors and what led to them, not in reprs, not in the log, not in what hooks are told."""

from __future__ import annotations

import base64
import logging
import traceback
from collections.abc import Callable

import pytest

from drivefs.errors import DriveError
from drivefs.model import Ref
from drivefs.remote import retry
from drivefs.remote.open import open_remote
from drivefs.remote.webdav.auth import Credentials, Scheme
from drivefs.remote.webdav.client import WebDavRemote
from tests.support.digests import DigestShare
from tests.support.scripted import HANGUP, Asked, Parts, folder, http, multistatus, scripted

PASSWORD, COOKIE = "pass-w0rd-of-ann", "session-of-ann-4711"
SECRETS = (PASSWORD, COOKIE, base64.b64encode(f"ann:{PASSWORD}".encode()).decode())


def share(asked: Asked) -> bytes:
    content = multistatus(folder(asked.target))
    return http(207, content, Set_Cookie=f"a={COOKIE}") if asked.method == "PROPFIND" else http(200, DAV="1")


def denied(asked: Asked) -> bytes:
    return http(401, PASSWORD.encode(), WWW_Authenticate=f'Basic realm="{PASSWORD}"', Set_Cookie=f"a={COOKIE}")


ANSWERS: dict[str, Callable[[Asked], Parts]] = {
    "share": share,
    "denied": denied,
    "busy": lambda asked: http(503, PASSWORD.encode(), Retry_After="9999"),
    "hangup": lambda asked: HANGUP,
    "half": lambda asked: [http(207, length=99, Set_Cookie=f"a={COOKIE}"), HANGUP],
    "no http": lambda asked: [b"SSH-2.0\r\n\r\n", HANGUP],
    "digest": DigestShare(share, PASSWORD),
    "digest, wrong": DigestShare(share, "another"),
    "elsewhere": lambda asked: http(302, Location="http://other.example/"),
    "illegal header": lambda asked: http(200, X="\x01"),
}


def told(error: BaseException | None) -> str:
    """All that could be printed of an error and of what led to it."""
    lines = traceback.format_exception(error) if error is not None else []
    while error is not None:
        lines += [repr(error), str(error), repr(error.args), repr(vars(error))]
        error = error.__cause__ or error.__context__
    return "\n".join(lines)


def insides(remote: WebDavRemote) -> str:
    session, login = remote._session, remote._login
    return repr([remote, vars(remote), session, vars(session), login, login._key, remote.capabilities, remote.traffic])


@pytest.mark.parametrize("auth", ["auto", "basic", "digest", "bearer"])
@pytest.mark.parametrize("name", ANSWERS)
async def test_no_secret_comes_out(
    name: str, auth: Scheme, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "delay_before", lambda *_: 0.0)
    caplog.set_level(logging.DEBUG, "drivefs")
    caplog.set_level(logging.INFO, "httpx")
    events: list[object] = []
    credentials = Credentials("ann", PASSWORD)
    output = repr(credentials)
    async with scripted(ANSWERS[name]) as server:
        remote = open_remote(server.url, credentials=credentials, auth=auth, hook=lambda *event: events.append(event))
        for step in (remote.connect, lambda: remote.stat(Ref(("f",))), lambda: remote.list(Ref())):
            try:
                await step()
            except DriveError as error:
                output += told(error)
            output += insides(remote)
        await remote.aclose()
        assert server.requests
    output += repr(events) + caplog.text
    assert events
    for secret in SECRETS:
        assert secret not in output
