"""The dual-generalization framework's networks: published weights and arithmetic, safe numbers."""

import json
import logging
import warnings

import numpy as np
import pytest
import torch
from networks import count
from torch.nn import functional as F

from enhancement.archs.blgm_arch import BLGM, DynamicDepthwise, illumination_vector
from enhancement.archs.dual_generalization_arch import DualGeneralization
from enhancement.archs.iglfm_arch import IGLFM
from enhancement.archs.parts.attention import block_diagonal, channel_attention, gram, mix_channels
from enhancement.archs.parts.iglfm_blocks import Laplacian, LumaCurves
from enhancement.archs.segmentation_arch import SegmentationNet
from enhancement.archs.wsgm_arch import WSGM, Haar

GOLDEN = "golden"
REDUCED = {"width": 16, "groups": 1, "blocks": 1}


@pytest.fixture
def formula(real_data, monkeypatch):
    """The module that makes golden weights, and a published state dict by network name."""
    monkeypatch.syspath_prepend(real_data / GOLDEN)
    module = pytest.importorskip("formula")
    keys = json.loads((real_data / GOLDEN / "keys.json").read_text())
    module.published = lambda name: module.fill({k: torch.zeros(s) for k, s in keys[name].items()})
    module.golden = lambda name: np.load(real_data / GOLDEN / f"{name}.npz")
    return module


def test_parameter_counts():
    for network, expected in (
        (IGLFM(mcc=False), 4_959_024),  # five more PReLUs than the published forward uses
        (BLGM(), 3_239_875),
        (WSGM(), 80_223),
    ):
        assert count(network) == expected


@pytest.mark.data
def test_iglfm_equals_the_published_forward(formula):
    network = IGLFM(mcc=False).eval()
    network.load_published_state_dict(formula.published("IGLFM"))
    with torch.inference_mode():
        output, feature = network.with_feature(formula.image(1, 48, 64))
    np.testing.assert_allclose(output, formula.golden("IGLFM")["0"], atol=1e-5, rtol=0)
    np.testing.assert_allclose(feature, formula.golden("IGLFM")["1"], atol=1e-5, rtol=0)


@pytest.mark.data
def test_blgm_equals_the_published_forward(formula):
    network = BLGM().eval()
    network.load_published_state_dict(formula.published("BLGM"))
    vector = illumination_vector(formula.image(1, 48, 64))
    np.testing.assert_allclose(vector, formula.golden("BLGM")["1"], atol=1e-7, rtol=0)
    feature = torch.from_numpy(formula.golden("IGLFM")["1"])
    with torch.inference_mode():
        output = network(feature, vector)
    np.testing.assert_allclose(output, formula.golden("BLGM")["0"], atol=1e-6, rtol=0)


@pytest.mark.data
def test_published_checkpoints_load_wrapped_prefixed_and_with_mcc(formula):
    state = formula.published("IGLFM")
    wrapped = {"state_dict": {f"module.{k}": v for k, v in state.items()}}
    plain, colour = IGLFM(mcc=False), IGLFM(mcc=True)
    plain.load_published_state_dict(wrapped)
    colour.load_published_state_dict(wrapped)
    assert torch.equal(colour.mcc.qkv[1].weight, state["mcc.dwconv.weight"])
    slopes = {b.pyramid.act.weight.item() for g in plain.groups for b in g.blocks}
    assert slopes == {state["body.2.body.1.plf.act.weight"].item()}
    with pytest.raises(RuntimeError, match=r"stem\.weight"):
        plain.load_published_state_dict({k: v for k, v in state.items() if k != "conv_in.weight"})
    with pytest.raises(RuntimeError, match=r"Unexpected key.*mystery"):
        plain.load_published_state_dict({**state, "mystery": torch.zeros(1)})


def test_illumination_vector_counts_exactly():
    image = torch.rand(3, 3, 37, 53)
    image[0] = 0
    image[1] = 1
    image[2, :, 0, 0] = torch.tensor([-0.5, 1.5, 0.999])
    vector = illumination_vector(image)
    for one, row in zip(image, vector, strict=True):
        expected = np.histogram(one.clamp(0, 1), bins=64, range=(0, 1))[0] / (37 * 53)
        np.testing.assert_allclose(row, expected, atol=1e-7)
    assert torch.equal(vector[1:2], illumination_vector(image[1:2]))
    torch.testing.assert_close(vector.sum(1), torch.full((3,), 3.0))


def test_the_composites_vector_is_that_of_the_image_without_padding():
    torch.manual_seed(0)
    network = DualGeneralization(stage=2, blgm_width=8, **REDUCED).eval()
    image, seen = torch.rand(1, 3, 37, 53), []
    network.blgm.register_forward_pre_hook(lambda m, arguments: seen.append(arguments[1]))
    network(image)
    assert torch.equal(seen[0], illumination_vector(image))


