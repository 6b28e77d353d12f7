"""The scripts can be run as they come out of a clone."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted([*(ROOT / "scripts").iterdir(), ROOT / ".ci" / "run", ROOT / "tests" / "mount" / "on_a_bare_machine"])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_can_be_run_and_stops_at_the_first_error(script: Path) -> None:
    assert os.access(script, os.X_OK)
    lines = script.read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert lines[1].startswith("# "), "what it is for"
    assert next(line for line in lines if line and not line.startswith("#")) == "set -euo pipefail"
    assert subprocess.run(["bash", "-n", script], capture_output=True, check=False).stderr == b""


def test_setup_refuses_a_purpose_it_does_not_know() -> None:
    ended = subprocess.run([ROOT / "scripts" / "setup", "nothing"], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("usage: scripts/setup")
