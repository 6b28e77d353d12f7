"""The benchmark's command: scripts/bench. Starts the servers, lets the peers alternate, prints the report.

Whatever happens, at the end no process, mount or file of it is left.
"""

from __future__ import annotations

import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click
import msgspec

from tests.bench import data
from tests.bench.measure import Measuring, Place, Results, WrongContent
from tests.bench.peers import PEERS, Peer, missing
from tests.bench.report import NOT_WRITABLE, Report, as_table, summary
from tests.bench.rows import ROWS, Group, Row
from tests.support.servers import Server, apache

LONG_ROUND_TRIP_MS = 40
LONG_MB_PER_SECOND = 25
GROUP_SECONDS = 900


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--rows", default="", metavar="a,b,…", help="Only these; d means d1 and d2.  [all]")
@click.option("--peers", default="drivefs,rclone,davfs2", show_default=True, help="Who takes part.")
@click.option("--repeat", default=0, metavar="N", help="Rounds; the table shows medians.  [3, with --quick 1]")
@click.option("--link", type=click.Choice(["loopback", "long"]), default="loopback", show_default=True)
@click.option("--quick", is_flag=True, help="About 2 minutes: one round, 10,000 names where there would be 100,000.")
@click.option("--scale", default=1.0, metavar="X", help="So many times as much data.  [1]")
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
def main(rows: str, peers: str, repeat: int, link: str, quick: bool, scale: float, as_json: bool) -> None:
    """Measure reading through drivefs, rclone and davfs2, side by side, from an Apache of its own on 127.0.0.1.

    `long` is a link of 40 ms round trip and 25 MB/s. Nothing of the system is changed; as root, the kernel's caches are
    dropped before cold rows.
    """
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    signal.signal(signal.SIGALRM, stuck)
    wanted = chosen(rows)
    sizes = data.LONG_LINK if link == "long" else data.QUICK if quick else data.FULL
    sizes = data.scaled(sizes, scale)
    results = Results()
    with ExitStack() as stack:
        taking_part, notes = open_peers(stack, peers.split(","))
        about = facts(taking_part, sizes, link, rounds := repeat or (1 if quick else 3))
        measure(stack, taking_part, wanted, sizes, link, rounds, results)
        about["load"] += f" at the start, {load()} at the end"
    notes += [f"- {row.key}: {NOT_WRITABLE}" for row in wanted if row.group is None]
    names = [peer.name for peer in taking_part]
    report = Report(about, summary([row for row in wanted if row.group], names, results), notes)
    click.echo(msgspec.json.format(msgspec.json.encode(report)).decode() if as_json else as_table(report, names))
    sys.exit(1 if results.wrong else 0)


def chosen(rows: str) -> list[Row]:
    keys = [key for key in rows.split(",") if key]
    found = [row for row in ROWS if not keys or row.key in keys or row.key[0] in keys]
    if unknown := [key for key in keys if not any(key in (row.key, row.key[0]) for row in found)]:
        raise click.BadParameter(f"there is no row {unknown[0]}")
    return found


def open_peers(stack: ExitStack, names: Sequence[str]) -> tuple[list[Peer], list[str]]:
    """Those of `names` that can be run here, and notes about the others."""
    if unknown := set(names) - {kind.name for kind in PEERS}:
        raise click.BadParameter(f"there is no peer {unknown.pop()}")
    home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dfb.", ignore_cleanup_errors=True)))
    home.chmod(0o755)  # davfs2 gives up root's rights
    peers = []
    for kind in PEERS:
        if kind.name in names and not missing(kind.name):
            peers.append(peer := kind(home / kind.name))
            stack.callback(peer.close)
    return peers, [f"- {name}: {reason}" for name in names if (reason := missing(name))]


def facts(peers: Sequence[Peer], sizes: data.Sizes, link: str, rounds: int) -> dict[str, str]:
    server = subprocess.run(["apache2", "-v"], check=True, capture_output=True, text=True).stdout
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    long = f"long: {LONG_ROUND_TRIP_MS} ms round trip, {LONG_MB_PER_SECOND} MB/s"
    return {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "versions": ", ".join(f"{peer.name} {peer.version()}" for peer in peers)
        + f", Apache {server.split('/')[1].split()[0]}, Python {platform.python_version()}",
        "machine": f"{os.cpu_count()} x {model[1] if model else '?'}, Linux {platform.release()}",
        "link": long if link == "long" else "loopback",
        "data": sizes.text(),
        "rounds": str(rounds),
        "load": load(),
    }


def load() -> str:
    return f"{os.getloadavg()[0]:.2f}"


def measure(
    stack: ExitStack,
    peers: Sequence[Peer],
    wanted: Sequence[Row],
    sizes: data.Sizes,
    link: str,
    rounds: int,
    results: Results,
) -> None:
    """All groups of rows, by one peer after the other, in another order each round."""
    places = open_places(stack, wanted, sizes, link)
    groups = list(dict.fromkeys((row.group, row.over_tls) for row in wanted if row.group))
    for number in range(rounds):
        for group, over_tls in groups:
            order = [*peers[number % len(peers) :], *peers[: number % len(peers)]]
            for peer in order:
                keys = [row.key for row in wanted if row.group == group]
                progress(f"round {number + 1}: {','.join(keys)} {peer.name}")
                run_group(group, Measuring(peer, places[over_tls], results, keys), keys, results)


def run_group(group: Group, measuring: Measuring, keys: Sequence[str], results: Results) -> None:
    """A peer that fails has no value in what is left of the group, and a reason."""
    peer = measuring.peer
    signal.alarm(GROUP_SECONDS)
    try:
        group(measuring)
        measuring.unmount()
    except (OSError, AssertionError, subprocess.SubprocessError, WrongContent) as error:
        if isinstance(error, WrongContent):
            results.reject(measuring.latest, peer.name)
        for key in keys:
            results.fail(key, peer.name, error)
        peer.close()
    finally:
        signal.alarm(0)


def stuck(number: int, frame: object) -> None:
    raise TimeoutError(f"not done within {GROUP_SECONDS} s")


def open_places(stack: ExitStack, wanted: Sequence[Row], sizes: data.Sizes, link: str) -> dict[bool, Place]:
    """The plain server, and one with TLS that has the same files, by hard links."""
    progress("making the data")
    server = stack.enter_context(apache())
    shares = data.Shares(server.data, sizes)
    places = {False: stack.enter_context(place(server, shares, link))}
    if any(row.over_tls for row in wanted):
        secure = stack.enter_context(apache(tls=True))
        for name in ("big", "small"):
            shares.link(name, secure.data)
        places[True] = stack.enter_context(place(secure, shares, link))
    return places


@contextmanager
def place(server: Server, shares: data.Shares, link: str) -> Iterator[Place]:
    if link == "loopback":
        yield Place(server.url, server, shares)
        return
    port = server.url.rstrip("/").rpartition(":")[2]
    command = [sys.executable, "-m", "tests.bench.link", port, str(LONG_ROUND_TRIP_MS), str(LONG_MB_PER_SECOND)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        try:
            yield Place(server.url.replace(port, process.stdout.readline().strip()), server, shares)
        finally:
            process.kill()


def progress(text: str) -> None:
    click.echo(f"{time.strftime('%H:%M:%S')} {text}", err=True)


if __name__ == "__main__":
    main()
