"""Long work in a thread of its own: it may wait for its turn, tell how far it is, be cancelled."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Lock, Thread

from enhancement.errors import UserError

LOOK = 0.1  # polling interval of jobs, in seconds
UNEXPECTED = "internal error; the terminal has the details"


class CancelledError(Exception):
    """A job was told to end."""


def named(fault: str, path: Path) -> str:
    """An error's text with a file's name in the place of where it lies here."""
    return fault.replace(str(path), path.name)


class Job(Thread):
    """One visitor's work; only one job runs at a time.

    Args:
        work: Given the job; calls `check` where it may end early.
        turn: Held by the job that works.

    Attributes:
        working: Whether it is its turn.
        fault: Why it failed, in one line; empty unless it did.
    """

    def __init__(self, work: Callable[[Job], None], turn: Lock) -> None:
        super().__init__(daemon=True)
        self.work, self.turn = work, turn
        self.working, self.fault = False, ""
        self._cancelled = Event()

    @property
    def cancelled(self) -> bool:
        """Whether it was told to end."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Have it end soon."""
        self._cancelled.set()

    def check(self) -> None:
        """End here if it was cancelled.

        Raises:
            CancelledError: It was.
        """
        if self.cancelled:
            raise CancelledError

    def run(self) -> None:
        """Wait for the turn, then work."""
        try:
            with self._in_turn():
                self.work(self)
        except CancelledError:
            pass
        except UserError as error:
            self.fault = str(error)
        except MemoryError:
            self.fault = "there is not enough memory for this; try a smaller one"
        except Exception:  # a defect: said on the page without its traceback
            traceback.print_exc(file=sys.stderr)
            self.fault = UNEXPECTED

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        while not self.turn.acquire(timeout=LOOK):
            self.check()
        self.working = True
        try:
            yield
        finally:
            self.turn.release()

    def followed(self) -> Iterator[None]:
        """Start it; yields now and then until it has ended, and once after that."""
        self.start()
        while self.is_alive():
            yield
            self.join(LOOK)
        yield
