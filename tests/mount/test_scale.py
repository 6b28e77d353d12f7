"""A share of 100,000 entries: memory of the daemon, size of its records, time of the first listing."""

from __future__ import annotations

import logging
import os
import re
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from tests.mount.files import MIB
from tests.mount.test_names import ANSWER
from tests.support.drive import drive

log = logging.getLogger(__name__)

FOLDERS, FILES = 200, 500


class Generated(BaseHTTPRequestHandler):
    """Listings of a share that exists in them only."""

    protocol_version = "HTTP/1.1"

    def do_OPTIONS(self) -> None:
        self._answer(200, b"")

    def do_PROPFIND(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        here = self.path.strip("/")
        names: list[tuple[str, str]] = [(f"{here}/" if here else "", "<d:collection/>")]
        if self.headers.get("Depth") == "1" and not here:
            names += [(f"folder-{number:03}/", "<d:collection/>") for number in range(FOLDERS)]
        elif self.headers.get("Depth") == "1" and re.fullmatch(r"folder-\d+", here):
            names += [(f"{here}/a file with a usual name {number:04}.txt", "") for number in range(FILES)]
        answers = "".join(ANSWER.format(href=href.replace(" ", "%20"), kind=kind) for href, kind in names)
        self._answer(207, f'<d:multistatus xmlns:d="DAV:">{answers}</d:multistatus>'.encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("DAV", "1")
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_hundred_thousand_entries(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Generated) as share:
        Thread(target=share.serve_forever).start()
        try:
            started = time.monotonic()
            with drive(tmp_path, f"http://127.0.0.1:{share.server_port}/", "--interval", "1h", listed=False) as mounted:
                status = mounted.wait_for(lambda status: status.initial_sync.done and status.state == "idle", 120)
                log.info("seconds: %s", time.monotonic() - started)
                assert status.initial_sync.entries == FOLDERS * (FILES + 1)
                assert sum(len(names) for _, _, names in os.walk(mounted.mountpoint)) == FOLDERS * FILES
                mounted.sync()
                log.info("records: %s", sum(file.stat().st_size for file in mounted.paths.state.glob("drive.db*")))
                log.info("cpu: %s", cpu_seconds(mounted.pid))
                log.info("rss: %s", mounted.rss())
                assert mounted.rss() < 150 * MIB
        finally:
            share.shutdown()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
