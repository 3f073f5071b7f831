"""One set of tests over every network of ours, then what each promises by itself."""

import copy
import inspect
import json
from unittest import mock

import numpy as np
import pytest
import torch
from helpers import ROOT
from networks import OURS, build, image
from torch.nn import functional as F

from enhancement import archs
from enhancement.archs.bilateral import slicing
from enhancement.archs.bilateral.slicing import apply_affine, slice_grid
from enhancement.archs.blocks import ChannelNorm, GuidedAttention
from enhancement.archs.contract import contract_of
from enhancement.archs.ded_net_arch import IFE
from enhancement.archs.hdrnet_arch import CurveGuide, InwardClamp
from enhancement.inference.run import enhance
from enhancement.registry import ARCH_REGISTRY, lookup
from enhancement.weights.state_dicts import misfits, read_weights

PARTS = {"blgm_arch", "wsgm_arch"}  # of DualGeneralization; they do not map an image alone
SEGMENTATION = {"segmentation_arch"}
PARAMETERS = {
    "AODNet": 1761,
    "DEDNet": 4_328_616,
    "DualGeneralization": 4_981_944 + 3_239_875 + 80_223,
    "HDRNet": 481_968 + 112,
    "IGLFM": 4_981_944,
    "LNetGIE": 14,
    "RetinexFormer": 1_605_701,
}


def test_every_arch_file_is_registered():
    files = {path.stem for path in (ROOT / "archs").glob("*_arch.py")}
    assert files == set(archs.__all__)
    assert archs.__all__ == sorted(archs.__all__)
    modules = {lookup(ARCH_REGISTRY, name).__module__.rsplit(".", 1)[1] for name in OURS}
    assert modules == files - PARTS - SEGMENTATION


@pytest.mark.parametrize("name", OURS)
class TestEveryNetwork:
    def test_is_described_and_typed(self, name):
        kind = lookup(ARCH_REGISTRY, name)
        assert len(inspect.getdoc(kind)) > 40
        assert inspect.getmodule(kind).__doc__
        for parameter in inspect.signature(kind).parameters.values():
            assert parameter.annotation is not parameter.empty
            assert parameter.default is not parameter.empty
            assert parameter.kind is parameter.POSITIONAL_OR_KEYWORD

    def test_odd_sizes_keep_their_shape_and_are_finite(self, name):
        for height, width in ((37, 53), (62, 62)):
            output = enhance(build(name).eval(), image(height, width))
            assert output.shape == (2, 3, height, width)
            assert output.isfinite().all()

    @pytest.mark.parametrize("value", [0.0, 1.0])
    def test_black_and_white_stay_finite(self, name, value):
        network = build(name)
        output = enhance(network, torch.full((1, 3, 32, 32), value))
        output.sum().backward()
        assert output.isfinite().all()
        assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())

    def test_every_parameter_gets_a_gradient(self, name):
        network = build(name)
        generator = torch.Generator().manual_seed(2)
        for parameter in network.parameters():  # off the identity that networks start at
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.data += 0.02 * noise
        enhance(network, image()).square().mean().backward()
        silent = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
        idle = ["iglfm.out.weight"] if name == "DualGeneralization" else []  # serves stage 1 alone
        assert silent == idle

    def test_eval_is_deterministic_and_leaves_the_input_alone(self, name):
        network, x = build(name).eval(), image(36, 52)
        before = x.clone()
        assert torch.equal(network(x), network(x))
        assert torch.equal(x, before)

    def test_images_of_a_batch_do_not_touch(self, name):
        network, x = build(name).eval(), image(36, 52)
        torch.testing.assert_close(network(x)[1:], network(x[1:]), rtol=1e-4, atol=1e-5)

    def test_saves_and_loads_strictly(self, name, tmp_path):
        network = build(name)
        torch.save({"params": network.state_dict()}, tmp_path / "w.pth")
        other = build(name)
        for parameter in other.parameters():
            parameter.data.zero_()
        other.load_state_dict(read_weights(tmp_path / "w.pth")[0], strict=True)
        x = image(36, 52)
        assert torch.equal(network.eval()(x), other.eval()(x))

    def test_parameter_count(self, name):
        network = lookup(ARCH_REGISTRY, name)()
        assert sum(p.numel() for p in network.parameters()) == PARAMETERS[name]

    def test_names_its_size_multiple(self, name):
        assert contract_of(build(name)).size_multiple == lookup(ARCH_REGISTRY, name).size_multiple

    def test_can_be_copied_and_scripted_arguments_are_plain(self, name):
        network = copy.deepcopy(build(name))
        assert misfits(network, build(name).state_dict()) == []


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("HDRNet", {"low_resolution": 100}, "`low_resolution` to be a multiple of 64, but got 100"),
        ("HDRNet", {"mode": "ilumination"}, r"`mode` to be one of .* got 'ilumination'"),
        ("HDRNet", {"grid_depth": 0}, "`grid_depth` and `width_multiplier` above 0, but got 0"),
        ("LNetGIE", {"width_multiplier": 0.7}, "1 or 3 channels .* but got 0.7, which leaves 2"),
        ("LNetGIE", {"resolution_multiplier": 0.0}, r"`resolution_multiplier` in \(0, 1\]"),
        ("DEDNet", {"num_blocks": (1, 2)}, r"`num_blocks` to have 3 entries .* got \[1, 2\]"),
        ("RetinexFormer", {"n_feat": 10}, "`n_feat` to be a multiple of 4 .* got 10"),
        ("IGLFM", {"width": 24}, "`width` to be a multiple of 16.* got 24, 3 and 2"),
        ("DualGeneralization", {"stage": 4}, "`stage` to be 1, 2 or 3, but got 4"),
        ("DualGeneralization", {"wsgm_width": 0}, "`wsgm_width` above 0, but got 64 and 0"),
        ("SegmentationNet", {"encoder": "nope"}, "`encoder` to be a timm network .* 'nope'"),
    ],
)
def test_bad_arguments_are_named(name, arguments, text):
    with pytest.raises(ValueError, match=text):
        lookup(ARCH_REGISTRY, name)(**arguments)


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


