"""Stands in for `drivefs.mount.daemon` in a test's processes: the control socket of a drive, and no mount."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import msgspec
import trio

from drivefs import errors
from drivefs.config import DrivePaths, DriveSettings
from drivefs.control.messages import DriveState, PlannedAction, SyncResult
from drivefs.control.server import serve
from tests.control.fake import STATUS, FakeControl

Ready = Callable[[str, str], None]


def run(settings: DriveSettings, paths: DrivePaths, credentials: object, *, ready: Ready) -> int:
    """Behaves as the variable STAND_IN says, and writes down what it was given."""
    what = os.environ.get("STAND_IN", "")
    seen = {"settings": msgspec.to_builtins(settings), "credentials": str(getattr(credentials, "user", None))}
    paths.state.joinpath("seen").write_text(json.dumps(seen))
    if what == "die":
        os.write(2, b"about to die\n")
        os.kill(os.getpid(), 9)
    if what == "bug":
        raise RuntimeError("a bug")
    if what:
        kind, _, text = what.partition(":")
        if kind in vars(errors):
            raise getattr(errors, kind)(text)
    return trio.run(_serve, settings, paths, ready, what)


async def _serve(settings: DriveSettings, paths: DrivePaths, ready: Ready, what: str) -> int:
    state, _, message = what.partition(":") if what else ("idle", "", "")
    status = msgspec.structs.replace(
        STATUS, mountpoint=settings.mountpoint, pid=os.getpid(), state=DriveState(state), message=message
    )
    control = FakeControl(status)
    if state == "attention":
        held = (PlannedAction("delete", "a\udcff\x1b[31m", 1, "gone there"),)
        control.result = SyncResult(False, 3, "1 delete is held", held, {"delete": 1})
    control.may_finish.set()
    await trio.sleep(float(os.environ.get("STAND_IN_LATE", "0")))
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, control, paths.socket)
        ready(state, message)
        await control.unmounting.wait()
        await trio.sleep(float(os.environ.get("STAND_IN_SLOW", "0.1")))
        nursery.cancel_scope.cancel()
    return 0
