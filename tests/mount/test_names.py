"""Names of all kinds through a mount, and those that cannot exist here."""

from __future__ import annotations

import os
import unicodedata
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from tests.mount.files import OLD
from tests.support.drive import drive
from tests.support.servers import Server

ODD = [
    "a b", "%41", "%2F", "a%20b", "#hash", "what?", "a;b", "a&b", "a+b", "a:b", "a=b,c", "back\\slash", "'quote'",
    '"double"', "<xml>&amp;</xml>", "[x]{y}", "~tilde", ".hidden", "..two", "...", "trailing.", " lead", "trail ",
    "tab\there", "new\nline", unicodedata.normalize("NFC", "Ünïcödé"), unicodedata.normalize("NFD", "Ünïcödé"),
    "emoji 😀👩‍👩‍👧", "日本語", "x" * 255, "ü" * 127,
    "UPPER", "upper", "*", "$HOME", "`x`", "-rf", "CON", "@at", "|pipe",
]  # fmt: skip
BYTES = [b"latin-\xe4", b"\xff\xfe", b"broken \xc3"]


def test_odd_names_are_what_they_are_on_the_server(server: Server, tmp_path: Path) -> None:
    top = os.fsencode(server.data)
    names = [os.fsencode(name) for name in ODD] + BYTES
    for number, name in enumerate(names):
        for path in (os.path.join(top, name), os.path.join(top, b"in " + name[:250], name)):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(b"%d " % number + name)
            os.utime(path, (OLD, OLD))
    with drive(tmp_path, server.url, "--interval", "1h") as mounted:
        here = os.fsencode(mounted.mountpoint)
        assert sorted(os.listdir(here)) == sorted(os.listdir(top))
        for number, name in enumerate(names):
            for path in (os.path.join(here, name), os.path.join(here, b"in " + name[:250], name)):
                with open(path, "rb") as file:
                    assert file.read() == b"%d " % number + name


HOSTILE = ["a%2Fb", "nul%00", "x" * 256, "..%2F..%2Fetc"]
"""As a hand-made server may put them in the hrefs of a listing."""

ANSWER = """<d:response><d:href>/{href}</d:href><d:propstat><d:prop>
<d:resourcetype>{kind}</d:resourcetype><d:getcontentlength>4</d:getcontentlength><d:getetag>"e"</d:getetag>
<d:getlastmodified>Sun, 13 Sep 2020 12:26:40 GMT</d:getlastmodified></d:prop>
<d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>"""


class HostileServer(BaseHTTPRequestHandler):
    """A share with one good file and names that cannot be had."""

    def do_OPTIONS(self) -> None:
        self._answer(200, b"")

    def do_PROPFIND(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        answers = [ANSWER.format(href="", kind="<d:collection/>")]
        if self.headers.get("Depth") == "1":
            answers += [ANSWER.format(href=name, kind="") for name in ("good", *HOSTILE)]
        self._answer(207, f'<d:multistatus xmlns:d="DAV:">{"".join(answers)}</d:multistatus>'.encode())

    def do_GET(self) -> None:
        self._answer(200, b"good" if self.path == "/good" else b"evil", '"e"')

    def _answer(self, status: int, body: bytes, etag: str = "") -> None:
        self.send_response(status)
        self.send_header("DAV", "1")
        self.send_header("Content-Type", "application/xml" if status == 207 else "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        if etag:
            self.send_header("ETag", etag)
            self.send_header("Last-Modified", "Sun, 13 Sep 2020 12:26:40 GMT")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_names_that_cannot_be_here_are_left_out_and_counted(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), HostileServer) as hostile:
        Thread(target=hostile.serve_forever).start()
        try:
            with drive(tmp_path, f"http://127.0.0.1:{hostile.server_port}/", "--interval", "1h") as mounted:
                assert os.listdir(mounted.mountpoint) == ["good"]
                assert (mounted.mountpoint / "good").read_bytes() == b"good"
                assert mounted.status().counts.hidden == len(HOSTILE)
        finally:
            hostile.shutdown()
