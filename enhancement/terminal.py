"""Standard output and error: names without control characters, tables, and closed streams."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from tabulate import tabulate

# what moves the cursor, colours or reorders text on a terminal, and what is no Unicode at all
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
LINE_START = "\r"  # with which progress bars begin
ENDING = (signal.SIGTERM, signal.SIGHUP)
SIGNALLED = 128  # plus the signal's number: the exit status


def printable(text: str) -> str:
    """A text with its control characters written out: `\\x1b` for an escape, `\\xff` for a byte."""
    return CONTROL.sub(_written_out, text)


def _written_out(found: re.Match[str]) -> str:
    number = ord(found[0])
    if 0xDC80 <= number <= 0xDCFF:  # a byte of a name that is not UTF-8
        number -= 0xDC00
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


class Printable:
    """A stream that names of files may be printed to, whatever characters they hold.

    Args:
        stream: Written to; everything but `write` is its own.
        kept: A control character that stays.
    """

    def __init__(self, stream: Any, kept: str = "") -> None:
        self.stream, self.kept = stream, kept
        self.failed: OSError | None = None

    def write(self, text: str) -> int:
        """Write a text."""
        parts = text.split(self.kept) if self.kept else [text]
        try:
            return int(self.stream.write(self.kept.join(map(printable, parts))))
        except OSError as error:
            self.failed = error
            raise

    def flush(self) -> None:
        """Write what is waiting; fail where a text could not be written, as argparse overlooks."""
        if self.failed:
            raise self.failed
        self.stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def printable_streams() -> Iterator[None]:
    """Print by `Printable` streams, and nowhere where standard output or error are closed."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:  # or else the next file opened would become standard output
            os.open(os.devnull, os.O_RDWR)
    before = sys.stdout, sys.stderr
    nowhere = open(os.devnull, "w")  # noqa: PTH123, SIM115
    sys.stdout = Printable(before[0] or nowhere)
    sys.stderr = Printable(before[1] or nowhere, LINE_START)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        nowhere.close()


def give_up(stream: Any) -> None:
    """Have nothing more written to a standard stream that is full or has no reader."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextmanager
def ending_in_order() -> Iterator[None]:
    """Have SIGTERM and SIGHUP end the process as an exception does: half-written files go."""

    def end(number: int, _: Any) -> None:
        sys.exit(SIGNALLED + number)

    taken = []
    with suppress(ValueError):  # not the main thread
        for number in ENDING:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, end)
                taken.append(number)
    try:
        yield
    finally:
        for number in taken:
            if signal.getsignal(number) is end:
                signal.signal(number, signal.SIG_DFL)


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]], names: int = 1) -> str:
    """A table for the terminal.

    Args:
        head: The columns' titles.
        rows: A text for each column; or SEPARATING_LINE.
        names: How many columns are aligned left, as names are; numbers are aligned right.
    """
    align = ["left"] * names + ["right"] * (len(head) - names)
    return tabulate(rows, head, "simple", disable_numparse=True, colalign=align, headersalign=align)


def indented(text: str, by: int = 2) -> str:
    """A text in lines that fit the terminal, each behind `by` spaces."""
    width = max(60, min(100, shutil.get_terminal_size((100, 24)).columns))
    return textwrap.fill(text, width, initial_indent=" " * by, subsequent_indent=" " * by)
