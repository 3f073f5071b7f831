"""What a run prints while it goes: a bar or lines on the terminal, and a log file."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path

from tqdm import tqdm

from enhancement.units import duration

logger = logging.getLogger("enhancement")


class _AboveTheBar(logging.Handler):
    """Prints without tearing the progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stdout)


def log_to_terminal(quiet: bool = False) -> None:
    """Send the package's messages to the terminal; `quiet` keeps only warnings."""
    logger.handlers.clear()
    logger.addHandler(_AboveTheBar())
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    logger.propagate = False


class _LogFile(logging.FileHandler):
    """Ends where it cannot be written, instead of the run."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        logger.removeHandler(self)
        logger.warning(
            "%s: cannot be written (%s); it ends here", self.baseFilename, sys.exc_info()[1]
        )


def log_to_file(path: Path) -> None:
    """Also write messages to a file, each with its time."""
    handler = _LogFile(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger.addHandler(handler)


class Progress:
    """A bar with the time left on a terminal, plain lines elsewhere; measures the loop.

    Args:
        total, start: Iterations of the run, and those already done.
        every: Iterations between two lines or log entries.
        visible: False for all processes but the first.
    """

    def __init__(self, total: int, start: int, every: int, visible: bool = True):
        self.total, self.start, self.every = total, start, every
        self.visible, self.is_terminal = visible, sys.stderr.isatty()
        self.bar = tqdm(
            total=total,
            initial=start,
            unit="it",
            dynamic_ncols=True,
            smoothing=0.05,
            disable=not (visible and self.is_terminal),
        )
        self.began = self.since = time.perf_counter()
        self.waited, self.counted = 0.0, 0

    def data_ready(self, waited: float) -> None:
        """Note how long the loop waited for a batch."""
        self.waited += waited

    def advance(self, iteration: int) -> bool:
        """Count an iteration; True where it is time to log."""
        self.bar.update()
        self.counted += 1
        return iteration % self.every == 0 or iteration == self.total

    def times(self) -> dict[str, float]:
        """Since the last call: mean seconds of an iteration and of its wait for data; the share."""
        now = time.perf_counter()
        count, passed = max(1, self.counted), now - self.since
        found = {
            "iteration": passed / count,
            "data": self.waited / count,
            "waiting_share": self.waited / passed,
        }
        self.since, self.waited, self.counted = now, 0.0, 0
        return found

    def skip(self, seconds: float) -> None:
        """Leave validation and saving out of the iteration time."""
        self.since += seconds

    def show(
        self, iteration: int, terms: dict[str, float], rate: float, times: dict[str, float]
    ) -> None:
        """Losses, learning rate and speed: behind the bar, or as a line with the time left."""
        losses = " ".join(f"{name} {value:.4g}" for name, value in terms.items())
        self.bar.set_postfix_str(losses)
        done = iteration - self.start
        left = (time.perf_counter() - self.began) / max(1, done) * (self.total - iteration)
        line = (
            f"iteration {iteration}/{self.total}  {losses}  lr {rate:.3g}  "
            f"{times['iteration']:.3f} s/it ({times['waiting_share']:.0%} waiting for data)  "
            f"left {duration(left)}"
        )
        if self.visible and not self.is_terminal:
            logger.info(line)
        else:
            for handler in logger.handlers:
                if isinstance(handler, logging.FileHandler):
                    handler.emit(logger.makeRecord("", logging.INFO, "", 0, line, (), None))

    def close(self) -> None:
        """Remove the bar."""
        self.bar.close()
