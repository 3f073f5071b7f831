"""A user's mistake: said in one line, without a traceback, with exit status 2."""

from __future__ import annotations

import difflib
import functools
import sys
from collections.abc import Callable, Iterable

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130
EXIT_RESUMABLE = 75  # EX_TEMPFAIL: try again, with --auto_resume


class UserError(Exception):
    """Something the user can put right. Its text says what, where, and the way out."""


class DataError(UserError):
    """An image that cannot be used, found while training."""


class OptionError(UserError):
    """Every fault found in an option file, one line each.

    Attributes:
        faults: The lines.
    """

    def __init__(self, faults: Iterable[str]):
        self.faults = list(faults)
        super().__init__("\n".join(self.faults))


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """The valid name that looks most like `name`, or None where none comes near."""
    names = {str(v).lower(): str(v) for v in valid}
    asked = str(name).lower()
    found = difflib.get_close_matches(asked, names, n=1, cutoff=0.55)
    longer = [n for n in sorted(names) if len(asked) > 2 and n.startswith(asked)]
    return names[(found or longer)[0]] if found or longer else None


def hint(name: str, valid: Iterable[str], limit: int = 60) -> str:
    """ "did you mean X?" where a name comes near, and the valid names where they fit a line."""
    valid = sorted({str(v) for v in valid})
    guess = nearest(name, valid)
    parts = [f"did you mean '{guess}'?"] if guess else []
    if len(valid) <= limit:
        parts.append("valid: " + ", ".join(valid))
    return " ".join(parts)


def command_line(main: Callable[[], int | None]) -> Callable[[], int]:
    """Make a UserError that leaves `main` a line on stderr and exit status 2."""

    @functools.wraps(main)
    def run() -> int:
        try:
            return main() or 0
        except UserError as error:
            for line in str(error).splitlines():
                sys.stderr.write(f"error: {line}\n")  # in one piece, beside other processes' lines
            return EXIT_USER_ERROR
        except KeyboardInterrupt:
            print("Stopped by Ctrl-C", file=sys.stderr)
            return EXIT_INTERRUPTED

    return run
