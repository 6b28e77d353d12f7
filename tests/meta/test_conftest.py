"""The shared conftest keeps its promises: shown by running pytest on tests that break them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

HEAD = """
import logging, subprocess, trio, hypothesis
from hypothesis import strategies
log = logging.getLogger("made.up")
"""

OFFENDERS = """
def test_quiet(): log.info("fine")
def test_stray(): log.warning("something odd")
def test_stray_error(): log.error("something worse")
def test_expected(expected_warnings): expected_warnings.append("so.ething"); log.warning("something odd")
def test_expected_but_missing(expected_warnings): expected_warnings.append("never said")
def test_expected_and_more(expected_warnings): expected_warnings.append("one"); log.warning("one"); log.warning("two")

async def test_trio_quiet(autojump_clock): await trio.sleep(1000)
async def test_trio_stray(): await trio.lowlevel.checkpoint(); log.warning("something odd")

@hypothesis.given(strategies.integers())
def test_property_quiet(number): assert isinstance(number, int)
@hypothesis.given(strategies.integers())
def test_property_stray(number): log.warning("something odd")
@hypothesis.given(strategies.integers())
async def test_trio_property_quiet(number): await trio.lowlevel.checkpoint()
"""


def run_pytest(folder: Path, tests: str) -> str:
    shutil.copy(ROOT / "tests" / "conftest.py", folder)
    (folder / "test_made_up.py").write_text(HEAD + tests)
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "-p", "no:cacheprovider"]
    command += ["--rootdir", str(folder), "-rA", "--basetemp", str(folder / "temporary"), str(folder)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


def outcomes(output: str, word: str) -> set[str]:
    return set(re.findall(rf"^{word} \S*::test_(\w+)", output, re.MULTILINE))


def test_a_stray_warning_fails_the_test_and_an_expected_one_must_come(tmp_path: Path) -> None:
    output = run_pytest(tmp_path, OFFENDERS)
    broken = {"stray", "stray_error", "expected_but_missing", "expected_and_more", "trio_stray", "property_stray"}
    fine = {"quiet", "expected", "trio_quiet", "property_quiet", "trio_property_quiet"}
    assert outcomes(output, "ERROR") == broken, output
    assert outcomes(output, "PASSED") == broken | fine, output


def test_a_process_left_behind_fails_the_session(tmp_path: Path) -> None:
    # Its parent ends at once, so that only the mark in the environment leads to it.
    leave = "subprocess.run(['sh', '-c', 'sleep 7.25 >/dev/null 2>&1 &'])"
    output = run_pytest(tmp_path, f"def test_leaves_a_process(): {leave}")
    assert outcomes(output, "ERROR") == {"leaves_a_process"}, output
    assert re.search(r"processes left behind: \['\d+: sleep 7.25 '\]", output), output
