"""AOD-Net: its arithmetic by hand, its published weights."""

import pytest
import torch
from networks import build, image

from enhancement.weights.state_dicts import read_weights


def test_aod_net_by_hand():
    """One pixel, every convolution reduced to its centre."""
    network = build("AODNet").eval()
    for layer in network.children():
        layer.weight.data.zero_()
        layer.bias.data.zero_()
    network.e_conv1.weight.data[:, :, 0, 0] = torch.eye(3)
    network.e_conv5.weight.data[:, :3, 1, 1] = 2 * torch.eye(3)  # K = 2 x1 = 2 x
    x = torch.tensor([0.2, 0.5, 0.9]).view(1, 3, 1, 1)
    torch.testing.assert_close(network(x), torch.relu(2 * x * x - 2 * x + 1))


@pytest.mark.data
def test_published_aod_net_loads_strictly_and_clears_haze(real_data):
    state, _ = read_weights(real_data / "weights/aodnet_dehazer.pth")
    network = build("AODNet")
    network.load_state_dict(state, strict=True)
    hazy = image(32, 32) * 0.4 + 0.5
    with torch.inference_mode():
        cleared = network(hazy)
    assert cleared.std() > hazy.std()  # more contrast
