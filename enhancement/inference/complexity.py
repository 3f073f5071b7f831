"""What a network costs: parameters and multiply-adds."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from enhancement.archs.processor import plain_arithmetic
from enhancement.inference.run import run_padded


def parameter_count(network: nn.Module) -> int:
    """The number of parameters."""
    return sum(p.numel() for p in network.parameters())


def multiply_adds(network: nn.Module, height: int = 256, width: int = 256) -> int:
    """Multiply-adds of convolutions and matrix products for one image, padded as the network asks.

    Element-wise work and slicing are not counted; 3x3 convolutions count as plain ones.
    """
    device = next(network.parameters()).device
    was_training = network.training
    with FlopCounterMode(display=False) as counter, torch.no_grad(), plain_arithmetic():
        run_padded(network.eval(), torch.zeros(1, 3, height, width, device=device))
    network.train(was_training)
    return counter.get_total_flops() // 2
