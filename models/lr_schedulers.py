"""Learning-rate schedules in addition to BasicSR's and PyTorch's own."""

from __future__ import annotations

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from enhancement.registry import SCHEDULERS


class CosineAnnealingRestartCyclicLR(LRScheduler):
    """Cosine annealing in cycles, each with a lowest rate of its own (Restormer, Retinexformer).

    Within a cycle of `period` iterations that began at `start`:
    eta_min + weight (base - eta_min) (1 + cos(pi (t - start) / period)) / 2.
    A cycle's last iteration still belongs to it, as in the published code. Where eta_min is above
    the base rate, as in Retinexformer's first cycle, the rate rises.

    Args:
        optimizer: Whose rates to set.
        periods: Length of each cycle; beyond the last one its end is kept.
        restart_weights: Factor on each cycle.
        eta_mins: Lowest rate of each cycle.
        last_epoch: Iterations done.

    Raises:
        ValueError: The three lists differ in length, or a period is not positive.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        periods: list[int],
        restart_weights: list[float] | None = None,
        eta_mins: list[float] | None = None,
        last_epoch: int = -1,
    ) -> None:
        self.periods = list(periods)
        self.restart_weights = list(restart_weights or [1.0] * len(periods))
        self.eta_mins = list(eta_mins or [0.0] * len(periods))
        lengths = {len(self.periods), len(self.restart_weights), len(self.eta_mins)}
        if lengths != {len(periods)} or not periods or min(periods) < 1:
            raise ValueError(
                "Expected `periods`, `restart_weights` and `eta_mins` of one length and periods "
                f"above 0, but got {periods}, {restart_weights} and {eta_mins}."
            )
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:  # type: ignore[override]
        """The rates at `last_epoch`."""
        start, cycle = 0, 0
        while self.last_epoch > start + self.periods[cycle] and cycle + 1 < len(self.periods):
            start += self.periods[cycle]
            cycle += 1
        done = min(1.0, (self.last_epoch - start) / self.periods[cycle])
        lowest, weight = self.eta_mins[cycle], self.restart_weights[cycle]
        share = weight * (1 + math.cos(math.pi * done)) / 2
        return [lowest + (float(base) - lowest) * share for base in self.base_lrs]


SCHEDULERS["CosineAnnealingRestartCyclicLR"] = CosineAnnealingRestartCyclicLR
