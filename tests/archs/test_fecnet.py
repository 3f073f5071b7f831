"""FECNet: what stays random, and odd widths."""

import torch
from networks import build, image, perturbed


def test_odd_widths_keep_every_column():
    network = perturbed(build("FECNet")).eval()
    with torch.inference_mode():
        assert network(image(9, 13)).shape == (2, 3, 9, 13)


def test_the_guide_of_the_second_stage_is_never_trained():
    network = perturbed(build("FECNet"))
    network(image(16, 16)).mean().backward()
    assert network.PhaseNet.trans.weight.grad is None
    assert network.PhaseNet.combine1.convmul.weight.grad.any()


def test_a_published_layer_that_is_never_used_is_left_out():
    network = build("FECNet")
    published = {**network.state_dict(), "AmplitudeNet.pro.weight": torch.zeros(3, 3, 1, 1)}
    assert network.own_names(published).keys() == network.state_dict().keys()
