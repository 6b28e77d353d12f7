"""What a server can do, told from its first answers. Pure.

Each rule here was seen on that server: a name alone proves little, for any server may stand behind Apache or nginx.
What is not recognised gets the careful answer.
"""

from __future__ import annotations

import httpx

from drivefs.model import Kind, Observation
from drivefs.remote.base import Capabilities
from drivefs.remote.webdav.propfind import AVAILABLE, FILE_ID, ID, PERMISSIONS, USED, space_of
from drivefs.remote.webdav.xml import Response

MOD_DAV_FS = "<http://apache.org/dav/propset/fs/1>"
"""In a DAV header of Apache's own mod_dav_fs, and of nothing else that runs under Apache."""


def learn(options: httpx.Headers, answer: httpx.Headers, root: Response) -> Capabilities:
    """`options` and `answer` are the headers of OPTIONS (may be empty) and PROPFIND of the root.

    Ranges are taken for granted: asking for one is always safe, and the first answer to one tells.
    """
    server = answer.get("server", "")
    classes = {word.strip() for word in options.get("dav", "").split(",")}
    has_ids = bool(root.found.get(FILE_ID) or root.found.get(ID))
    own_listing = MOD_DAV_FS in classes or (server.startswith("lighttpd") and classes == {"1", "2", "3"})
    return Capabilities(
        server=server,
        ranges=answer.get("accept-ranges") != "none",
        file_ids=has_ids,
        # what was mounted into a Nextcloud from elsewhere changes without it
        tree_etags=has_ids and "M" not in root.found.get(PERMISSIONS, ""),
        folder_versions=has_ids or own_listing,
        # nginx tells of class 2 alone, which no other does; others behind an nginx tell their own classes.
        hides_dotfiles=server.startswith("nginx") and classes <= {"2", ""},
        strong_etags=has_ids or own_listing,
        composes_names=has_ids,
        space=AVAILABLE in root.found and USED in root.found and space_of(root).available is not None,
    )


def shows_strong_etag(observation: Observation) -> bool:
    version = observation.version
    return observation.kind is Kind.FILE and version.etag is not None and not version.weak
