"""Parts of a network that keep their weights while the rest is trained."""

from __future__ import annotations

from copy import deepcopy

from torch import nn


def average_of(network: nn.Module, frozen: list[str]) -> nn.Module:
    """A copy that will hold the weights' average, in evaluation mode; it shares frozen parts."""
    shared = {id(part): part for part in map(network.get_submodule, frozen)}
    return deepcopy(network, shared).eval().requires_grad_(False)
