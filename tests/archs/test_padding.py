"""Padding to the sizes that a network takes."""

import warnings

import numpy as np
import pytest
import torch
from networks import EVERY, image
from torch import nn

from enhancement.archs.parts.padding import pad_to_multiple
from enhancement.registry import ARCH_REGISTRY, lookup

SIZES = ((1, 1), (2, 3), (8, 8), (12, 12), (37, 53))
KINDS = [lookup(ARCH_REGISTRY, name) for name in EVERY]
DEMANDS = sorted({(kind.size_multiple, kind.smallest_size, kind.square) for kind in KINDS})
DEMANDS += [(8, 24, True)]


def reflected(x, multiple, smallest, square):
    """By numpy, which reflects as often as it takes."""
    least = -(-max(smallest, *(x.shape[-2:] if square else (1,))) // multiple) * multiple
    missing = [max(-n % multiple, least - n) for n in x.shape[-2:]]
    return np.pad(x.numpy(), ((0, 0), (0, 0), *((0, n) for n in missing)), "reflect")


class Pad(nn.Module):
    """`pad_to_multiple` as something to record."""

    def __init__(self, *demands):
        super().__init__()
        self.demands = demands

    def forward(self, x):
        return pad_to_multiple(x, *self.demands)


@pytest.mark.parametrize("demands", DEMANDS)
def test_pads_by_reflection(demands):
    for height, width in SIZES:
        x = image(height, width)
        np.testing.assert_array_equal(pad_to_multiple(x, *demands), reflected(x, *demands))


@pytest.mark.parametrize("demands", [d for d in DEMANDS if d != (1, 1, False)])
def test_a_recorded_graph_pads_in_the_same_way(demands):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracer, about itself
        recorded = torch.jit.trace(Pad(*demands), image(45, 67), check_trace=False)
    for height, width in SIZES:
        x = image(height, width)
        assert torch.equal(recorded(x), pad_to_multiple(x, *demands))