@pytest.mark.data
def test_lnet_gie_takes_aod_nets_first_rows(real_data):
    state, _ = read_weights(real_data / "weights/aodnet_dehazer.pth")
    network = build("LNetGIE")
    network.initialise_from(state)
    assert torch.equal(network.e_conv1.weight, state["e_conv1.weight"][:1])
    assert torch.equal(network.e_conv1.bias, state["e_conv1.bias"][:1])


def test_lnet_gie_refuses_other_shapes():
    with pytest.raises(ValueError, match=r"weight \(3, 3, 1, 1\)"):
        build("LNetGIE").initialise_from(
            {"e_conv1.weight": torch.zeros(1, 3, 1, 1), "e_conv1.bias": torch.zeros(1)}
        )
    with pytest.raises(KeyError):
        build("LNetGIE").initialise_from({})


def test_lnet_gie_at_full_resolution_is_the_published_arithmetic():
    network, x = build("LNetGIE", resolution_multiplier=1.0), image()
    f = torch.relu(network.e_conv2(torch.relu(network.e_conv1(x))))
    assert torch.equal(network(x), torch.relu(f * x - f + 1))


def test_lnet_gie_estimates_on_the_smaller_image():
    network, sizes = build("LNetGIE", resolution_multiplier=0.5), []
    network.e_conv1.register_forward_hook(lambda m, i, o: sizes.append(tuple(o.shape[-2:])))
    assert network(image(40, 60)).shape == (2, 3, 40, 60)
    assert sizes == [(20, 30)]


def tent_slice(grid, guide):
    """HDRNet's formula, cell by cell: tau(v) = max(1 - |v|, 0) around centres at +0.5."""
    channels, depth, rows, columns = grid.shape
    height, width = guide.shape
    output = np.zeros((channels, height, width))
    for y in range(height):
        for x in range(width):
            gx = (x + 0.5) * columns / width
            gy = (y + 0.5) * rows / height
            gz = guide[y, x] * depth
            for cz in range(int(np.floor(gz - 0.5)), int(np.floor(gz - 0.5)) + 2):
                for cy in range(int(np.floor(gy - 0.5)), int(np.floor(gy - 0.5)) + 2):
                    for cx in range(int(np.floor(gx - 0.5)), int(np.floor(gx - 0.5)) + 2):
                        weight = (
                            max(1 - abs(cx + 0.5 - gx), 0)
                            * max(1 - abs(cy + 0.5 - gy), 0)
                            * max(1 - abs(cz + 0.5 - gz), 0)
                        )
                        inside = (
                            np.clip(cz, 0, depth - 1),
                            np.clip(cy, 0, rows - 1),
                            np.clip(cx, 0, columns - 1),
                        )
                        output[:, y, x] += weight * grid[(slice(None), *inside)]
    return output


def test_slicing_equals_the_published_formula():
    generator = torch.Generator().manual_seed(0)
    grid = torch.rand(1, 5, 4, 3, 6, generator=generator)
    guide = torch.rand(1, 1, 13, 17, generator=generator)
    guide[0, 0, 0, :2] = torch.tensor([0.0, 1.0])
    expected = tent_slice(grid[0].numpy(), guide[0, 0].numpy())
    np.testing.assert_allclose(slice_grid(grid, guide)[0].numpy(), expected, atol=5e-6)


