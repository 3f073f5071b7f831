"""What the networks that are trained without ground truth promise, each for itself."""

import pytest
import torch
from networks import build, count, image, perturbed

from enhancement.weights.recognise import recognise


def test_zero_dce_reads_variant_and_width_off_names_and_shapes():
    for arguments in ({"variant": "base", "width": 8}, {"variant": "plus_plus", "width": 16}):
        state = build("ZeroDCE", **arguments).state_dict()
        assert recognise(state) == {"type": "ZeroDCE", **arguments}
    assert count(build("ZeroDCE", variant="plus_plus", width=32)) == 10561


def test_zero_dce_pp_estimates_its_curves_on_a_reduced_image():
    network, x = perturbed(build("ZeroDCE", variant="plus_plus", scale_factor=12)), image(50, 73)
    assert network.curves(x).shape == (2, 3, 50, 73)
    with pytest.raises(ValueError, match="`scale_factor` to be at least 1, but got 0"):
        build("ZeroDCE", scale_factor=0)


def test_sci_trains_a_cascade_that_shares_its_weights_and_runs_the_first_stage():
    network, x = perturbed(build("SCI", stages=3)), image(20, 28)
    assert (count(build("SCI")), count(network)) == (258, 258 + 5619)
    found = network.eval().outputs(x)
    assert found["stage_inputs"].shape == found["stage_illuminations"].shape == (3, 2, 3, 20, 28)
    assert torch.equal(found["stage_inputs"][0], x)
    torch.testing.assert_close(
        found["stage_illuminations"][2], network.enhance(found["stage_inputs"][2])
    )
    torch.testing.assert_close(network.fold()(x), network(x))
    assert count(network.fold()) == 252
    found["stage_illuminations"].sum().backward()
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize("stages", [1, 3])
def test_sci_takes_what_was_trained_here_with_or_without_its_calibrator(stages):
    network, state = build("SCI", stages=stages), build("SCI", stages=3).state_dict()
    network.load_state_dict(network.own_names(state), strict=True)


@pytest.mark.parametrize("stages", [1, 3])
def test_sci_takes_the_authors_file_with_or_without_its_calibrator(stages):
    state = build("SCI", stages=3).state_dict()
    copies = {"enhance.conv.": "enhance.blocks.0.", "calibrate.convs.": "calibrate.blocks.0."}
    for own, copy in copies.items():
        state |= {n.replace(own, copy): v for n, v in state.items() if n.startswith(own)}
    assert recognise(state) == {"type": "SCI"}
    network = build("SCI", stages=stages)
    network.load_state_dict(network.own_names(state), strict=True)


def test_ruas_without_its_denoiser_takes_the_same_file():
    whole, bare = perturbed(build("RUAS")), build("RUAS", denoise=False)
    bare.load_state_dict(bare.own_names(whole.state_dict()), strict=True)
    assert recognise(bare.state_dict()) == {"type": "RUAS", "denoise": False}
    x = image(20, 28)
    assert torch.equal(bare(x), whole.outputs(x)["before_denoise"])


def test_ruas_trains_its_parts_apart():
    network = perturbed(build("RUAS"))
    network.outputs(image(20, 28))["output"].mean().backward()
    assert all(p.grad is None for p in network.enhance_net.parameters())
    assert all(p.grad is not None for p in network.denoise_net.parameters())


def test_pairlie_splits_both_exposures_where_there_are_two():
    network, x = build("PairLIE", width=4), image(20, 28)
    assert "second_reflectance" not in network.outputs(x)
    found = network.outputs(x, x)
    assert torch.equal(found["second_reflectance"], found["reflectance"])
    brighter = build("PairLIE", width=4, exponent=0.1)
    assert (brighter(x) > network(x)).all()
