"""WTNet: its wavelets, its attention, its published names."""

import pytest
import torch
from networks import build, perturbed
from torch.nn import functional as F

from enhancement.archs.parts.attention import attention_of
from enhancement.archs.wtnet_arch import WTNet, inverse_wavelets, wavelets
from enhancement.weights.networks import build_from_file


def test_wavelets_by_hand_and_back():
    a, b, c, d = 1.0, 2.0, 3.0, 5.0
    pixels = torch.tensor([[a, b], [c, d]])
    x = torch.stack((pixels, 2 * pixels))[None]
    low, high = wavelets(x)
    assert low.flatten().tolist() == [5.5, 11.0]
    bands = [(a + b - c - d) / 2, (a - b + c - d) / 2, (a - b - c + d) / 2]
    assert high.flatten().tolist() == [*bands, *(2 * v for v in bands)]
    torch.testing.assert_close(inverse_wavelets(low, high), x)


@pytest.mark.parametrize("heads", [1, 2])
def test_attention_equals_the_published_arithmetic(heads):
    torch.manual_seed(0)
    q, k = torch.randn(2, 2, 8, 5, 7)
    temperature = torch.rand(heads, 1, 1)
    queries, keys = (F.normalize(x.reshape(2, heads, 8 // heads, 35), dim=-1) for x in (q, k))
    expected = (queries @ keys.transpose(-1, -2) * temperature).softmax(-1)
    torch.testing.assert_close(attention_of(q, k, temperature), expected)


def test_published_files_are_recognised_with_their_sizes(tmp_path):
    """Under the authors' names, with the wavelets' filters."""
    sizes = {"dim": 6, "num_blocks": [1, 2, 1, 3], "num_refinement_blocks": 1}
    made = perturbed(WTNet(**sizes, heads=(1, 2, 3, 6), ffn_expansion_factor=2.2))
    state = {
        name.replace("norm1.", "norm1.body.").replace("norm2.", "norm2.body."): value
        for name, value in made.state_dict().items()
    }
    torch.save(state | {"xfm.h0_col": torch.zeros(1, 1, 2, 1)}, tmp_path / "w.pth")
    network, meta = build_from_file(tmp_path / "w.pth")
    assert meta["network_g"] | sizes | {"heads": [1, 2, 3, 6]} == meta["network_g"]
    for key, value in made.state_dict().items():
        assert torch.equal(network.state_dict()[key], value)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"num_blocks": [1, 1, 1]}, r"`num_blocks` to be 4 numbers, but got \[1, 1, 1\]"),
        ({"dim": 4, "heads": [1, 1, 3, 1]}, r"`heads` to be divisors of 4, but got \[1, 1, 3, 1\]"),
        ({"num_refinement_blocks": 0}, "`num_refinement_blocks` to be at least 1, but got 0"),
    ],
)
def test_bad_arguments_are_named(arguments, text):
    with pytest.raises(ValueError, match=text):
        build("WTNet", **arguments)
