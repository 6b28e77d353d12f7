"""The rows: what is done in each, in which state, and how its content is checked.

A group is a function that takes one peer through rows that follow from each other. Sums are taken after the clock
stopped, of the very bytes that the timed reads returned.
"""

from __future__ import annotations

import mmap
import os
import random
import statistics
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import msgspec

from drivefs.control.client import ControlClient
from drivefs.control.messages import SyncRequest
from tests.bench.data import BIG, MIB, files_below
from tests.bench.measure import Measuring, Sample, check
from tests.bench.peers import Drivefs

Group = Callable[[Measuring], None]


class Row(msgspec.Struct, frozen=True):
    """`kind` is the unit: s, ms or MiB. Less is better in all of them."""

    key: str
    what: str
    kind: str
    group: Group | None
    over_tls: bool = False


# --- large files ---


def big(m: Measuring) -> None:
    m.cold("big")
    read_big(m, "a")
    read_big(m, "c")
    m.memory("q1")
    m.unmount()
    read_big(m, "b")


def big_tls(m: Measuring) -> None:
    m.cold("big")
    read_big(m, "t1")


def read_big(m: Measuring, key: str) -> None:
    buffer = room(m.share / BIG)
    with m.row(key):
        read_into(m.mount / BIG, buffer)
    check_sum(m, m.share / BIG, buffer)


def room(file: Path) -> mmap.mmap:
    """Memory for a whole file, touched already."""
    made = mmap.mmap(-1, file.stat().st_size)
    made.write(bytes(len(made)))
    return made


def read_into(file: Path, buffer: mmap.mmap) -> None:
    """All of it in order, as cp and dd do: 1 MiB at a time."""
    view = memoryview(buffer)
    descriptor = os.open(file, os.O_RDONLY)
    try:
        done = 0
        while count := os.readv(descriptor, [view[done : done + MIB]]) if done < len(view) else 0:
            done += count
        check(done == len(view) and os.read(descriptor, 1) == b"", f"length of {file.name}: {done}")
    finally:
        os.close(descriptor)


def check_sum(m: Measuring, source: Path, buffer: mmap.mmap) -> None:
    shares = m.place.shares
    check(sha256(buffer).hexdigest() == shares.sums[source.relative_to(shares.root)], f"content of {source.name}")


