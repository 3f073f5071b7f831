"""What a network costs: parameters and multiply-adds."""

from __future__ import annotations

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from enhancement.inference.run import run_padded


def parameter_count(network: nn.Module) -> int:
    """The number of parameters."""
    return sum(p.numel() for p in network.parameters())


def multiply_adds(network: nn.Module, height: int = 256, width: int = 256) -> int:
    """Multiply-adds of convolutions and matrix products for one image, padded as the network asks.

    Element-wise work and slicing are not counted. The network is run on fake tensors, which have
    shapes but no values; one that needs values is run for real.
    """
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            return _counted(network, torch.zeros(1, 3, height, width, device=device))
    except RuntimeError:  # a compiled kernel, or a size that depends on values
        return _counted(network, torch.zeros(1, 3, height, width, device=device))
    finally:
        network.train(was_training)


def _counted(network: nn.Module, image: torch.Tensor) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        run_padded(network, image)
    return counter.get_total_flops() // 2
