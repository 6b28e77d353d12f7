"""One peer going through one group of rows: states are made, what happens is timed, and its content is checked."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tests.bench.data import Shares, warm
from tests.bench.peers import Peer
from tests.support.servers import Server

QUIET_SECONDS = 0.15
"""The server's log is complete when nothing was added to it for so long."""


class WrongContent(Exception):
    """A peer gave other names or bytes than the server has."""


class Sample(msgspec.Struct, frozen=True):
    """One run of one row. `value` is in the row's unit; `received` are bytes that the server sent, headers included.

    `cpu` are seconds of all processes of the mount (mounting included where it was part), in ticks of 10 ms.
    """

    value: float
    requests: int = 0
    received: int = 0
    cpu: float = 0.0


class Results:
    """All samples of all peers, and why some have none."""

    def __init__(self) -> None:
        self.samples: dict[tuple[str, str], list[Sample]] = defaultdict(list)
        self.reasons: dict[tuple[str, str], str] = {}
        self.wrong = False

    def add(self, row: str, peer: str, sample: Sample) -> None:
        self.samples[row, peer].append(sample)

    def fail(self, row: str, peer: str, error: Exception) -> None:
        """The reason stands in the place of a value; what was measured before stays."""
        if not self.samples.get((row, peer)):
            self.reasons[row, peer] = f"{type(error).__name__}: {error}"

    def reject(self, row: str, peer: str) -> None:
        """Wrong content is no value at all, however often it was right."""
        self.samples.pop((row, peer), None)
        self.wrong = True


class Place(msgspec.Struct, frozen=True):
    """Where shares are found: the address that peers are given (it may lead over the long link), and the server."""

    url: str
    server: Server
    shares: Shares


class Measuring:
    """What rows are written with. `share` is the folder of the server that is mounted, `mount` the peer's."""

    def __init__(self, peer: Peer, place: Place, results: Results, wanted: Collection[str]) -> None:
        self.peer = peer
        self.place = place
        self.results = results
        self.wanted = wanted
        self.mount = peer.mountpoint
        self.share = Path()
        self.latest = ""

    def cold(self, name: str) -> None:
        """Next is a first mount of the share: nothing cached by peer or kernel, the server's files in memory."""
        self.unmount()
        self.peer.forget()
        self.share = self.place.shares.folder(name)
        drop_page_cache()
        warm(self.share)

    def mount_now(self) -> None:
        self.peer.mount(f"{self.place.url}{self.share.name}/", self.place.server.ca_cert)

    def unmount(self) -> None:
        """The kernel forgets; the peer's cache stays, and its files in the page cache, too."""
        if self.peer.is_mounted:
            self.peer.unmount()

    @contextmanager
    def row(self, key: str, *, with_mount: bool = False) -> Iterator[None]:
        """Times what is done inside. What is not mounted is mounted first, and the clock starts when that answers.

        So nobody gets time between the two; `with_mount` counts the mounting as well.
        """
        with self.traffic(key) as took:
            started = time.perf_counter()
            if not self.peer.is_mounted:
                self.mount_now()
            if not with_mount:
                started = time.perf_counter()
            yield
            took.append(time.perf_counter() - started)

    @contextmanager
    def traffic(self, key: str) -> Iterator[list[float]]:
        """Counts what goes over the wire inside. The row's value is what is put into the list."""
        os.sync()
        server = self.place.server
        server.forget_requests()
        cpu = self.cpu()
        value: list[float] = []
        yield value
        used = self.cpu() - cpu
        count = -1
        while count < (count := len(server.requests())):
            time.sleep(QUIET_SECONDS)
        self.put(key, Sample(value[-1], count, sum(request.sent for request in server.requests()), used))

    def put(self, key: str, sample: Sample) -> None:
        self.latest = key
        if key in self.wanted:
            self.results.add(key, self.peer.name, sample)

    def cpu(self) -> float:
        return sum(map(cpu_seconds, self.peer.processes()))

    def memory(self, key: str) -> None:
        """The most memory that the mount ever had since it began, in MiB."""
        self.put(key, Sample(sum(map(peak_memory, self.peer.processes())) / (1 << 20)))


def check(right: bool, what: str) -> None:
    if not right:
        raise WrongContent(what)


def drop_page_cache() -> None:
    os.sync()
    if os.geteuid() == 0:
        Path("/proc/sys/vm/drop_caches").write_text("3\n")


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_memory(pid: int) -> int:
    """Bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
