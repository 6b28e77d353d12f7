"""Results as a table for people (Markdown) and as JSON for programs."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence

import msgspec

from tests.bench.measure import Results
from tests.bench.rows import Row

NOT_WRITABLE = "needs a writable mount"


class OfPeer(msgspec.Struct, frozen=True):
    """Medians of one peer in one row; `values` are all of them, in the order in which they were measured.

    `ratio` is this peer's median through that of drivefs: above 1, drivefs is ahead.
    """

    median: float
    values: list[float]
    requests: float
    received: float
    cpu: float
    ratio: float | None


class OfRow(msgspec.Struct, frozen=True):
    row: str
    what: str
    unit: str
    peers: dict[str, OfPeer]
    reasons: dict[str, str]


class Report(msgspec.Struct, frozen=True):
    about: dict[str, str]
    rows: list[OfRow]
    notes: list[str]


def summary(rows: Iterable[Row], peers: Sequence[str], results: Results) -> list[OfRow]:
    return [
        OfRow(
            row.key,
            row.what,
            row.kind,
            {peer: of_peer(row.key, peer, results) for peer in peers if results.samples.get((row.key, peer))},
            {peer: reason for (key, peer), reason in results.reasons.items() if key == row.key},
        )
        for row in rows
    ]


def of_peer(key: str, peer: str, results: Results) -> OfPeer:
    samples = results.samples[key, peer]
    median = statistics.median(sample.value for sample in samples)
    ours = [sample.value for sample in results.samples.get((key, "drivefs"), [])]
    return OfPeer(
        median=median,
        values=[sample.value for sample in samples],
        requests=statistics.median(sample.requests for sample in samples),
        received=statistics.median(sample.received for sample in samples),
        cpu=statistics.median(sample.cpu for sample in samples),
        ratio=median / statistics.median(ours) if ours and statistics.median(ours) else None,
    )


def as_table(report: Report, peers: Sequence[str]) -> str:
    """Medians with the ratio of each peer; then requests and MB from the server, in the order of the peers."""
    head = ["", "row", "unit", *peers[:1]]
    for peer in peers[1:]:
        head += [peer, "ratio"]
    head += ["requests", "MB received"]
    lines = [head, ["---"] * 3 + ["---:"] * (len(head) - 3), *(cells(row, peers) for row in report.rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    table = [" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    about = [f"{key}: {value}" for key, value in report.about.items()]
    return "\n".join([*about, "", *(f"| {line} |" for line in table), "", *notes(report)])


def cells(row: OfRow, peers: Sequence[str]) -> list[str]:
    made = [row.row, row.what, row.unit]
    for number, peer in enumerate(peers):
        there = row.peers.get(peer)
        made.append(shown(there.median) if there else "-")
        if number:
            made.append(f"{there.ratio:.2f}" if there and there.ratio is not None else "")
    if row.unit != "s":
        return [*made, "", ""]
    requests = (wire(row, peer, lambda of: f"{of.requests:g}") for peer in peers)
    received = (wire(row, peer, lambda of: f"{of.received / 1e6:.1f}") for peer in peers)
    return [*made, " / ".join(requests), " / ".join(received)]


def wire(row: OfRow, peer: str, text: Callable[[OfPeer], str]) -> str:
    there = row.peers.get(peer)
    return text(there) if there else "-"


def shown(value: float) -> str:
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 100 else f"{value:.0f}"


def notes(report: Report) -> list[str]:
    """Each reason once, with the rows that it explains."""
    rows_of: dict[tuple[str, str], list[str]] = {}
    for row in report.rows:
        for peer, reason in row.reasons.items():
            rows_of.setdefault((peer, reason), []).append(row.row)
    return [f"- {peer}, {', '.join(rows)}: {reason}" for (peer, reason), rows in rows_of.items()] + report.notes
