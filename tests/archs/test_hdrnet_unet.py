"""HDRNetUNet: an untrained U-Net changes nothing, begins with an HDRNet, and learns to denoise."""

import pytest
import torch
from networks import build, image, perturbed

from enhancement.archs.hdrnet_unet_arch import HDRNetUNet
from enhancement.archs.parts.tile_context import REACH
from enhancement.config.files import OptionFile
from enhancement.paths import OPTIONS
from enhancement.weights.shipped import find_weights
from enhancement.weights.state_dicts import read_weights


def test_begins_as_the_hdrnet_that_it_is_given():
    given, network = perturbed(build("HDRNet")), build("HDRNetUNet")
    assert not torch.equal(network(image(64, 64)), given(image(64, 64)))
    network.initialise_from(given.state_dict())
    assert torch.equal(network(image(64, 64)), given(image(64, 64)))
    with torch.no_grad():
        network.unet.last.bias += 0.5
    torch.testing.assert_close(network(image(64, 64)), given(image(64, 64)) + 0.5)


def test_begins_as_the_weights_that_photo_begins_with():
    options = OptionFile(OPTIONS / "weights/photo.yml").options
    state, _ = read_weights(find_weights(options["path"]["init_network_g"]))
    network = HDRNetUNet(**{k: v for k, v in options["network_g"].items() if k != "type"})
    network.initialise_from(state)
    bright = network(image(64, 64) * 0.05).mean()
    assert bright > 0.2


@pytest.mark.parametrize("other", [("HDRNet", {"grid_depth": 4}), ("AODNet", {})])
def test_refuses_other_weights(other):
    name, arguments = other
    with pytest.raises(ValueError, match="Expected the weights of an HDRNet"):
        build("HDRNetUNet").initialise_from(build(name, **arguments).state_dict())


def test_no_channels_are_refused():
    with pytest.raises(ValueError, match="`dim` to be at least 1, but got 0"):
        HDRNetUNet(dim=0)


def test_sees_no_further_than_tiles_allow():
    unet = perturbed(build("HDRNetUNet").unet)
    x = torch.rand(1, 6, 160, 160, generator=torch.Generator().manual_seed(0), requires_grad=True)
    unet(x)[0, :, 80, 80].sum().backward()
    rows = x.grad.abs().sum((0, 1, 3)).nonzero()
    assert 32 <= 80 - rows.min() <= REACH
    assert 32 <= rows.max() - 80 <= REACH


@pytest.mark.slow
def test_learns_to_take_noise_away():
    torch.manual_seed(0)
    network = HDRNetUNet(low_resolution=64, dim=8)
    network.hdrnet.requires_grad_(False)
    optimizer = torch.optim.Adam(network.unet.parameters(), 3e-3)
    clean = image(8, 8).repeat_interleave(8, 2).repeat_interleave(8, 3)
    for _ in range(150):
        loss = (network(clean + 0.1 * torch.randn_like(clean)) - clean).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    noisy = clean + 0.1 * torch.randn_like(clean)
    with torch.no_grad():
        before = (network.hdrnet(noisy) - clean).square().mean()
        assert (network(noisy) - clean).square().mean() < 0.6 * before
