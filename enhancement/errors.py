"""A user's mistake: said in one line, without a traceback, with exit status 2."""

from __future__ import annotations

import difflib
import functools
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from enhancement.terminal import ending_in_order, give_up, printable, printable_streams

MOST_LISTED, MOST_FAULTS = 60, 10  # valid names in one line; lines of one kind
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130
EXIT_NO_READER = 141  # as of a program that SIGPIPE ends
EXIT_RESUMABLE = 75  # EX_TEMPFAIL: try again, with --auto_resume
# as PyTorch says on a GPU and on a CPU, and ONNX Runtime
NO_MEMORY = re.compile("out of memory|(not enough|can't allocate|to allocate) memory|bad_alloc")


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


def hint(name: str, valid: Iterable[str]) -> str:
    """ "did you mean X?" where a name comes near, and the valid names where they fit a line."""
    valid = sorted({str(v) for v in valid})
    guess = nearest(name, valid)
    parts = [f"did you mean '{guess}'?"] if guess else []
    if 0 < len(valid) <= MOST_LISTED:
        parts.append("valid: " + ", ".join(valid))
    return " ".join(parts)


def shortened(faults: list[str]) -> list[str]:
    """The first faults, and how many more there are."""
    more = [f"and {len(faults) - MOST_FAULTS} more"] if len(faults) > MOST_FAULTS else []
    return faults[:MOST_FAULTS] + more


def first_line(error: Exception) -> str:
    """The first line of an error's text; its kind where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def out_of_memory(error: Exception) -> bool:
    """Whether an error says that an allocation failed."""
    return isinstance(error, MemoryError) or bool(NO_MEMORY.search(str(error)))


@contextmanager
def naming(what: str) -> Iterator[None]:
    """Put what is worked on before the text of a UserError."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{what}: {error}") from error


def command_line(main: Callable[[], int | None]) -> Callable[[], int]:
    """Make a UserError, an OSError or a lack of memory in `main` a line and exit status 2.

    SIGTERM and SIGHUP end it in order, and output that nobody reads any more ends it silently.
    """

    @functools.wraps(main)
    def run() -> int:
        with printable_streams(), ending_in_order():
            status = _status_of(main)
            for stream in (sys.stdout, sys.stderr):
                try:
                    stream.flush()
                except OSError as error:  # it is full, or has no reader any more
                    give_up(stream)
                    status = status or _status_of_error(error)
            return status

    return run


def _refuse_empty(arguments: list[str]) -> None:
    """Refuse an empty argument, which as a path would be the current folder.

    Raises:
        UserError: There is one; `--gpus ""` alone means something.
    """
    for before, argument in zip(["", *arguments], arguments, strict=False):
        if not argument and before != "--gpus":
            after = f" after {before}" if before else ""
            raise UserError(f"expected something{after}, but got an empty text")


def _status_of(main: Callable[[], int | None]) -> int:
    try:
        _refuse_empty(sys.argv[1:])
        return main() or 0
    except SystemExit as ended:  # by argparse, or a signal
        return ended.code if isinstance(ended.code, int) else EXIT_USER_ERROR
    except UserError as error:
        _say(str(error))
        return EXIT_USER_ERROR
    except OSError as error:
        return _status_of_error(error)
    except KeyboardInterrupt:
        print("Stopped by Ctrl-C", file=sys.stderr)
        return EXIT_INTERRUPTED
    except Exception as error:
        if not out_of_memory(error):
            raise
        _say(f"out of memory ({first_line(error)}); free some, or do less at a time")
        return EXIT_USER_ERROR


def _status_of_error(error: OSError) -> int:
    if isinstance(error, BrokenPipeError):  # `head`, for one, has seen enough
        return EXIT_NO_READER
    where = os.fsdecode(error.filename) if error.filename else "standard output"
    _say(f"{where}: {error.strerror or error}")
    return EXIT_USER_ERROR


def _say(text: str) -> None:
    with suppress(OSError):  # standard error itself is full: the status alone can say so
        for line in text.split("\n"):  # each in one piece, beside other processes' lines
            sys.stderr.write(f"error: {printable(line)}\n")
