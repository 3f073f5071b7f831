"""What networks cost."""

import networks
import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from enhancement.archs.bilateral import slicing
from enhancement.inference.complexity import multiply_adds, parameter_count
from enhancement.inference.run import run_padded


def counted_for_real(network, *size):
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        run_padded(network.eval(), torch.zeros(1, 3, *size))
    return counter.get_total_flops() // 2


@pytest.mark.parametrize("name", networks.OURS)
def test_the_count_is_that_of_a_real_run_which_it_leaves_alone(name, monkeypatch):
    monkeypatch.setattr(slicing, "can_fuse", lambda _: False)  # kernels hide what they compute
    network = networks.build(name).train()
    image = networks.image()
    with torch.no_grad():
        torch.manual_seed(0)  # of what is dropped at random
        before = run_padded(network, image)
        count = multiply_adds(network, 37, 53)
        assert network.training
        torch.manual_seed(0)
        assert torch.equal(run_padded(network, image), before)
        assert count == pytest.approx(counted_for_real(network, 37, 53), rel=0.01)


def test_a_network_that_needs_values_is_run_for_real():
    class Chooses(nn.Conv2d):
        def forward(self, x):
            return super().forward(x if x.mean().item() < 1 else x[:, :, ::2])

    network = Chooses(3, 3, 1)
    assert multiply_adds(network, 10, 20) == 9 * 200
    assert parameter_count(network) == 12
