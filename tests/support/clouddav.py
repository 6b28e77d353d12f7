"""The words of the `nextcloud` of the tests: who may log in, the two products, refusals, names, and its XML."""

from __future__ import annotations

import base64
import unicodedata
from email.utils import formatdate

import msgspec

from drivefs.model import encode_name
from tests.support.cloudhttp import Asked, Reply

Path = tuple[str, ...]

USER = "ann"
LOGIN = "ann@example.org"
"""Another name that the same user may log in with; it is no part of any address."""
PASSWORD = "app-pass-word-12345"
INSTANCE = "ocdrivefs01"
FILE_PERMISSIONS, FOLDER_PERMISSIONS = "RGDNVW", "RGDNVCK"


class Product(msgspec.Struct, frozen=True):
    """What differs between the two."""

    name: str
    version: str
    tells_readable: bool
    """The permission `G` is told; ownCloud and old Nextclouds have no letter for it."""
    answers_infinity: bool
    compares_checksums: bool
    hashes: bool
    """X-Hash of a PUT is answered."""
    minimum_chunk: int


NEXTCLOUD = Product("Nextcloud", "31.0.4.1", True, True, False, True, 5_000_000)
OWNCLOUD = Product("ownCloud", "10.15.0.3", False, False, True, False, 0)


class Refusal(Exception):
    def __init__(self, status: int, message: str = "") -> None:
        super().__init__(message)
        self.status = status


SAFE = "/!$'()*,-.:=@_~"
"""What sabre/dav leaves as it is in an href."""


def composed(name: str) -> str:
    """Nextcloud's and ownCloud's files have names in NFC, whatever a request says."""
    return unicodedata.normalize("NFC", name)


def checked_name(name: str) -> None:
    low = name.lower()
    if low == ".htaccess" or low.endswith((".part", ".filepart")) or "\\" in name or len(encode_name(name)) > 250:
        raise Refusal(400, "invalid name")


def authorised(header: str) -> bool:
    method, _, coded = header.partition(" ")
    return method == "Basic" and base64.b64decode(coded).decode() in {f"{who}:{PASSWORD}" for who in (USER, LOGIN)}


def http_date(seconds: float) -> str:
    return formatdate(seconds, usegmt=True)


def text(asked: Asked) -> str:
    return bytes(asked.body).decode()


def response(href: str, found: str, missing: str) -> str:
    parts = [f"<d:propstat><d:prop>{found}</d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat>"]
    if missing:
        status = "<d:status>HTTP/1.1 404 Not Found</d:status>"
        parts.append(f"<d:propstat><d:prop>{missing}</d:prop>{status}</d:propstat>")
    return f"<d:response><d:href>{href}</d:href>{''.join(parts)}</d:response>"


def multistatus(*responses: str) -> Reply:
    names = 'xmlns:d="DAV:" xmlns:s="http://sabredav.org/ns" xmlns:oc="http://owncloud.org/ns"'
    body = f'<?xml version="1.0"?>\n<d:multistatus {names}>{"".join(responses)}</d:multistatus>'
    return Reply(207, body.encode(), {"Content-Type": "application/xml; charset=utf-8"})


def refused(refusal: Refusal) -> Reply:
    body = f'<?xml version="1.0"?><d:error xmlns:d="DAV:" xmlns:s="urn:s"><s:message>{refusal}</s:message></d:error>'
    return Reply(refusal.status, body.encode(), {"Content-Type": "application/xml; charset=utf-8"})
