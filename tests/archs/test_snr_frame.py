"""The SNR map, and which branch it lets through."""

import pytest
import torch
from networks import build, image, perturbed

from enhancement.archs.snr_frame import snr_map
from enhancement.weights.recognise import recognise

BOX = torch.full((1, 1, 5, 5), 1 / 25)


def test_the_map_by_hand():
    """A spot of 1 in black: 1/25 around it, divided by what differs from the image."""
    spot = torch.zeros(1, 3, 11, 11)
    spot[..., 5, 5] = 1
    around, at = (1 / 25) / (1 / 25 + 1e-4), (1 / 25) / (24 / 25 + 1e-4)
    found = snr_map(spot, BOX)[0, 0]
    assert found[5, 5].item() == pytest.approx(at / around, rel=1e-3)
    assert found[3, 4].item() == pytest.approx(1, rel=1e-3)
    assert found[2, 5] == 0


def test_each_image_has_its_own_maximum():
    x = image(9, 12)
    x[1] *= 0.1
    torch.testing.assert_close(snr_map(x, BOX)[1:], snr_map(x[1:], BOX))


class TestSNRNet:
    def test_without_a_mask_it_takes_the_map(self):
        network, x = perturbed(build("SNRNet")).eval(), image(32, 48)
        found = network.outputs(x)
        torch.testing.assert_close(network(x, mask=found["snr"]), found["output"])

    def test_where_all_is_signal_the_transformer_does_not_count(self):
        network, x = perturbed(build("SNRNet")).eval(), image(32, 48)
        signal = torch.ones(2, 1, 32, 48)
        before = network(x, mask=signal)
        network.transformer.layer_stack[0].slf_attn.fc.weight.data.mul_(3)
        torch.testing.assert_close(network(x, mask=signal), before)

    def test_where_all_is_noise_it_attends_to_every_patch_alike(self):
        attention = build("SNRNet").transformer.layer_stack[0].slf_attn
        x = torch.randn(2, 6, 64, generator=torch.Generator().manual_seed(0))
        found = attention(x, torch.full((2, 1, 1, 6), -1e9)) - x
        mean = attention.fc(attention.w_vs(attention.layer_norm(x)).mean(1, keepdim=True))
        torch.testing.assert_close(found, mean.expand_as(found), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("SNRNet", {"dim": 8, "num_layers": 1}),
        ("FLOL", {"dim": 8, "num_blocks": 2}),
        ("FourLLIE", {"dim": 32}),
        ("FECNet", {"dim": 4}),
    ],
)
def test_other_sizes_are_read_off(name, arguments):
    assert recognise(build(name, **arguments).state_dict()) == {"type": name, **arguments}
