"""The version is written twice, and once."""

from __future__ import annotations

import re
from pathlib import Path

import drivefs

ROOT = Path(__file__).parents[2]


def test_the_newest_version_in_the_changelog_is_ours() -> None:
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions
    assert versions[0] == drivefs.__version__
