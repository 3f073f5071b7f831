"""A run: everything that the training loop works with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from enhancement.config.context import RunContext
from enhancement.config.schema import Config

from .interrupt import Interrupt
from .profiling import Profile
from .progress import Progress
from .tracking import Tracker


@dataclass
class Run:
    """What `set_up` makes and the training loop works with.

    Attributes:
        context: The options, and which process this is.
        model: An `EnhancementModel`, or one of BasicSR's own models.
        batches: From the first iteration that is left to the last, on the model's device.
        validation: Loaders of the validation sets by key, each process's share.
        progress, tracker, profile, interrupt: What is shown, recorded, traced and listened to; the
            tracker is None in every process but the first.
        images: The names of the images that are trained on.
        resumed: Whether it goes on from a state of its own folder.
        start: Iterations that were done before.
        iteration: Iterations done.
        scored: The last iteration that was validated.
        best: The best checkpoint so far: metric, value, protocol, dataset, iteration.
    """

    context: RunContext
    model: Any
    batches: Iterator[Any]
    validation: dict[str, Any]
    progress: Progress
    tracker: Tracker | None
    profile: Profile
    interrupt: Interrupt
    images: list[str]
    resumed: bool = False
    start: int = 0
    iteration: int = 0
    scored: int = 0
    best: dict[str, Any] | None = None

    @property
    def config(self) -> Config:
        """The options."""
        return self.context.config

    @property
    def folder(self) -> Path:
        """Where everything of the run is kept."""
        return self.context.folder

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes."""
        return self.context.rank == 0

    def is_due(self, frequency: int) -> bool:
        """Whether something happens at this iteration that does so every `frequency`."""
        last = self.iteration == self.config.training.total_iter
        return last or self.iteration % frequency == 0

    def close(self) -> None:
        """End what was started, and record the result of a whole run."""
        self.profile.close()
        self.progress.close()
        if self.tracker:
            whole = self.iteration == self.config.training.total_iter
            self.tracker.finish(self.final_metrics() if whole else {})
        self.interrupt.close()

    def final_metrics(self) -> dict[str, float]:
        """The run's result, for TensorBoard's HPARAMS tab."""
        if not self.best:
            return {}
        tag = "/".join(("best", *(self.best[key] for key in ("dataset", "protocol", "metric"))))
        return {tag: self.best["value"]}
