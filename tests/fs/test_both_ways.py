"""What programs see of a drive, held for the file system itself and for a real mount of it alike."""

from __future__ import annotations

import errno
import os

import pytest
import trio

from tests.fs.views import Mounted, View, names, read_file, rest

MIB = 1024 * 1024


def pattern(size: int) -> bytes:
    """Bytes that differ at every place of a block."""
    return b"".join(number.to_bytes(4, "big") for number in range(-(-size // 4)))[:size]


def failing(number: int) -> pytest.RaisesExc[OSError]:
    return pytest.RaisesExc(OSError, check=lambda error: error.errno == number)


async def test_attributes(view: View) -> None:
    mtime = view.share.put("folder/file", b"12345")
    await view.sync()
    file, folder = await view.stat("folder/file"), await view.stat("folder")
    assert (file.is_directory, file.size, file.permissions, file.nlink, file.mtime) == (False, 5, 0o644, 1, mtime)
    assert (folder.is_directory, folder.permissions, folder.nlink) == (True, 0o755, 1)
    assert folder.size == folder.blocks == 0
    assert file.inode != folder.inode
    assert (await view.stat("folder/file")).inode == file.inode


async def test_blocks_tell_what_is_here(view: View) -> None:
    view.share.put("empty", b"")
    view.share.put("file", pattern(3 * MIB))
    await view.sync()
    assert (await view.stat("empty")).blocks == 0
    assert (await view.stat("file")).blocks == 1, "nothing is here, but 0 would be read as a hole"
    assert await read_file(view, "file") == pattern(3 * MIB)
    with trio.fail_after(10):  # what was read is stored behind the reader
        while (await view.stat("file")).blocks != 3 * MIB // 512:
            await trio.sleep(0.01)
    assert (await view.stat("file")).size == 3 * MIB


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 5000])
async def test_every_name_is_given_once(view: View, count: int) -> None:
    expected = [f"{number:04}" for number in range(count)]
    view.share.mkdir("folder")
    for name in expected:
        view.share.put(f"folder/{name}", b"")
    await view.sync()
    assert await names(view, "folder") == expected


async def test_what_stays_is_given_once_while_others_come_and_go(view: View) -> None:
    stay = [f"{number:04}-stays" for number in range(1500)]
    go = [f"{number:04}-goes" for number in range(0, 1500, 100)]
    for name in stay + go:
        view.share.put(f"folder/{name}", b"")
    await view.sync()
    walk = await view.walk("folder")
    found = [await walk.next() for _ in range(700)]
    for number, name in enumerate(go):
        view.share.delete(f"folder/{name}")
        view.share.put(f"folder/{number:02}-comes", b"")
    await view.sync()
    found += [name async for name in rest(walk)]
    await walk.close()
    assert [name for name in found if name in set(stay)] == stay
    assert len(set(found)) == len(found)


async def test_nothing_old_is_learnt_from_a_walk_that_goes_on(view: View) -> None:
    """What a walk shows after a change is what the kernel keeps for an hour: it must be how things are then."""
    everything = [f"{number:04}" for number in range(600)]
    for name in everything:
        view.share.put(f"folder/{name}", b"old")
    await view.sync()
    walk = await view.walk("folder")
    assert await walk.next() == "0000"
    for name in everything:
        if name.endswith("7"):
            view.share.delete(f"folder/{name}")
        elif name.endswith("3"):
            view.share.put(f"folder/{name}", b"new and longer")
    await view.sync()
    assert len([name async for name in rest(walk)]) >= 540 - 1
    await walk.close()
    for name in everything:
        if name.endswith("7"):
            with failing(errno.ENOENT):
                await view.stat(f"folder/{name}")
        else:
            assert (await view.stat(f"folder/{name}")).size == (14 if name.endswith("3") else 3)


async def test_a_walk_goes_back_to_where_it_was(view: View) -> None:
    expected = [f"{number:04}" for number in range(600)]
    for name in expected:
        view.share.put(f"folder/{name}", b"")
    await view.sync()
    walk = await view.walk("folder")
    start = walk.tell()
    for _ in range(300):
        await walk.next()
    middle = walk.tell()
    assert [name async for name in rest(walk)] == expected[300:]
    walk.seek(middle)
    assert [name async for name in rest(walk)] == expected[300:]
    walk.seek(start)
    assert [name async for name in rest(walk)] == expected
    await walk.close()


@pytest.mark.parametrize("size", [1, 4095, 4096, MIB + 1, 9 * MIB + 7])
async def test_a_range_is_what_it_is_in_the_file(view: View, size: int) -> None:
    content = pattern(size)
    view.share.put("file", content)
    await view.sync()
    handle = await view.open("file")
    for offset in (size // 2, 0, size - 1, size // 3):
        assert await view.read(handle, offset, 70_000) == content[offset : offset + 70_000]
    assert await view.read(handle, size, 10) == b""
    assert await view.read(handle, size + 100_000, 10) == b""
    assert await view.read(handle, 0, 0) == b""
    assert await view.read(handle, 0, size + 100) == content
    await view.close(handle)


async def test_an_empty_file_reads_as_nothing(view: View) -> None:
    view.share.put("file", b"")
    await view.sync()
    assert await read_file(view, "file") == b""


async def test_handles_live_for_themselves(view: View) -> None:
    view.share.put("file", b"content")
    await view.sync()
    first, second = await view.open("file"), await view.open("file")
    await view.close(first)
    with failing(errno.EBADF if isinstance(view, Mounted) else errno.EINVAL):
        await view.read(first, 0, 1)
    assert await view.read(second, 0, 100) == b"content"
    await view.close(second)


async def test_an_open_handle_keeps_its_version(view: View) -> None:
    view.share.put("file", b"old content")
    await view.sync()
    old = await view.open("file")
    assert await view.read(old, 0, 3) == b"old"
    view.share.put("file", b"new")
    await view.sync()
    new = await view.open("file")
    for _ in range(2):
        assert await view.read(old, 0, 100) == b"old content"
        assert await view.read(new, 0, 100) == b"new"
        await view.forget_pages(old)
        await view.forget_pages(new)
    assert ((await view.fstat(old)).size, (await view.fstat(old)).nlink) == (11, 0)
    assert ((await view.stat("file")).size, (await view.stat("file")).nlink) == (3, 1)
    await view.close(old)
    await view.close(new)


async def test_bytes_of_an_old_version_that_were_never_here_are_stale(view: View) -> None:
    view.share.put("file", pattern(20 * MIB))
    await view.sync()
    old = await view.open("file")
    view.share.put("file", b"new")
    await view.sync()
    with failing(errno.ESTALE):
        await view.read(old, 15 * MIB, 4096)
    await view.close(old)
    assert await read_file(view, "file") == b"new"


async def test_a_removed_file_is_read_on_by_who_has_it_open(view: View) -> None:
    view.share.put("file", b"content")
    view.share.put("other", b"")
    await view.sync()
    handle = await view.open("file")
    assert await view.read(handle, 0, 100) == b"content"
    view.share.delete("file")
    await view.sync()
    await view.forget_pages(handle)
    assert await view.read(handle, 0, 100) == b"content"
    assert (await view.fstat(handle)).nlink == 0
    with failing(errno.ENOENT):
        await view.open("file")
    assert await names(view, "") == ["other"]
    await view.close(handle)


async def test_a_name_that_was_missing_is_found_once_it_is_there(view: View) -> None:
    with failing(errno.ENOENT):
        await view.stat("name")
    view.share.put("name", b"1")
    await view.sync()
    assert (await view.stat("name")).size == 1
    view.share.delete("name")
    view.share.put("keep", b"")
    await view.sync()
    with failing(errno.ENOENT):
        await view.stat("name")


async def test_a_file_may_become_a_folder(view: View) -> None:
    view.share.put("name", b"1")
    await view.sync()
    assert not (await view.stat("name")).is_directory
    view.share.delete("name")
    view.share.put("name/inside", b"2")
    await view.sync()
    assert (await view.stat("name")).is_directory
    assert await read_file(view, "name/inside") == b"2"


async def test_errors_of_names(view: View) -> None:
    view.share.put("file", b"1")
    view.share.put("folder/file", b"1")
    await view.sync()
    for path, number in {
        "missing": errno.ENOENT,
        "missing/below": errno.ENOENT,
        "folder/missing": errno.ENOENT,
        "file/below": errno.ENOTDIR,
        "x" * 255: errno.ENOENT,
        "x" * 256: errno.ENAMETOOLONG,
        "ü" * 128: errno.ENAMETOOLONG,
    }.items():
        with failing(number):
            await view.stat(path)
    with failing(errno.ENOTDIR):
        await view.walk("file")
    with failing(errno.ENOENT):
        await view.walk("missing")


async def test_opening_is_for_reading_files_only(view: View) -> None:
    view.share.put("file", b"1")
    view.share.mkdir("folder")
    await view.sync()
    with failing(errno.EISDIR):
        await view.open("folder", os.O_WRONLY)
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC, os.O_WRONLY | os.O_APPEND):
        with failing(errno.EROFS):
            await view.open("file", flags)
    assert await read_file(view, "file") == b"1"


async def test_there_is_always_room_to_show(view: View) -> None:
    assert await view.free_bytes() >= 1 << 40
