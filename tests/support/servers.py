"""Real WebDAV servers on 127.0.0.1, each an own instance with an own folder, for as long as a `with` lasts.

    with apache(users={"ann": "secret"}, tls=True) as server:
        (server.data / "file").write_bytes(b"...")
        ... server.url, server.ca_cert, server.requests() ...

Nothing of the system's own configuration is read or changed. All servers run in the foreground as children of the
test process, and get SIGTERM when it dies. A new kind of server is one function that yields `running(...)`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import md5, sha1
from pathlib import Path
from typing import NamedTuple

READY_SECONDS = 20.0
STOP_SECONDS = 5.0
MODULES = Path("/usr/lib/apache2/modules")


class Request(NamedTuple):
    """One line of an access log.

    `path` is encoded, as it was sent. `sent` counts the bytes that went out, with the headers, also when the
    client left early. `range` is the Range header.
    """

    method: str
    path: str
    status: int
    sent: int
    range: str = ""


class Server(NamedTuple):
    """A running server. `url` has a slash at its end; `data` is the folder that it shares."""

    name: str
    url: str
    data: Path
    root: Path
    process: subprocess.Popen[bytes]
    ca_cert: Path | None = None

    def requests(self, at_least: int = 0) -> list[Request]:
        """All requests since the last `forget_requests`, where the server writes a log of them (Apache, nginx).

        A server writes the line after the answer, so a test that expects some waits for `at_least` so many.
        """
        log = self.root / "access.log"
        deadline = time.monotonic() + READY_SECONDS
        while True:
            lines = log.read_text("utf-8", "replace").splitlines() if log.exists() else []
            if len(lines) >= at_least or time.monotonic() > deadline:
                return [parse_line(line) for line in lines]
            time.sleep(0.01)

    def forget_requests(self) -> None:
        """All that was asked so far. The line of an answer that has just come may still be on its way."""
        log, known = self.root / "access.log", -1
        while (size := log.stat().st_size) != known:
            known = size
            time.sleep(QUIET_SECONDS)
        os.truncate(log, 0)

    def stop(self) -> None:
        """End it now; what is under `data` stays."""
        stop(self.process)


QUIET_SECONDS = 0.1
LOG_LINE = re.compile(r'"(\S+) (\S+)[^"]*" (\d+) (\d+) "([^"]*)"')


def parse_line(line: str) -> Request:
    """A line of the form `"METHOD PATH HTTP/1.1" STATUS BYTES "RANGE"`."""
    match = LOG_LINE.fullmatch(line)
    if match is None:
        return Request("?", line, 0, 0)  # not HTTP at all
    method, path, status, sent, byte_range = match.groups()
    return Request(method, path, int(status), int(sent), "" if byte_range == "-" else byte_range)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_root() -> bool:
    return os.geteuid() == 0


def give_to_server(path: Path) -> None:
    """Apache and nginx started by root go on as www-data; what they write to must be theirs."""
    if is_root():
        shutil.chown(path, "www-data", "www-data")


@contextmanager
def work_folder(name: str) -> Iterator[Path]:
    """A folder that servers can get into after they dropped root's rights."""
    root = Path(tempfile.mkdtemp(prefix=f"drivefs-{name}-"))
    root.chmod(0o755)
    try:
        (root / "data").mkdir()
        give_to_server(root / "data")
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def running(
    name: str,
    root: Path,
    command: Sequence[object],
    url: str,
    *,
    env: Mapping[str, str] | None = None,
    ca_cert: Path | None = None,
) -> Iterator[Server]:
    """Starts a server, waits until it answers, and stops it at the end, whatever happened in between."""
    arguments = ["setpriv", "--pdeathsig", "TERM", "--", *map(str, command)]
    with open(root / "log", "wb") as log:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
    try:
        wait_until_ready(process, url, root)
        yield Server(name, url, root / "data", root, process, ca_cert)
    finally:
        stop(process)


