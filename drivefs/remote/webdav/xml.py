"""Multistatus bodies (RFC 4918 section 14.16), parsed as they arrive, with nothing taken on trust.

Raw expat: it is the fastest parser there is here, and it can be fed in pieces. A DOCTYPE is refused, so there are
no entities to expand. Bytes, depth, length of a text, length of a tag and number of entries are bounded, so that
a hostile answer costs an error and not the memory. Prefixes are the server's choice: only namespaces count.

Invariant: `close` succeeds only when the whole document was seen and was well-formed. What `feed` gave before is
not a listing until then.
"""

from __future__ import annotations

from typing import Final
from xml.parsers import expat

import msgspec

from drivefs.errors import BadAnswer
from drivefs.remote.webdav.values import parse_status

DAV: Final = "DAV: "
OC: Final = "http://owncloud.org/ns "
MULTISTATUS, RESPONSE, HREF = DAV + "multistatus", DAV + "response", DAV + "href"
PROPSTAT, PROP, STATUS = DAV + "propstat", DAV + "prop", DAV + "status"
RESOURCETYPE, COLLECTION = DAV + "resourcetype", DAV + "collection"

# Depths of elements: multistatus is 1.
OF_RESPONSE, OF_PROPSTAT, PROPERTY = 3, 4, 5


class Limits(msgspec.Struct, frozen=True):
    """Bounds of one answer. A listing has 300 to 400 bytes per entry, so these are far from any honest one."""

    total_bytes: int = 1024**3
    entries: int = 2_000_000
    depth: int = 32
    text: int = 64 * 1024
    """Characters of one text, and bytes of one tag."""


class Response(msgspec.Struct, gc=False):
    """One `response` element: `found` has the properties with a 2xx status, by `"NAMESPACE name"`, as text.

    `resourcetype` is `"collection"` or empty. `failed` are the properties that the server has but did not tell
    (any status but 2xx and 404). `status` is that of the whole response, where it has one.
    """

    href: str
    status: int | None
    found: dict[str, str]
    failed: set[str]


class MultistatusParser:
    """Feed it pieces of a body, take the responses that are complete, then `close` it."""

    def __init__(self, wanted: frozenset[str], limits: Limits | None = None) -> None:
        self._wanted = wanted
        self._limits = limits or Limits()
        self._fed = 0
        self._seen = 0
        self._depth = 0
        self._text: list[str] = []
        self._text_length = 0
        self._nested = ""
        self._within = ""
        self._in_prop = False
        self._response = Response("", None, {}, set())
        self._properties: dict[str, str] = {}
        self._status: int | None = None
        self._complete: list[Response] = []
        self._expat = self._new_expat()

    def _new_expat(self) -> expat.XMLParserType:
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = refuse_doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        return parser

    def feed(self, data: bytes) -> list[Response]:
        """The responses that `data` completed. Raises BadAnswer as soon as it is clear that this is none."""
        self._fed += len(data)
        if self._fed > self._limits.total_bytes:
            raise BadAnswer(f"the answer is longer than {self._limits.total_bytes} bytes")
        self._parse(data, final=False)
        if self._fed - self._expat.CurrentByteIndex > self._limits.text + len(data):
            raise BadAnswer("the answer has a tag without end")
        complete, self._complete = self._complete, []
        return complete

    def close(self) -> list[Response]:
        """The last responses. Raises BadAnswer when the document is not complete."""
        self._parse(b"", final=True)
        return self._complete

    def _parse(self, data: bytes, *, final: bool) -> None:
        try:
            self._expat.Parse(data, final)
        except expat.ExpatError as error:
            raise BadAnswer(f"the answer is not the XML that was asked for ({error})") from error
        except (LookupError, ValueError) as error:  # an encoding that nobody knows
            raise BadAnswer(f"the answer cannot be decoded ({error})") from error

    # Called by expat, for each of some twenty elements per entry: kept short

    def _start(self, name: str, _attributes: dict[str, str]) -> None:
        depth = self._depth = self._depth + 1
        self._text.clear()
        self._text_length = 0
        if depth == PROPERTY:
            self._nested = ""
        elif depth == OF_PROPSTAT:
            self._in_prop = name == PROP and self._within == PROPSTAT
        elif depth == OF_RESPONSE:
            self._within = name
            self._properties, self._status = {}, None
        elif depth == 2:
            self._response = Response("", None, {}, set())
        elif depth == 1:
            if name != MULTISTATUS:
                raise BadAnswer(f"the answer is a <{name.rpartition(' ')[2]}>, not a <multistatus>")
        elif depth > self._limits.depth:
            raise BadAnswer("the answer is nested too deep")

    def _end(self, name: str) -> None:
        depth = self._depth
        self._depth = depth - 1
        if depth == PROPERTY:
            if self._in_prop and name in self._wanted:
                self._properties[name] = self._nested or "".join(self._text).strip()
        elif depth > PROPERTY:
            self._end_of_nested(name)
        elif depth == OF_PROPSTAT:
            if name == STATUS and self._within == PROPSTAT:
                self._status = parse_status("".join(self._text))
            self._in_prop = False
        elif depth == OF_RESPONSE:
            self._end_of_response_part(name)
        elif depth == 2 and name == RESPONSE:
            self._end_of_response()
        self._text.clear()
        self._text_length = 0

    def _end_of_nested(self, name: str) -> None:
        """The texts inside of a property, with spaces between."""
        if name == COLLECTION:
            self._nested = "collection"
        elif self._nested != "collection":
            self._nested = f"{self._nested} {''.join(self._text).strip()}".strip()
            if len(self._nested) > self._limits.text:
                raise BadAnswer("the answer has a property without end")

    def _end_of_response_part(self, name: str) -> None:
        if name == PROPSTAT:
            status = 200 if self._status is None else self._status
            if 200 <= status < 300:
                self._response.found.update(self._properties)
            elif status != 404:
                self._response.failed.update(self._properties)
        elif name == HREF:
            self._response.href = self._response.href or "".join(self._text).strip()
        elif name == STATUS:
            self._response.status = parse_status("".join(self._text))

    def _end_of_response(self) -> None:
        self._seen += 1
        if self._seen > self._limits.entries:
            raise BadAnswer(f"the answer has more than {self._limits.entries} entries")
        self._complete.append(self._response)

    def _characters(self, text: str) -> None:
        self._text_length += len(text)
        if self._text_length > self._limits.text:
            raise BadAnswer("the answer has a text without end")
        self._text.append(text)


def refuse_doctype(*_: object) -> None:
    raise BadAnswer("the answer has a DOCTYPE, which no share sends")
