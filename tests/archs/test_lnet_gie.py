"""LNet-GIE: what it takes from AOD-Net, its two multipliers."""

import pytest
import torch
from networks import build, image

from enhancement.archs.lnet_gie_arch import LNetGIE
from enhancement.weights.state_dicts import read_weights


@pytest.mark.data
def test_takes_aod_nets_first_rows(real_data):
    state, _ = read_weights(real_data / "weights/aodnet_dehazer.pth")
    network = build("LNetGIE")
    network.initialise_from(state)
    assert torch.equal(network.e_conv1.weight, state["e_conv1.weight"][:1])
    assert torch.equal(network.e_conv1.bias, state["e_conv1.bias"][:1])


def test_refuses_other_shapes():
    with pytest.raises(ValueError, match=r"weight \(3, 3, 1, 1\)"):
        build("LNetGIE").initialise_from(
            {"e_conv1.weight": torch.zeros(1, 3, 1, 1), "e_conv1.bias": torch.zeros(1)}
        )
    with pytest.raises(KeyError):
        build("LNetGIE").initialise_from({})


def test_at_full_resolution_is_the_published_arithmetic():
    network, x = build("LNetGIE", resolution_multiplier=1.0), image()
    f = torch.relu(network.e_conv2(torch.relu(network.e_conv1(x))))
    assert torch.equal(network(x), torch.relu(f * x - f + 1))


def test_estimates_on_the_smaller_image():
    network, sizes = build("LNetGIE", resolution_multiplier=0.5), []
    network.e_conv1.register_forward_hook(lambda m, i, o: sizes.append(tuple(o.shape[-2:])))
    assert network(image(40, 60)).shape == (2, 3, 40, 60)
    assert sizes == [(20, 30)]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"width_multiplier": 0.7}, "1 or 3 channels .* but got 0.7, which leaves 2"),
        ({"resolution_multiplier": 0.0004}, r"`resolution_multiplier` to be in \[0\.001, 1\]"),
    ],
)
def test_bad_arguments_are_named(arguments, text):
    with pytest.raises(ValueError, match=text):
        LNetGIE(**arguments)