def wait_until_ready(process: subprocess.Popen[bytes], url: str, root: Path) -> None:
    """Until the port takes connections: a condition, with a deadline."""
    host, port = re.fullmatch(r"https?://([^:/]+):(\d+)/.*", url).groups()  # type: ignore[union-attr]
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection((host, int(port)), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    logs = "\n".join(log.read_text("utf-8", "replace") for log in root.glob("*log"))
    raise RuntimeError(f"{process.args!r} did not start (exit code {process.poll()}):\n{logs}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """Politely, then by force, with all that it started."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()


@contextmanager
def wsgidav(*, users: Mapping[str, str] | None = None, digest: bool = False) -> Iterator[Server]:
    """WsgiDAV on cheroot: Python, one-second ETags, no quotes around them in PROPFIND. `digest`: instead of Basic."""
    with work_folder("wsgidav") as root:
        port = free_port()
        config = {
            "host": "127.0.0.1",
            "port": port,
            "server": "cheroot",
            "provider_mapping": {"/": str(root / "data")},
            "simple_dc": {
                "user_mapping": {"*": {user: {"password": users[user]} for user in users} if users else True}
            },
            "http_authenticator": {"accept_basic": not digest, "accept_digest": digest, "default_to_digest": digest},
            "lock_storage": True,
            "property_manager": True,
            "verbose": 1,
            "dir_browser": {"enable": False},
        }
        (root / "config.json").write_text(json.dumps(config))
        command = [Path(sys.executable).parent / "wsgidav", "--config", root / "config.json"]
        with running("wsgidav", root, command, f"http://127.0.0.1:{port}/") as server:
            yield server


@contextmanager
def rclone(*, users: Mapping[str, str] | None = None) -> Iterator[Server]:
    """`rclone serve webdav`: stands for servers on Go's x/net/webdav. At most one user."""
    with work_folder("rclone") as root:
        port = free_port()
        command = ["rclone", "serve", "webdav", str(root / "data"), "--addr", f"127.0.0.1:{port}"]
        command += ["--dir-cache-time", "0s", "--config", "/dev/null"]
        for user, password in (users or {}).items():
            command += ["--user", user, "--pass", password]
        with running("rclone", root, command, f"http://127.0.0.1:{port}/") as server:
            yield server


APACHE_MODULES = (
    "mpm_event authz_core authz_user mime setenvif dir dav dav_fs auth_basic auth_digest authn_core authn_file ssl "
    "socache_shmcb"
)
APACHE_CONFIG = """
ServerRoot {root}
PidFile {root}/pid
Listen 127.0.0.1:{port}
ServerName localhost
{modules}
{identity}
TypesConfig /etc/mime.types
ErrorLog {root}/error.log
CustomLog {root}/access.log "\\"%r\\" %>s %O \\"%{{Range}}i\\""
StartServers 1
KeepAliveTimeout 5
MaxKeepAliveRequests 0
DocumentRoot {root}/data
DavLockDB {root}/lock/DavLock
<Directory />
  Require all granted
</Directory>
<Location "/">
  Dav On
{auth}
</Location>
{tls}
{extra}
"""
APACHE_AUTH = """
  AuthType Basic
  AuthName drivefs
  AuthUserFile {root}/users
  Require valid-user
"""
APACHE_DIGEST = """
  AuthType Digest
  AuthName drivefs
  AuthDigestDomain /
  AuthUserFile {root}/users
  AuthDigestNonceLifetime {digest}
  Require valid-user
"""
APACHE_TLS = """
SSLEngine on
SSLCertificateFile {root}/server.pem
SSLCertificateKeyFile {root}/server.key
SSLSessionCache none
"""


@contextmanager
def apache(
    *,
    users: Mapping[str, str] | None = None,
    tls: bool = False,
    digest: int | None = None,
    extra: str = "",
) -> Iterator[Server]:
    """Apache with mod_dav_fs and its access log. `tls`: with a certificate of an own CA, see `Server.ca_cert`.

    `digest`: Digest instead of Basic, with nonces that live so many seconds (0: for one request). `{root}` in
    `extra` is the server's folder, where the certificates of `tls` are, one of a client among them.
    """
    with work_folder("apache") as root:
        (root / "lock").mkdir()
        give_to_server(root / "lock")
        if users:
            write_users(root / "users", users, digest=digest is not None)
        authority = make_certificates(root) if tls else None
        port = free_port()
        config = APACHE_CONFIG.format(
            root=root,
            port=port,
            modules="\n".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in APACHE_MODULES.split()),
            identity="User www-data\nGroup www-data" if is_root() else "",
            auth=(APACHE_AUTH if digest is None else APACHE_DIGEST).format(root=root, digest=digest) if users else "",
            tls=APACHE_TLS.format(root=root) if tls else "",
            extra=extra.replace("{root}", str(root)),
        )
        (root / "apache.conf").write_text(config)
        url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/"
        command = ["apache2", "-f", root / "apache.conf", "-DFOREGROUND"]
        with running("apache", root, command, url, ca_cert=authority) as server:
            yield server


def write_users(path: Path, users: Mapping[str, str], *, digest: bool) -> None:
    """A file for AuthUserFile. The SHA-1 form is weak, and quick: these are no secrets."""

    def line(user: str, password: str) -> str:
        if digest:
            return f"{user}:drivefs:{md5(f'{user}:drivefs:{password}'.encode()).hexdigest()}\n"
        return f"{user}:{{SHA}}{b64encode(sha1(password.encode()).digest()).decode()}\n"

    path.write_text("".join(line(user, password) for user, password in users.items()))


def make_certificates(root: Path) -> Path:
    """A CA, and certificates by it: `server.pem` and `.key` for 127.0.0.1 and localhost, `client.pem` and `.key`.

    Gives the CA's.
    """
    names = root / "names"
    names.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl(root, *new, "-x509", "-days", "2", "-subj", "/CN=drivefs test CA", "-keyout", "ca.key", "-out", "ca.pem")
    openssl(root, *new, "-subj", "/CN=127.0.0.1", "-keyout", "server.key", "-out", "server.csr")
    signing = ["-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"]
    openssl(root, "x509", *signing, "-extfile", str(names), "-out", "server.pem")
    openssl(root, *new, "-subj", "/CN=ann", "-keyout", "client.key", "-out", "client.csr")
    openssl(root, "x509", *(argument.replace("server", "client") for argument in signing), "-out", "client.pem")
    return root / "ca.pem"


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


NGINX_CONFIG = """
load_module /usr/lib/nginx/modules/ngx_http_dav_ext_module.so;
daemon off;
{identity}
worker_processes 1;
pid {root}/pid;
error_log {root}/error.log warn;
events {{ worker_connections 256; }}
http {{
  log_format plain '"$request" $status $bytes_sent "$http_range"';
  access_log {root}/access.log plain;
  client_max_body_size 0;
  client_body_temp_path {root}/tmp;
  dav_ext_lock_zone zone=locks:1m;
  server {{
    listen 127.0.0.1:{port};
    root {root}/data;
    location / {{
      dav_methods PUT DELETE MKCOL COPY MOVE;
      dav_ext_methods PROPFIND OPTIONS {locks};
      dav_ext_lock zone=locks;
      create_full_put_path off;
      dav_access user:rw group:rw all:r;
    }}
  }}
}}
"""


@contextmanager
def nginx(*, locks: bool = True) -> Iterator[Server]:
    """nginx with dav-ext: no ETags in PROPFIND, whole seconds, and no dotfiles in listings."""
    with work_folder("nginx") as root:
        (root / "tmp").mkdir()
        give_to_server(root / "tmp")
        port = free_port()
        identity = "user www-data;" if is_root() else ""
        methods = "LOCK UNLOCK" if locks else ""
        (root / "nginx.conf").write_text(NGINX_CONFIG.format(root=root, port=port, identity=identity, locks=methods))
        command = ["nginx", "-e", root / "error.log", "-c", root / "nginx.conf"]
        with running("nginx", root, command, f"http://127.0.0.1:{port}/") as server:
            yield server


LIGHTTPD_CONFIG = """
server.modules = ("mod_webdav")
server.document-root = "{root}/data"
server.port = {port}
server.bind = "127.0.0.1"
server.errorlog = "{root}/error.log"
server.upload-dirs = ("{root}/tmp")
mimetype.assign = ("" => "application/octet-stream")
webdav.activate = "enable"
webdav.is-readonly = "disable"
webdav.sqlite-db-name = "{root}/webdav.db"
webdav.opts = ("propfind-depth-infinity" => "enable")
"""


@contextmanager
def lighttpd() -> Iterator[Server]:
    """lighttpd: 415 without a Content-Type, and a length for folders, too."""
    with work_folder("lighttpd") as root:
        (root / "tmp").mkdir()
        port = free_port()
        (root / "lighttpd.conf").write_text(LIGHTTPD_CONFIG.format(root=root, port=port))
        command = ["lighttpd", "-D", "-f", root / "lighttpd.conf"]
        with running("lighttpd", root, command, f"http://127.0.0.1:{port}/") as server:
            yield server


SABRE_SCRIPT = """<?php
require 'Sabre/autoload.php';
$root = getenv('DAV_ROOT');
$server = new Sabre\\DAV\\Server(new Sabre\\DAV\\FSExt\\Directory($root));
$server->setBaseUri('/');
$server->addPlugin(new Sabre\\DAV\\Locks\\Plugin(new Sabre\\DAV\\Locks\\Backend\\File("$root/../locks")));
$server->exec();
"""


@contextmanager
def sabre() -> Iterator[Server]:
    """sabre/dav 1.8 in PHP's own server: one request at a time."""
    with work_folder("sabre") as root:
        port = free_port()
        (root / "sabre.php").write_text(SABRE_SCRIPT)
        quiet = ["-d", "error_reporting=0", "-d", "display_errors=0"]
        command = ["php", *quiet, "-S", f"127.0.0.1:{port}", root / "sabre.php"]
        url, env = f"http://127.0.0.1:{port}/", {"DAV_ROOT": str(root / "data")}
        with running("sabre", root, command, url, env=env) as server:
            yield server
