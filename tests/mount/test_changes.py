"""What changes on the server is seen here; what the kernel remembers is never wrong."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mount.files import MIB, OLD, methods, pattern, put
from tests.support.drive import DriveHome, drive, drop_pages, wait_until
from tests.support.servers import Server, apache


@pytest.fixture
def mounted(server: Server, tmp_path: Path) -> Iterator[DriveHome]:
    """A drive that syncs when told to. It has enough files for the deletes of a test to be no mass deletion."""
    put(server.data / "file", "old content")
    put(server.data / "folder/inner", "inner")
    for number in range(30):
        put(server.data / f"ballast/{number}", b"")
    with drive(tmp_path, server.url, "--interval", "1h") as made:
        yield made


def test_create_modify_and_delete_come_with_a_sync(server: Server, mounted: DriveHome) -> None:
    top = mounted.mountpoint
    assert (top / "file").read_text() == "old content"
    put(server.data / "new folder/new", "new")
    put(server.data / "file", "changed", OLD + 100)
    (server.data / "folder/inner").unlink()
    mounted.sync()
    assert (top / "new folder/new").read_text() == "new"
    assert (top / "file").read_text() == "changed"
    assert ((top / "file").stat().st_size, (top / "file").stat().st_mtime) == (7, OLD + 100)
    assert os.listdir(top / "folder") == []
    assert not (top / "folder/inner").exists()


def test_changes_come_by_themselves_within_the_interval(server: Server, tmp_path: Path) -> None:
    for number in range(30):
        put(server.data / f"{number}", "old")
    with drive(tmp_path, server.url, "--interval", "2s") as mounted:
        top = mounted.mountpoint
        assert (top / "1").read_text() == "old"
        assert not (top / "new").exists()
        put(server.data / "1", "changed", OLD + 1)
        put(server.data / "new", "new")
        (server.data / "2").unlink()
        # Nothing asks for a listing here: only names and attributes that the kernel holds are looked at.
        wait_until(lambda: (top / "new").exists() and not (top / "2").exists(), "the automatic sync", 2 + 3)
        assert (top / "1").read_text() == "changed"


def test_an_open_file_keeps_its_version_beside_the_new_one(server: Server, mounted: DriveHome) -> None:
    path = mounted.mountpoint / "file"
    with path.open("rb", buffering=0) as old:
        assert old.read() == b"old content"
        put(server.data / "file", "new", OLD + 1)
        mounted.sync()
        with path.open("rb", buffering=0) as new:
            for _ in range(3):
                drop_pages(old.fileno())
                drop_pages(new.fileno())
                assert os.pread(old.fileno(), 100, 0) == b"old content"
                assert os.pread(new.fileno(), 100, 0) == b"new"
    assert path.read_bytes() == b"new"


def test_a_second_read_asks_nobody_and_a_change_is_seen(server: Server, mounted: DriveHome) -> None:
    path = mounted.mountpoint / "file"
    server.forget_requests()
    assert path.read_text() == "old content"
    assert methods(server.requests(1))["GET"] == 1
    server.forget_requests()
    assert path.read_text() == "old content"
    put(server.data / "file", "new content", OLD + 1)  # of the same size
    mounted.sync()
    assert methods(server.requests())["GET"] == 0
    assert path.read_text() == "new content"


def test_a_change_that_keeps_size_and_time_is_seen(tmp_path: Path) -> None:
    """Told by the ETag alone: Apache is made to put the inode in it."""
    with apache(extra="FileETag INode MTime Size") as telling:
        put(telling.data / "file", "old")
        with drive(tmp_path, telling.url, "--interval", "1h") as mounted:
            assert (mounted.mountpoint / "file").read_text() == "old"
            put(telling.data / "file", "new")
            mounted.sync()
            assert (mounted.mountpoint / "file").read_text() == "new"


def test_a_name_that_was_missing_is_found(server: Server, mounted: DriveHome) -> None:
    path = mounted.mountpoint / "folder/missing"
    for _ in range(2):
        assert not path.exists()
    put(server.data / "folder/missing", "found")
    mounted.sync()
    assert path.read_text() == "found"


def test_a_mapped_file_stays_what_it_was(server: Server, mounted: DriveHome) -> None:
    put(server.data / "mapped", pattern(3 * MIB))
    mounted.sync()
    path = mounted.mountpoint / "mapped"
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapping:
        assert mapping[:] == pattern(3 * MIB)
        put(server.data / "mapped", pattern(2 * MIB, seed=1), OLD + 1)
        mounted.sync()
        drop_pages(file.fileno())
        assert mapping[:] == pattern(3 * MIB)
        assert path.read_bytes() == pattern(2 * MIB, seed=1)


def test_an_open_file_outlives_its_removal(server: Server, mounted: DriveHome) -> None:
    path = mounted.mountpoint / "file"
    with path.open("rb", buffering=0) as file:
        assert file.read() == b"old content"
        (server.data / "file").unlink()
        mounted.sync()
        assert not path.exists()
        drop_pages(file.fileno())
        assert os.pread(file.fileno(), 100, 0) == b"old content"


def test_the_folder_of_a_shell_stays_its_folder(server: Server, mounted: DriveHome) -> None:
    descriptor = os.open(mounted.mountpoint / "folder", os.O_RDONLY | os.O_DIRECTORY)
    try:
        put(server.data / "folder/later", "")
        put(server.data / "beside", "")
        mounted.sync()
        assert sorted(os.listdir(descriptor)) == ["inner", "later"]
        assert os.readlink(f"/proc/self/fd/{descriptor}") == str(mounted.mountpoint / "folder")
    finally:
        os.close(descriptor)


def test_every_version_of_a_file_is_read_whole(server: Server, mounted: DriveHome) -> None:
    path = mounted.mountpoint / "file"
    for number in range(1, 15):
        content = f"{number} " * number
        put(server.data / "file", content, OLD + number)
        mounted.sync()
        assert path.read_text() == content
        assert path.stat().st_size == len(content)
