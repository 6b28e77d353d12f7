"""`drivefs serve`: shares a folder over WebDAV with the embedded server."""

from __future__ import annotations

import os
from pathlib import Path

import click


@click.command(name="serve")
@click.argument("directory", metavar="DIR")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Where to listen.")
@click.option("--user", metavar="NAME", help="Ask for this user; the password: DRIVEFS_PASSWORD, else one is made.")
@click.option("--read-only", is_flag=True, help="Let nobody change anything.")
def command(directory: str, port: int, host: str, user: str | None, read_only: bool) -> int:
    """Share the folder DIR over WebDAV until Ctrl-C."""
    from drivefs.credentials import VARIABLE
    from drivefs.remote.share import serve

    password = os.environ.get(VARIABLE) if user else None
    serve(Path(directory).absolute(), host, port, user, password, read_only)
    return 0
