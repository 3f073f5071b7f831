"""Dehazing networks, DPED and FEQE: sizes, parts by hand, published names, wrong arguments."""

import pytest
import torch
from networks import build, count, image

from enhancement.archs.dehazeformer_arch import DehazeFormer
from enhancement.archs.feqe_arch import depth_to_space, space_to_depth
from enhancement.archs.gca_net_arch import SharedConv, edges
from enhancement.archs.parts.resizing import shrink_by_one
from enhancement.archs.parts.tile_context import Tile, tile_context
from enhancement.registry import ARCH_REGISTRY, lookup
from enhancement.weights.networks import build_from_file
from enhancement.weights.recognise import recognise


@pytest.mark.parametrize(
    ("name", "arguments", "parameters"),
    [
        ("GCANet", {}, 702_818),
        ("GridDehazeNet", {}, 958_051),
        ("FFANet", {}, 4_455_913),
        ("C2PNet", {}, 7_169_327),
        ("MSBDN", {}, 31_353_061),
        ("DehazeFormer", {"variant": "t"}, 687_404),
        ("DehazeFormer", {"variant": "s"}, 1_284_884),
        ("DehazeFormer", {"variant": "b"}, 2_517_612),
        ("LightDehazeNet", {}, 30_187),
        ("DPED", {}, 401_475),
        ("FEQE", {}, 96_464),
    ],
)
def test_parameters_are_as_published(name, arguments, parameters):
    with torch.device("meta"):
        network = lookup(ARCH_REGISTRY, name)(**arguments)
    assert count(network) == parameters


@pytest.mark.parametrize("variant", ["t", "s", "b"])
def test_variants_of_dehazeformer_are_recognised(variant):
    with torch.device("meta"):
        state = DehazeFormer(variant, dim=12).state_dict()
    assert recognise(state) == {"type": "DehazeFormer", "variant": variant, "dim": 12}


def test_edges_by_hand():
    """One bright pixel: it differs from all neighbours, each of them from it alone."""
    x = torch.zeros(1, 3, 3, 4)
    x[0, :, 1, 1] = 12
    expected = torch.zeros(3, 4)
    expected[1, 1] = 12
    for row, column in ((0, 1), (2, 1), (1, 0), (1, 2)):
        expected[row, column] = 3
    torch.testing.assert_close(edges(x)[0, 0], expected)


def test_a_shared_convolution_begins_as_the_identity():
    x = image()
    assert torch.equal(SharedConv(3, 7)(x), x)


def test_gcanet_gives_what_is_added_or_the_image_itself():
    x = image(16, 24)
    network = build("GCANet").eval()
    for parameter in network.deconv1.parameters():
        parameter.data.zero_()
    torch.testing.assert_close(network(x), x)
    network.residual = False
    assert not network(x).any()


def test_space_to_depth_keeps_a_pixels_channels_together():
    x = torch.arange(12.0).view(1, 3, 2, 2)
    assert space_to_depth(x).flatten().tolist() == [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]
    assert torch.equal(depth_to_space(space_to_depth(x)), x)


def test_a_tile_is_shrunk_as_its_part_of_the_whole():
    x = torch.randn(1, 2, 65, 65, generator=torch.Generator().manual_seed(0))
    with tile_context(Tile(32, 64, 128, 128, iter(()))):
        tile = shrink_by_one(x[..., 16:49, 32:65], scale=2)
    torch.testing.assert_close(tile, shrink_by_one(x, scale=2)[..., 16:48, 32:], atol=1e-4, rtol=0)


def test_tensorflows_variables_load_as_dped(tmp_path):
    """Kernels are transposed, and unnamed variables are shift and scale of the norms in turn."""
    network, state = build("DPED"), {}
    convs = [n for n, p in network.named_parameters() if p.dim() == 4]
    own = network.state_dict()
    for i, name in enumerate(convs, 1):
        state[f"W{i}"] = own[name].permute(2, 3, 1, 0).contiguous()
        state[f"b{i}"] = own[name.replace("weight", "bias")]
    for i in range(8):
        norm = f"blocks.{i // 2}.norm{i % 2 + 1}"
        state["Variable" + f"_{2 * i}" * (i > 0)] = own[f"{norm}.bias"] = torch.randn(8)
        state[f"Variable_{2 * i + 1}"] = own[f"{norm}.weight"] = torch.randn(8)
    torch.save(state, tmp_path / "w.pth")
    loaded, meta = build_from_file(tmp_path / "w.pth")
    assert meta["network_g"] == {"type": "DPED", "dim": 8}
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, own[name]), name


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("GCANet", {"dim": 0}, "`dim` to be at least 1, but got 0"),
        ("GridDehazeNet", {"num_columns": 5}, "`num_columns` to be a multiple of 2, but got 5"),
        ("FFANet", {"dim": -16}, "`dim` to be a multiple of 16 above 0, but got -16"),
        ("FFANet", {"dim": 24}, "`dim` to be a multiple of 16, but got 24"),
        ("C2PNet", {"num_blocks": 0}, "`num_blocks` to be at least 1, but got 0"),
        ("MSBDN", {"num_blocks": 0}, "`num_blocks` to be at least 1, but got 0"),
        ("DehazeFormer", {"variant": "m"}, "`variant` to be t, s or b, but got 'm'"),
        ("DehazeFormer", {"dim": 8}, "`dim` to be a multiple of 6, but got 8"),
        ("DPED", {"dim": 0}, "`dim` to be at least 1, but got 0"),
        ("FEQE", {"dim": 6}, "`dim` to be a multiple of 4, but got 6"),
    ],
)
def test_bad_arguments_are_named(name, arguments, text):
    with pytest.raises(ValueError, match=text):
        build(name, **arguments)