def middle(m: Measuring) -> None:
    m.cold("big")
    size = (m.share / BIG).stat().st_size
    read_places(m, "d1", [size // 2])
    places = random.Random(2)
    read_places(m, "d2", [places.randrange(size // 4096) * 4096 for _ in range(200)])


def read_places(m: Measuring, key: str, places: list[int]) -> None:
    with m.row(key):
        with open(m.mount / BIG, "rb", buffering=0) as file:
            got = [os.pread(file.fileno(), 4096, place) for place in places]
    with open(m.share / BIG, "rb") as source:
        check(got == [os.pread(source.fileno(), 4096, place) for place in places], "content of 4 KiB reads")


def four(m: Measuring) -> None:
    m.cold("four")
    names = [file.name for file in files_below(m.share)]
    buffers = [room(m.share / name) for name in names]
    with ThreadPoolExecutor(len(names)) as readers:
        with m.row("r"):
            list(readers.map(lambda name, buffer: read_into(m.mount / name, buffer), names, buffers))
    m.memory("q3")
    for name, buffer in zip(names, buffers, strict=True):
        check_sum(m, m.share / name, buffer)


# --- names ---


def tree(m: Measuring) -> None:
    m.cold("tree")
    find(m, "e")
    find(m, "f")
    m.unmount()
    find(m, "g")


def find(m: Measuring, key: str) -> None:
    with m.row(key):
        found = output("find", ".", "-type", "f", "-size", "+0", cwd=m.mount)
    check(sorted(found) == sorted(f"./{file}" for file in files_below(m.share)), "names that find saw")


def flat(m: Measuring) -> None:
    names = [file.name for file in files_below(m.place.shares.folder("flat"))]
    m.cold("flat")
    with m.row("o1"):
        found = output("ls", "-f", cwd=m.mount)
    check(sorted(set(found) - {".", ".."}) == names, "names that ls saw")
    with m.row("o2"):
        found = output("ls", "-l", cwd=m.mount)
    check([line[-len(names[0]) :] for line in found[1:]] == names, "names that ls -l saw")


def output(*command: str, cwd: Path) -> list[str]:
    """The lines of a program's output. Whatever fails in it is an error."""
    environ = {**os.environ, "LC_ALL": "C"}
    ran = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise OSError(f"{command[0]}: {ran.stderr.strip().splitlines()[0]}")
    return ran.stdout.splitlines()


def many(m: Measuring) -> None:
    m.cold("many")
    list_root(m, "n1")
    m.peer.know_all()
    m.memory("q2")
    m.unmount()
    list_root(m, "n2")
    if isinstance(m.peer, Drivefs):
        idle_sync(m, m.peer)


def list_root(m: Measuring, key: str) -> None:
    with m.row(key, with_mount=True):
        found = os.listdir(m.mount)
    check(sorted(found) == sorted(os.listdir(m.share)), "names in the root")


def idle_sync(m: Measuring, peer: Drivefs) -> None:
    """In seconds of CPU. Others have nothing like it: they look again when a name is used after some minutes."""
    with ControlClient(peer.home.paths.socket) as client:
        client.sync(SyncRequest(), lambda progress: None)  # the first after a mount may have more to do
        with m.traffic("p") as value:
            cpu = m.cpu()
            result = client.sync(SyncRequest(), lambda progress: None)
            value.append(m.cpu() - cpu)
    check(result.ok, f"sync: {result}")


# --- small files ---


def small(m: Measuring) -> None:
    m.cold("small")
    read_small(m, "h")
    read_small(m, "i")


def small_tls(m: Measuring) -> None:
    m.cold("small")
    read_small(m, "t2")


def read_small(m: Measuring, key: str) -> None:
    names = list(files_below(m.share))
    with m.row(key):
        got = [read_file(m.mount / name) for name in names]
    check(got == [read_file(m.share / name) for name in names], "content of small files")


def read_file(file: Path) -> bytes:
    with open(file, "rb", buffering=0) as opened:
        return opened.read()


# --- both at once ---


def mixed(m: Measuring) -> None:
    """Names are known to the peer by the listings of their folders, but the kernel did not ask for them yet."""
    m.cold("mixed")
    m.mount_now()
    names = [Path("tree") / file for file in files_below(m.share / "tree")]
    cached, asked = names[::20], [name for number, name in enumerate(names) if number % 20]
    for name in cached:
        check(read_file(m.mount / name) == read_file(m.share / name), "content of small files")
    stats: list[float] = []
    opens: list[float] = []
    with subprocess.Popen(["sha256sum", m.mount / BIG], stdout=subprocess.PIPE, text=True) as transfer:
        while transfer.poll() is None or len(stats) < 2:
            stats.append(milliseconds(os.stat, m.mount / asked[len(stats) % len(asked)]))
            opens.append(milliseconds(open_and_close, m.mount / cached[len(opens) % len(cached)]))
            time.sleep(0.001)
        told = transfer.stdout.read().split() if transfer.stdout else []
    check(told[:1] == [m.place.shares.sums[Path("mixed") / BIG]], "content of the big transfer")
    m.put("s1", Sample(percentile_99(stats)))
    m.put("s2", Sample(percentile_99(opens)))


def percentile_99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[98]


def milliseconds(action: Callable[[Path], object], path: Path) -> float:
    started = time.perf_counter()
    action(path)
    return (time.perf_counter() - started) * 1000


def open_and_close(path: Path) -> None:
    os.close(os.open(path, os.O_RDONLY))


ROWS = (
    Row("a", "large file read in order, cold", "s", big),
    Row("b", "again after a remount, content in the disk cache", "s", big),
    Row("c", "again while mounted", "s", big),
    Row("d1", "4 KiB in the middle of it, cold", "s", middle),
    Row("d2", "200 random 4 KiB of it, after that", "s", middle),
    Row("e", "find -size +0 over a tree, first time", "s", tree),
    Row("f", "again", "s", tree),
    Row("g", "again after a remount", "s", tree),
    Row("h", "small files one after the other, cold", "s", small),
    Row("i", "again", "s", small),
    Row("j", "write 500 small files", "s", None),
    Row("k", "copy 256 MiB in", "s", None),
    Row("l", "copy a tree of 2,000 files in", "s", None),
    Row("m", "untar on the mount", "s", None),
    Row("n1", "mount to first ls, for the first time", "s", many),
    Row("n2", "mount to first ls, many names known", "s", many),
    Row("o1", "first listing of one large folder (ls -f), cold", "s", flat),
    Row("o2", "ls -l of it, after that", "s", flat),
    Row("p", "sync that finds nothing, many names: CPU", "s", many),
    Row("q1", "peak memory after a and c", "MiB", big),
    Row("q2", "peak memory with many names known", "MiB", many),
    Row("q3", "peak memory after r", "MiB", four),
    Row("r", "four large files by four readers, cold", "s", four),
    Row("s1", "stat during a large transfer, 99th percentile", "ms", mixed),
    Row("s2", "open of a cached file during it, 99th percentile", "ms", mixed),
    Row("t1", "row a over TLS", "s", big_tls, over_tls=True),
    Row("t2", "row h over TLS", "s", small_tls, over_tls=True),
)