def test_stages_chain_what_is_there():
    image = torch.rand(1, 3, 18, 22)
    for stage, names in ((1, ["iglfm"]), (2, ["iglfm", "blgm"]), (3, ["iglfm", "blgm", "wsgm"])):
        network = DualGeneralization(stage=stage, blgm_width=8, wsgm_width=8, **REDUCED).eval()
        outputs = network.stages(image)
        assert list(outputs) == names
        assert torch.equal(network(image), outputs[names[-1]])
    torch.testing.assert_close(outputs["wsgm"], outputs["blgm"])  # WSGM begins as the identity
    alone = IGLFM(**REDUCED).eval()
    alone.load_state_dict(network.iglfm.state_dict())
    padded = F.pad(image, (0, 2, 0, 2), "reflect")
    torch.testing.assert_close(alone(padded)[..., :18, :22], outputs["iglfm"])


def test_images_of_a_batch_do_not_see_each_other():
    torch.manual_seed(0)
    network = DualGeneralization(3, 16, 1, 1, blgm_width=16).eval()
    images = torch.rand(3, 3, 36, 44) * torch.tensor([0.1, 0.4, 1.0]).view(3, 1, 1, 1)
    with torch.inference_mode():
        together = network.stages(images)
        alone = [network.stages(image) for image in images.split(1)]
    for name, output in together.items():
        each = torch.cat([outputs[name] for outputs in alone])
        torch.testing.assert_close(output, each, atol=1e-5, rtol=0)


def test_what_is_trained_gets_a_gradient_at_every_stage():
    """Several processes wait for each other's gradients of every trained parameter."""
    for stage in (1, 2, 3):
        network = DualGeneralization(stage=stage, blgm_width=8, **REDUCED)
        network(torch.rand(1, 3, 16, 16)).mean().backward()
        trained = [p for p in network.parameters() if p.requires_grad]
        assert all(p.grad is not None for p in trained)


def test_luma_curves_follow_the_formula():
    curves, image = LumaCurves(1), torch.rand(1, 3, 5, 7)
    n, s = curves.n[0].item(), curves.s[0].item()
    r, g, b = image[0]
    y = 0.257 * r + 0.564 * g + 0.098 * b + 0.0626
    u = -0.148 * r - 0.291 * g + 0.439 * b + 0.5001
    v = 0.439 * r - 0.368 * g - 0.071 * b + 0.5001
    mapped = y**n / (y**n + s**n)
    expected = torch.stack(
        [
            1.164 * (mapped - 0.0626) + 1.596 * (v - 0.5001),
            1.164 * (mapped - 0.0626) - 0.392 * (u - 0.5001) - 0.813 * (v - 0.5001),
            1.164 * (mapped - 0.0626) + 2.017 * (u - 0.5001),
        ]
    ).clamp(0, 1)
    torch.testing.assert_close(curves(image)[0, 0], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("n", [0.0, 1e-12, 0.3, 5.0])
@pytest.mark.parametrize("s", [0.0, 1e-12, 1.0])
@pytest.mark.parametrize("pixel", [-1.0, 0.0, 1e-9, 1.0, 2.0])
def test_luma_curves_and_their_gradients_are_finite(n, s, pixel):
    curves = LumaCurves(1)
    curves.n[0].data.fill_(n)
    curves.s[0].data.fill_(s)
    image = torch.full((1, 3, 2, 2), pixel, requires_grad=True)
    output = curves(image)
    output.sum().backward()
    gradients = (image.grad, curves.n[0].grad, curves.s[0].grad)
    assert all(t.isfinite().all() for t in (output, *gradients))


@pytest.mark.slow
def test_training_on_frames_with_black_borders_stays_finite():
    """200 iterations on a round field of view, with curves that begin near n = s = 0."""
    torch.manual_seed(0)
    network = DualGeneralization(blgm_width=8, wsgm_width=8, **REDUCED)
    for module in network.modules():
        if isinstance(module, LumaCurves):
            for value in (*module.n, *module.s):
                value.data.mul_(1e-6)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 16), torch.linspace(-1, 1, 16), indexing="ij")
    gt = torch.rand(2, 3, 16, 16) * (x**2 + y**2 < 0.8)
    gt[:, :, 8, 8] = 1
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(200):
        optimizer.zero_grad()
        loss = (network(gt * 0.2) - gt).abs().mean()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0, error_if_nonfinite=True)
        assert norm > 0
        optimizer.step()
        losses.append(loss.item())
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0] / 2


