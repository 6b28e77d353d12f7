"""What an exception means to a person: one line, and the exit code. The table of exit codes is in `main`."""

from __future__ import annotations

from drivefs.errors import DriveError


def describe(problem: Exception, where: str) -> tuple[str, int]:
    """Text and exit code. `where` says how to find out more about what nobody foresaw."""
    if isinstance(problem, DriveError):
        return str(problem), problem.exit_code
    if isinstance(problem, OSError) and problem.strerror:
        return f"{problem.filename or 'the system'}: {problem.strerror}", 1
    return f"unexpected error: {type(problem).__name__}: {problem}; {where}", 1
