"""A trace of some training iterations, for `basicsr/train.py --profile`."""

from __future__ import annotations

import logging
from pathlib import Path

from torch.profiler import profile, schedule

from enhancement.errors import UserError

logger = logging.getLogger("enhancement")

WARM_UP = 3  # iterations that are let pass, the last of them with the profiler on
TRACE = "profile.pt.trace.json.gz"


class Profile:
    """Writes what the CPU and the GPU did in some iterations to the run's folder.

    Args:
        run: The folder; None in processes that trace nothing.
        iterations: How many to trace; None traces nothing.
        left: Iterations that the run has.

    Raises:
        UserError: The run is too short for that.
    """

    def __init__(self, run: Path | None, iterations: int | None, left: int):
        self.profiler: profile | None = None
        if iterations and left < WARM_UP + iterations:
            raise UserError(
                f"--profile {iterations}: wants {WARM_UP + iterations} iterations, {WARM_UP} of "
                f"them to warm up, but the run has {left} left"
            )
        if run and iterations:
            self.path = run / TRACE
            self.profiler = profile(
                schedule=schedule(wait=WARM_UP - 1, warmup=1, active=iterations, repeat=1),
                on_trace_ready=self._write,
            )

    def start(self) -> None:
        """Begin, right before the first iteration."""
        if self.profiler:
            self.profiler.start()

    def step(self) -> None:
        """Note the end of an iteration."""
        if self.profiler:
            self.profiler.step()

    def _write(self, profiler: profile) -> None:
        try:
            profiler.export_chrome_trace(str(self.path))
        except (OSError, RuntimeError) as error:
            logger.warning("%s: cannot be written (%s); the run goes on", self.path, error)
        else:
            logger.info("Profile: %s (open it at ui.perfetto.dev)", self.path)

    def close(self) -> None:
        """End the profiler; a run that stops early writes what was traced so far."""
        if self.profiler:
            self.profiler.stop()