def test_channel_attention_equals_the_plain_formula():
    torch.manual_seed(0)
    x = torch.rand(2, 8, 5, 6)
    q, k = torch.randn(2, 2, 4, 8).unbind(0)
    scale = torch.rand(2, 1, 1)
    pixels = x.flatten(2)[:, None]
    a, b = (F.normalize(w @ pixels, dim=-1) for w in (q, k))
    expected = (a @ b.transpose(-1, -2) * scale).softmax(-1)
    found = channel_attention(gram(x), q, k, scale)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    matrix = block_diagonal(found)
    assert torch.equal(matrix[:, :4, :4], found[:, 0])
    assert not matrix[:, :4, 4:].any()
    expected = torch.einsum("bij,bjyx->biyx", matrix, x)
    torch.testing.assert_close(mix_channels(x, matrix), expected)


def test_the_recorded_depthwise_convolution_is_the_same():
    torch.manual_seed(0)
    layer, x, vector = DynamicDepthwise(6), torch.rand(3, 6, 5, 7), torch.rand(3, 64)
    kernels = layer.hypernet(vector).unflatten(1, (-1, 1, 3, 3))
    torch.testing.assert_close(layer(x, vector), layer.by_all_kernels(x, kernels))


def test_the_compiled_depthwise_convolution_takes_batches_that_differ():
    torch.manual_seed(0)
    layer = DynamicDepthwise(8)
    compiled = torch.compile(layer)
    for batch, height, width in ((2, 16, 16), (3, 16, 20), (1, 24, 17)):
        x, vector = torch.rand(batch, 8, height, width), torch.rand(batch, 64)
        torch.testing.assert_close(compiled(x, vector), layer(x, vector))


def test_folded_networks_have_no_prelu():
    for network in (IGLFM(**REDUCED), DualGeneralization(blgm_width=8, **REDUCED)):
        folded = network.fold()
        assert type(folded) is type(network)
        assert not any(isinstance(m, torch.nn.PReLU) for m in folded.modules())
        assert any(isinstance(m, torch.nn.PReLU) for m in network.modules())


def test_haar_is_orthonormal_and_inverts():
    haar, x = Haar(), torch.rand(2, 3, 6, 8)
    bands = haar(x)
    assert bands.shape == (2, 12, 3, 4)
    torch.testing.assert_close(haar.inverse(bands), x)
    torch.testing.assert_close(bands.square().sum(), x.square().sum())
    torch.testing.assert_close(bands[:, 0], 2 * F.avg_pool2d(x, 2)[:, 0])


def test_laplacian_sees_nothing_in_a_flat_image():
    assert not Laplacian(2)(torch.full((1, 2, 5, 5), 0.25)).any()


def test_segmentation_gives_a_mask_of_the_images_size():
    network = SegmentationNet(encoder="mobilenetv3_small_100").eval()
    assert network(torch.rand(1, 3, 64, 96)).shape == (1, 1, 64, 96)


def test_segmentation_weights_are_loaded_quietly(monkeypatch, caplog):
    """timm's own network stands for the download; it is built without memory, as a check does."""
    import segmentation_models_pytorch as smp
    import timm

    state = timm.create_model("mobilenetv3_small_050").state_dict()
    create, asked = smp.create_model, []

    def downloaded(decoder, encoder, pretrained, **arguments):
        asked.append(pretrained)
        network = create(decoder, encoder, None, **arguments)
        logging.getLogger("timm.models").warning("Unexpected keys (classifier.weight) found")
        network.encoder.model.load_state_dict(state, strict=False)
        return network

    monkeypatch.setattr(smp, "create_model", downloaded)
    with torch.device("meta"), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        SegmentationNet(encoder="mobilenetv3_small_050", encoder_weights="pretrained")
    assert asked == [True]
    assert not said
    assert not caplog.records


def test_segmentation_weights_that_cannot_be_had(monkeypatch):
    def offline(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("segmentation_models_pytorch.create_model", offline)
    with pytest.raises(
        ValueError, match="'resnet18' cannot be downloaded; `encoder_weights: null`"
    ):
        SegmentationNet(encoder_weights="pretrained")


@pytest.mark.parametrize(
    ("kind", "arguments", "text"),
    [
        (IGLFM, {"width": 24}, "`width` to be a multiple of 16, but got 24"),
        (DualGeneralization, {"stage": 4}, "`stage` to be 1, 2 or 3, but got 4"),
        (DualGeneralization, {"wsgm_width": 0}, "`wsgm_width` to be at least 1, but got 0"),
        (SegmentationNet, {"encoder": "nope"}, "`encoder` to be a timm network .* 'nope'"),
    ],
)
def test_bad_arguments_are_named(kind, arguments, text):
    with pytest.raises(ValueError, match=text):
        kind(**arguments)