def test_affine_is_applied_row_by_row():
    x = image(4, 5, 1)
    a = torch.arange(12.0).view(1, 12, 1, 1).expand(1, 12, 4, 5)
    matrix = torch.arange(12.0).view(3, 4)
    expected = torch.einsum("ij,bjhw->bihw", matrix[:, :3], x) + matrix[:, 3].view(1, 3, 1, 1)
    torch.testing.assert_close(apply_affine(a, x), expected)


def test_hdrnet_coefficient_branch_has_the_published_size():
    network = lookup(ARCH_REGISTRY, "HDRNet")()
    assert sum(p.numel() for p in network.coefficients.parameters()) == 481_968
    assert network.coefficients(image(64, 64, 1)).shape == (1, 12, 8, 16, 16)


def test_hdrnet_starts_near_the_identity():
    x = image(64, 64)
    assert (build("HDRNet")(x) - x).abs().mean() < 0.1


GOLDEN_FOLDER = "golden"


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "name", "arguments"),
    [
        ("RetinexFormer", "RetinexFormer", {}),
        ("DEDNet_separable", "DEDNet", {}),
        ("DEDNet_dense", "DEDNet", {"ffn": "dense"}),
    ],
)
def test_outputs_equal_the_published_networks(real_data, file, name, arguments, monkeypatch):
    """Weights and input by formula; what the authors' arithmetic gives for them is on file."""
    monkeypatch.syspath_prepend(real_data / GOLDEN_FOLDER)
    formula = pytest.importorskip("formula")
    network = lookup(ARCH_REGISTRY, name)(**arguments).eval()
    network.load_state_dict(formula.fill(network.state_dict()), strict=True)
    keys = json.loads((real_data / GOLDEN_FOLDER / "keys.json").read_text()).get(file)
    if keys:
        assert {k: list(v.shape) for k, v in network.state_dict().items()} == keys
    with torch.inference_mode():
        output = network(formula.image(1, 48, 64)).numpy()
    expected = np.load(real_data / GOLDEN_FOLDER / f"{file}.npz")["0"]
    np.testing.assert_allclose(output, expected, atol=1e-4, rtol=0)


def test_dense_feed_forwards_have_the_published_size():
    with torch.device("meta"):
        network = lookup(ARCH_REGISTRY, "DEDNet")(ffn="dense")
    assert sum(p.numel() for p in network.parameters()) == 45_190_696


def test_attention_equals_the_published_arithmetic():
    """q and k for every pixel, as equations 8 to 10 have it, against the Gram matrix."""
    torch.manual_seed(0)
    layer, x = GuidedAttention(16, 2), torch.randn(2, 16, 9, 7)
    for parameter in layer.parameters():
        parameter.data.normal_(std=0.3)
    guidance = torch.randn(2, 16, 9, 7)
    pixels = x.permute(0, 2, 3, 1).reshape(2, 63, 16)
    q, k, v = (w(pixels).view(2, 63, 2, 8).permute(0, 2, 3, 1)
               for w in (layer.to_q, layer.to_k, layer.to_v))  # fmt: skip
    lit = v * guidance.permute(0, 2, 3, 1).reshape(2, 63, 2, 8).permute(0, 2, 3, 1)
    score = F.normalize(k, dim=-1) @ F.normalize(q, dim=-1).transpose(-1, -2)
    mixed = (score * layer.rescale).softmax(-1) @ lit  # (2, heads, 8, 63)
    out = layer.proj(mixed.permute(0, 3, 1, 2).reshape(2, 63, 16))
    plain_v = v.reshape(2, 16, 9, 7)
    expected = out.transpose(1, 2).reshape(2, 16, 9, 7) + layer.pos_emb(plain_v)
    torch.testing.assert_close(layer(x, guidance), expected, atol=1e-5, rtol=1e-4)


def test_channel_norm_is_layer_norm():
    norm, x = ChannelNorm(6), torch.randn(2, 6, 5, 4)
    norm.weight.data.uniform_()
    norm.bias.data.uniform_()
    expected = F.layer_norm(x.permute(0, 2, 3, 1), (6,), norm.weight, norm.bias)
    torch.testing.assert_close(norm(x), expected.permute(0, 3, 1, 2))


def test_ife_shares_its_convolutions_between_three_scales():
    ife, sizes = IFE(), []
    ife.e_conv1.register_forward_hook(lambda m, i, o: sizes.append(tuple(o.shape[-2:])))
    ife(image(64, 96))
    assert sorted(sizes) == [(7, 11), (16, 24), (64, 96)]
    assert sum(isinstance(m, torch.nn.Conv2d) for m in ife.modules()) == 13


def test_guide_starts_as_the_grey_mean_and_follows_its_hinges():
    guide, x = CurveGuide(), image()
    torch.testing.assert_close(guide(x), x.mean(1, keepdim=True))
    guide.slopes.data[:, 8] = -1.0  # flat above shift 8/16
    torch.testing.assert_close(guide(x), x.clamp(max=0.5).mean(1, keepdim=True))


