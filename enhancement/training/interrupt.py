"""Signals that ask a run to stop."""

from __future__ import annotations

import signal
from typing import Any


class Interrupt:
    """The first Ctrl-C, SIGTERM or SIGUSR1 (a cluster's warning) lets the iteration finish.

    A repeated signal has its default effect, unless repeats are ignored: a launcher passes on a
    signal that the processes have received already, and kills those that hang.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)

    def __init__(self, ignore_repeats: bool = False) -> None:
        self.asked: str | None = None
        self.ignore_repeats = ignore_repeats
        self.before: dict[int, Any] = {
            number: signal.signal(number, self._ask) for number in self.SIGNALS
        }

    def _ask(self, number: int, _: Any) -> None:
        self.asked = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        if not self.ignore_repeats:
            signal.signal(number, self.before[number])

    def close(self) -> None:
        """Give the signals back."""
        for number, handler in self.before.items():
            signal.signal(number, handler)
