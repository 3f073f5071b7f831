"""The exponential moving average of a network's weights, by PyTorch's `AveragedModel`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


class WeightAverage(AveragedModel):
    """An average that follows faster at first, so that its start is soon forgotten.

    At update n the decay is min(decay, n / (n + 10)). Parts that are not trained are shared
    with the network instead of copied; buffers are the network's latest.

    Args:
        network: What is averaged.
        decay: In [0, 1).
        frozen: Names of parts of the network that are not trained.
    """

    def __init__(self, network: nn.Module, decay: float, frozen: Sequence[str] = ()) -> None:
        def follow(averages: Any, values: Any, updates: Tensor | int) -> None:
            n = int(updates)
            torch._foreach_lerp_(averages, values, 1 - min(decay, n / (n + 10)))

        super().__init__(network, multi_avg_fn=follow)
        self.n_averaged.fill_(1)  # the network's first weights; from 0, the first update would copy
        for name in frozen:
            self.module.set_submodule(name, network.get_submodule(name))
        self.eval().requires_grad_(False)
