"""The command `drivefs`: finds the subcommand, and turns every error into one line and an exit code.

Each command has a file of its own, loaded when it is needed; those files load what is heavy (rich, httpx, the
daemon) inside their functions, so that `--help` and shell completion stay quick.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 needs attention, 4 server not reachable,
5 not permitted or bad credentials. `except Exception` is allowed here: it is a border.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from typing import NoReturn

import click

from drivefs import __version__
from drivefs.cli.failure import describe
from drivefs.cli.text import printable

COMMANDS = ("setup", "mount", "unmount", "status", "list", "sync", "serve")

COMPLETION = """Shell completion: put this into your shell's start file.

\b
bash: eval "$(_DRIVEFS_COMPLETE=bash_source drivefs)"
zsh:  eval "$(_DRIVEFS_COMPLETE=zsh_source drivefs)"
fish: _DRIVEFS_COMPLETE=fish_source drivefs | source
"""


class LazyGroup(click.Group):
    """Command NAME is the object `command` in `drivefs.cli.cmd_NAME`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"drivefs.cli.cmd_{cmd_name}").command
        return command


@click.group(cls=LazyGroup, epilog=COMPLETION, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error, and log more.")
@click.version_option(__version__, prog_name="drivefs")
@click.pass_context
def drivefs(ctx: click.Context, debug: bool) -> None:
    """A remote share as a local folder."""
    ctx.obj = debug


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run one command, and end the process with its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    sys.exit(run(arguments))


def run(arguments: list[str]) -> int:
    """Run one command; errors go to stderr as one line. Answers the exit code."""
    debug = arguments[:1] == ["--debug"]
    try:
        result = drivefs.main(arguments, prog_name="drivefs", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.NoArgsIsHelpError as problem:
        click.echo(problem.ctx.get_help() if problem.ctx else "", err=True)
        return 2
    except click.ClickException as problem:
        return _fail(_usage_text(problem), problem.exit_code)
    except click.Abort:
        return _fail("interrupted", 1)
    except Exception as problem:
        if debug:
            traceback.print_exception(problem)
        return _fail(*describe(problem, "`drivefs --debug …` shows where"))


def _usage_text(problem: click.ClickException) -> str:
    context = problem.ctx if isinstance(problem, click.UsageError) else None
    hint = f" (see {context.command_path} --help)" if context else ""
    return problem.format_message().rstrip(".") + hint


def _fail(text: str, code: int) -> int:
    click.echo("drivefs: " + printable(" ".join(text.split())), err=True)
    return code