def test_golden_values_from_fixed_weights():
    """Mean and maximum for weights and input by formula: any change of arithmetic shows."""
    found = {}
    for name in OURS:
        network = build(name).eval()
        for i, parameter in enumerate(network.parameters()):
            n = torch.arange(parameter.numel(), dtype=torch.float64)
            values = torch.sin(n * 12.9898 + i) * 0.5 / max(1, parameter[0].numel()) ** 0.5
            parameter.data.copy_(values.view_as(parameter))
        n = torch.arange(3 * 24 * 32, dtype=torch.float64).view(1, 3, 24, 32)
        x = (0.5 + 0.5 * torch.sin(n * 0.37)).float()
        with torch.inference_mode():
            output = network(x)
        found[name] = (output.mean().item(), output.max().item())
    for name, expected in GOLDEN.items():
        assert found[name] == pytest.approx(expected, abs=1e-4), name
    assert found.keys() == GOLDEN.keys()


GOLDEN = {
    "AODNet": (0.95499, 1.00000),
    "DEDNet": (0.41845, 0.91362),
    "DualGeneralization": (-0.65000, 0.42788),
    "HDRNet": (-0.30260, 1.06917),
    "IGLFM": (0.50088, 1.00169),
    "LNetGIE": (0.99545, 1.00000),
    "RetinexFormer": (0.33264, 0.81924),
}


HDRNET_VARIANTS = {
    "illumination": {"mode": "illumination"},
    "concat": {"fusion": "concat"},
    "pointwise": {"guide": "pointwise"},
    "deep": {"trunk": "deep"},
    "batch_norm": {"batch_norm": True},
    "paper": {"mode": "illumination", "fusion": "concat", "batch_norm": True, "trunk": "deep"},
}


@pytest.mark.parametrize("variant", HDRNET_VARIANTS)
class TestHDRNetVariants:
    def test_every_parameter_gets_a_gradient(self, variant):
        network = build("HDRNet", **HDRNET_VARIANTS[variant])
        for parameter in network.parameters():
            parameter.data += 0.02 * torch.randn(parameter.shape)
        (network(image()) - image()).square().mean().backward()
        silent = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
        assert silent == []

    @pytest.mark.parametrize("value", [0.0, 1 / 255, 1.0])
    def test_black_and_white_stay_finite(self, variant, value):
        network = build("HDRNet", **HDRNET_VARIANTS[variant])
        x = torch.full((2, 3, 64, 64), value, requires_grad=True)
        network(x).sum().backward()
        assert all(t.grad.isfinite().all() for t in (x, *network.parameters()))

    def test_on_tensor_operators_the_output_is_the_same(self, variant):
        network, x = build("HDRNet", **HDRNET_VARIANTS[variant]).eval(), image()
        with mock.patch.object(slicing, "can_fuse", return_value=False):
            expected = network(x)
        torch.testing.assert_close(network(x), expected, atol=1e-5, rtol=1e-5)


def test_illumination_lies_between_the_input_and_one():
    network = build("HDRNet", mode="illumination")
    network.coefficients.project.weight.data.normal_()
    x = image()
    x[..., :5] = 0
    output, light = network(x, with_illumination=True)
    assert (light >= x).all()
    assert (light <= 1).all()
    torch.testing.assert_close(output * light, x)
    assert (output[..., :5] == 0).all()
    assert (output <= 1).all()


def test_an_illumination_outside_its_range_comes_back():
    x = torch.tensor([-0.5, 0.0, 0.5, 1.0, 1.5, 1.5], requires_grad=True)
    low = torch.full((6,), 0.2, requires_grad=True)
    held = InwardClamp.apply(x, low, 1.0)
    assert held.tolist() == pytest.approx([0.2, 0.2, 0.5, 1.0, 1.0, 1.0])
    held.backward(torch.tensor([-1.0, 1.0, 1.0, 1.0, 1.0, -1.0]))
    assert x.grad.tolist() == [-1.0, 0.0, 1.0, 1.0, 1.0, 0.0]
    assert low.grad.tolist() == [-1.0, 1.0, 0.0, 0.0, 0.0, 0.0]


def test_deep_trunk_has_deepupes_size():
    with torch.device("meta"):
        network = lookup(ARCH_REGISTRY, "HDRNet")(trunk="deep")
    assert sum(p.numel() for p in network.coefficients.parameters()) == 998_704


def test_width_multiplier_scales_the_branch():
    narrow = lookup(ARCH_REGISTRY, "HDRNet")(width_multiplier=0.5)
    assert sum(p.numel() for p in narrow.coefficients.parameters()) < 481_968 / 3
    assert narrow.coefficients.low_level[0].out_channels == 4
