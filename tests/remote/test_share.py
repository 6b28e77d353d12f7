"""The embedded share: what the demo remote serves, who may come in, and that it ends with its parent."""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import re
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from drivefs.errors import Unreachable, UsageError
from drivefs.remote.samples import LARGE_SIZE, make_samples
from drivefs.remote.share import DemoShare, serve


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("samples") / "Demo"
    make_samples(directory)
    return directory


def tree(top: Path) -> dict[str, tuple[int, int, str]]:
    """Time, size and sum of every entry below `top`."""
    return {
        str(path.relative_to(top)): (
            path.stat().st_mtime_ns,
            path.stat().st_size if path.is_file() else 0,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in [top, *top.rglob("*")]
    }


def request(
    url: str, method: str, path: str = "/", login: str | None = None, **headers: str
) -> tuple[int, list[str], bytes]:
    """Status, challenges and body of one request."""
    if login is not None:
        headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers.get_all("WWW-Authenticate", []), answer.read()
    finally:
        connection.close()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "still not so after 20 s"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# --- the sample content ---


def test_the_sample_content_is_the_same_each_time(samples: Path, tmp_path: Path) -> None:
    make_samples(tmp_path / "again")
    assert tree(tmp_path / "again") == tree(samples)


def test_the_sample_content_is_from_the_past(samples: Path) -> None:
    assert all(time < 1_767_225_600 * 10**9 for time, _, _ in tree(samples).values()), "2026 or later"


def test_what_was_changed_in_the_sample_content_stays(tmp_path: Path) -> None:
    directory = tmp_path / "deep" / "Demo"
    make_samples(directory)
    (directory / "Welcome.txt").write_text("mine")
    (directory / "Documents" / "Report.md").unlink()
    before = tree(directory)
    make_samples(directory)
    assert tree(directory) == before


def test_the_large_file_has_the_sum_that_is_listed(samples: Path) -> None:
    listed, name = (samples / "Large" / "SHA256SUMS.txt").read_text().split()
    content = (samples / "Large" / name).read_bytes()
    assert len(content) == LARGE_SIZE
    assert hashlib.sha256(content).hexdigest() == listed
    assert len(zlib.compress(content[:1_000_000])) > 999_000, "a compressing proxy would make it small"


def test_there_is_an_empty_file_and_an_empty_folder(samples: Path) -> None:
    entries = list(samples.rglob("*"))
    assert any(path.is_file() and path.stat().st_size == 0 for path in entries)
    assert any(path.is_dir() and not any(path.iterdir()) for path in entries)


@pytest.mark.parametrize(
    "name", ["Pictures/Dawn.png", "Pictures/Plasma.png", "Pictures/Waves.png", "日本語/写真/山.png"]
)
def test_pictures_are_whole(samples: Path, name: str) -> None:
    data = (samples / name).read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, at = {}, 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert zlib.crc32(kind + body) == struct.unpack_from(">I", data, at + 8 + length)[0]
        chunks[kind] = body
        at += 12 + length
    width, height = struct.unpack_from(">II", chunks[b"IHDR"])
    pixels = zlib.decompress(chunks[b"IDAT"])
    assert (width, height) == (800, 600)
    assert len(pixels) == height * (width + 1)
    assert max(pixels) < len(chunks[b"PLTE"]) // 3, "a pixel has a colour that is not in the palette"


def test_the_table_in_the_pdf_leads_to_its_objects(samples: Path) -> None:
    data = (samples / "Documents" / "Two pages.pdf").read_bytes()
    table = int(data.rsplit(b"startxref\n", 1)[1].split()[0])
    offsets = [int(line) for line in re.findall(rb"(\d{10}) 00000 n \n", data[table:])]
    assert len(offsets) == 7
    for number, offset in enumerate(offsets, start=1):
        assert data[offset:].startswith(b"%d 0 obj\n" % number)


# --- the demo share ---


@pytest.fixture(scope="module")
def demo(samples: Path) -> Iterator[DemoShare]:
    with DemoShare(samples) as demo:
        yield demo


def test_the_demo_lets_in_with_its_password_only(demo: DemoShare) -> None:
    assert request(demo.url, "PROPFIND", login=f"{demo.user}:{demo.password}", Depth="0")[0] == 207
    assert request(demo.url, "PROPFIND", login=f"{demo.user}:wrong", Depth="0")[0] == 401
    status, challenges, _ = request(demo.url, "PROPFIND", Depth="0")
    assert status == 401
    assert sorted(challenge.split()[0] for challenge in challenges) == ["Basic", "Digest"]


def test_the_demo_serves_every_entry(demo: DemoShare, samples: Path) -> None:
    status, _, body = request(demo.url, "PROPFIND", login=f"{demo.user}:{demo.password}", Depth="infinity")
    assert status == 207
    assert len(re.findall(rb"</\w+:response>", body)) == len(tree(samples)), "one answer for each entry"


def test_the_demo_serves_ranges(demo: DemoShare, samples: Path) -> None:
    login = f"{demo.user}:{demo.password}"
    status, _, body = request(demo.url, "GET", "/Large/random.bin", login, Range="bytes=1000000-1000999")
    assert status == 206
    assert body == (samples / "Large" / "random.bin").read_bytes()[1_000_000:1_001_000]


def test_a_folder_is_no_page(demo: DemoShare) -> None:
    assert request(demo.url, "GET", "/Pictures/", f"{demo.user}:{demo.password}")[0] == 403


def test_the_password_of_the_demo_is_on_no_command_line(demo: DemoShare) -> None:
    assert demo.password not in Path(f"/proc/{demo.pid}/cmdline").read_text()
    assert demo.password not in Path(f"/proc/{demo.pid}/environ").read_text()


def test_the_demo_stops_with_its_context(samples: Path) -> None:
    with DemoShare(samples) as demo:
        pid = demo.pid
        assert pid is not None
        assert alive(pid)
    assert not alive(pid)
    with pytest.raises(ConnectionRefusedError):
        request(demo.url, "OPTIONS")


def test_the_demo_ends_when_its_parent_is_killed(samples: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from drivefs.remote.share import DemoShare\n"
        "with DemoShare(Path(sys.argv[1])) as demo: print(demo.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, str(samples)], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not alive(pid))


def test_a_demo_that_does_not_start_is_told_and_leaves_nothing(samples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    demo = DemoShare(samples)
    with pytest.raises(Unreachable), demo:
        pass
    assert demo.pid is None


# --- serving a folder ---


class Served:
    """`serve` in a process of its own, as the command runs it; `said` is what it printed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process, self.output = process, process.stdout
        self.said = "".join(iter(self._line, "Stop with Ctrl-C\n"))
        self.url = re.findall(r"http://\S+", self.said)[0]

    def _line(self) -> str:
        line = self.output.readline()
        assert line, "it ended before it served"
        return line

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Exit code."""
        self.process.send_signal(number)
        self.said += self.process.communicate(timeout=20)[0]
        return self.process.returncode


@contextmanager
def served(
    directory: Path,
    user: str | None = None,
    password: str | None = None,
    host: str = "127.0.0.1",
    read_only: bool = False,
) -> Iterator[Served]:
    call = f"serve(Path({str(directory)!r}), {host!r}, 0, {user!r}, {password!r}, {read_only!r})"
    program = f"from pathlib import Path; from drivefs.remote.share import serve; {call}"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Served(process)
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_shares_until_it_is_told_to_stop(tmp_path: Path, number: int) -> None:
    (tmp_path / "a.txt").write_text("hello")
    with served(tmp_path) as server:
        assert request(server.url, "GET", "/a.txt")[2] == b"hello"
        assert request(server.url, "DELETE", "/a.txt")[0] == 204
        assert server.stop(number) == 0
    assert not (tmp_path / "a.txt").exists()


def test_serve_takes_odd_names_and_other_addresses(tmp_path: Path) -> None:
    folder = tmp_path / "~" / "$HOME"
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("hello")
    with served(folder, host="::1") as server:
        assert server.url.startswith("http://[::1]:")
        assert request(server.url, "GET", "/a.txt")[2] == b"hello"


def test_serve_read_only_refuses_changes(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    with served(tmp_path, read_only=True) as server:
        assert request(server.url, "DELETE", "/a.txt")[0] == 403
        assert request(server.url, "GET", "/a.txt")[2] == b"hello"


def test_serve_makes_and_prints_a_password_for_a_user_without_one(tmp_path: Path) -> None:
    with served(tmp_path, "ann") as server:
        password = re.findall(r"password (\S+)", server.said)[0]
        assert request(server.url, "PROPFIND", login=f"ann:{password}", Depth="0")[0] == 207
        assert request(server.url, "PROPFIND", Depth="0")[0] == 401


def test_serve_prints_no_password_that_was_given(tmp_path: Path) -> None:
    with served(tmp_path, "ann", "hunter2") as server:
        assert request(server.url, "PROPFIND", login="ann:hunter2", Depth="0")[0] == 207
        assert request(server.url, "PROPFIND", login="ann:hunter3", Depth="0")[0] == 401
        assert server.stop() == 0
        assert "ann" in server.said
        assert "hunter" not in server.said


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_serve_opens_no_door_to_the_network_without_a_user(tmp_path: Path, host: str) -> None:
    with pytest.raises(UsageError, match="--user"):
        serve(tmp_path, host, 0, None, None, True)


def test_serve_wants_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a folder"):
        serve(tmp_path / "missing", "127.0.0.1", 0, None, None, True)


def test_serve_tells_that_a_port_is_taken(tmp_path: Path, demo: DemoShare) -> None:
    port = urlsplit(demo.url).port
    call = f"serve(Path('/'), '127.0.0.1', {port}, None, None, True)"
    program = f"from pathlib import Path; from drivefs.remote.share import serve; {call}"
    # In its own process: cheroot leaves the socket that it could not bind to the garbage collector.
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert f"UsageError: cannot listen on 127.0.0.1, port {port}: " in ended.stderr
    assert "in use" in ended.stderr


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'drivefs\[share\]'"):
        serve(tmp_path, "127.0.0.1", 0, None, None, True)
    with pytest.raises(UsageError, match=r"pip install 'drivefs\[share\]'"), DemoShare(tmp_path / "Demo"):
        pass
    assert not os.listdir(tmp_path)
