"""Forms of networks for inference; see `Network.fold`."""

from __future__ import annotations

from copy import deepcopy
from typing import TypeVar

from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def fold_prelu(network: Module) -> Module:
    """A copy whose PReLUs of one slope are leaky ReLUs of that slope.

    A graph runtime computes a leaky ReLU together with the convolution before it; the slope of a
    PReLU is a tensor, so it takes a pass of its own.
    """
    folded = deepcopy(network)
    for parent in folded.modules():
        for name, layer in parent.named_children():
            if isinstance(layer, nn.PReLU) and layer.num_parameters == 1:
                setattr(parent, name, nn.LeakyReLU(layer.weight.item()))
    return folded
