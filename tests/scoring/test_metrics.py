"""Protocols against BasicSR's and scikit-image's own code, and by hand."""

import math

import numpy as np
import pytest
import torch
from basicsr.metrics import calculate_psnr, calculate_ssim
from helpers import picture
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from enhancement.data.images import read_image, to_float
from enhancement.errors import UserError
from enhancement.registry import METRIC_REGISTRY, lookup
from enhancement.scoring import lpips as lpips_metric
from enhancement.scoring.evaluation import Scorer, Scores
from enhancement.scoring.metrics import LPIPS, METRICS, PSNR, get_metric
from enhancement.scoring.protocols import PROTOCOLS, get_protocol, protocols_for


def tensor(array):
    return torch.from_numpy(to_float(array).transpose(2, 0, 1))[None]


def noisy(array, seed=0):
    rng = np.random.default_rng(seed)
    return np.clip(array + rng.normal(0, 12, array.shape), 0, 255).round().astype(np.uint8)


def real_pairs(folder):
    for name in ("1.png", "111.png", "780.png"):
        yield tuple(read_image(folder / "LOLv1/Test" / side / name) for side in ("input", "target"))


def check_basicsr(a, b):
    score = get_protocol("basicsr").score(tensor(a), tensor(b))
    assert score["psnr"] == pytest.approx(calculate_psnr(a, b, 0), abs=1e-6)
    assert score["ssim"] == pytest.approx(calculate_ssim(a, b, 0), abs=1e-6)


def check_capsule(a, b):
    score = get_protocol("capsule").score(tensor(a), tensor(b))
    psnr = peak_signal_noise_ratio(b, a, data_range=255)
    ssim = structural_similarity(b, a, channel_axis=2, data_range=255)
    assert score["psnr"] == pytest.approx(psnr, abs=1e-6)
    assert score["ssim"] == pytest.approx(ssim, abs=1e-6)


@pytest.mark.parametrize("check", [check_basicsr, check_capsule])
def test_protocols_equal_their_sources(check):
    for seed in range(3):
        image = picture(seed, 37, 53)
        check(noisy(image), image)
        check(image // 5, image)


@pytest.mark.data
@pytest.mark.parametrize("check", [check_basicsr, check_capsule])
def test_protocols_equal_their_sources_on_real_images(check, real_data):
    for a, b in real_pairs(real_data):
        check(a, b)


def test_retinexformer_scores_psnr_before_rounding():
    gt = torch.full((1, 3, 16, 16), 0.5)
    output = gt + 0.3 / 255  # rounds away
    score = get_protocol("retinexformer").score(output, gt)
    assert score["psnr"] == pytest.approx(20 * math.log10(255 / 0.3), abs=1e-3)
    assert get_protocol("basicsr").score(output, gt)["psnr"] == math.inf  # both round to 128


def test_equal_images_score_as_each_protocol_says():
    gt = torch.rand(1, 3, 16, 16)
    assert get_protocol("basicsr").score(gt, gt) == {"psnr": math.inf, "ssim": 1.0}
    assert get_protocol("retinexformer").score(gt, gt)["psnr"] == 100.0


def test_gt_mean_by_hand():
    """Red output, white ground truth: the two greys weigh red differently."""
    gt = torch.full((1, 3, 16, 16), 0.5)
    output = torch.zeros(1, 3, 16, 16)
    output[:, 0] = 0.2
    true_grey = get_protocol("basicsr+gtmean").adjust(output, gt)
    assert true_grey[0, 0, 0, 0].item() == pytest.approx(min(1, 0.2 * 0.5 / (0.299 * 0.2)))
    swapped = get_protocol("retinexformer+gtmean").adjust(output / 10, gt)
    assert swapped[0, 0, 0, 0].item() == pytest.approx(min(1, 0.02 * 0.5 / (0.114 * 0.02)))
    darker = get_protocol("retinexformer+gtmean").adjust(gt, gt / 2)
    torch.testing.assert_close(darker, gt.double() / 2)


def test_every_protocol_names_itself_and_gtmean_is_apart():
    assert all(name == protocol.name for name, protocol in PROTOCOLS.items())
    assert {n for n, p in PROTOCOLS.items() if p.gt_mean} == {
        n for n in PROTOCOLS if n.endswith("+gtmean")
    }


def test_unknown_protocol_lists_the_valid_ones():
    with pytest.raises(UserError, match=r"'capsul'; did you mean 'capsule'\? valid: basicsr"):
        get_protocol("capsul")


def test_shapes_and_small_images_are_refused():
    protocol = get_protocol("basicsr")
    with pytest.raises(UserError, match="of one shape"):
        protocol.score(torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 17))
    with pytest.raises(UserError, match="at least 11x11, but got 16x8"):
        protocol.score(torch.zeros(1, 3, 8, 16), torch.zeros(1, 3, 8, 16))


def test_metrics_are_offered_to_basicsr():
    a, b = noisy(picture(0)), picture(0)
    calculate = lookup(METRIC_REGISTRY, "calculate_ssim_capsule")
    expected = structural_similarity(a, b, channel_axis=2, data_range=255)
    assert calculate(a, b, crop_border=0) == pytest.approx(expected, abs=1e-6)


@pytest.fixture
def no_weights(monkeypatch):
    """A machine that cannot download AlexNet's weights."""
    import lpips

    def refuse(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(lpips, "LPIPS", refuse)
    lpips_metric.lpips_network.cache_clear()


@pytest.fixture
def random_weights(monkeypatch):
    """AlexNet with random weights: the wiring, not the published score."""
    import lpips

    real = lpips.LPIPS
    monkeypatch.setattr(lpips, "LPIPS", lambda **k: real(**k, pnet_rand=True))
    lpips_metric.lpips_network.cache_clear()
    yield
    lpips_metric.lpips_network.cache_clear()


def test_lpips_without_weights_is_refused_where_it_is_needed(no_weights):
    reason = "lpips not computed: AlexNet's weights could not be downloaded"
    with pytest.raises(UserError, match=reason):
        get_metric("lpips").prepare(torch.device("cpu"))


def test_lpips_without_weights_is_an_empty_column_with_a_note(no_weights):
    protocol = get_protocol("capsule")
    score = Scorer(protocol, torch.device("cpu"), protocol.names)
    found = score(torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16))
    assert list(found) == ["psnr", "ssim", "lpips"]
    assert found["lpips"] is None
    assert found["psnr"] > 0
    assert score.notes == ["lpips not computed: AlexNet's weights could not be downloaded"]


def test_lpips_of_equal_images_is_zero(random_weights):
    LPIPS.prepare(torch.device("cpu"))
    x = torch.rand(1, 3, 64, 64)
    found = get_protocol("capsule").score(x, x, [LPIPS])
    assert found == {"lpips": 0}
    assert LPIPS.function(x, 1 - x) > 0


def test_lpips_is_computed_only_where_it_is_asked_for():
    protocol = get_protocol("capsule")
    assert [m.name for m in protocol.select()] == ["psnr", "ssim"]
    assert protocol.names_for_validation("psnr") == ("psnr", "ssim")
    assert protocol.names_for_validation("lpips") == ("psnr", "ssim", "lpips")
    assert protocol.names_for_validation("dice") == ("psnr", "ssim")
    assert protocol.select(["lpips", "psnr"]) == (PSNR, LPIPS)
    with pytest.raises(UserError, match=r"protocol basicsr has no 'lpips'; .*valid: psnr, ssim"):
        get_protocol("basicsr").select(["lpips"])


@pytest.mark.parametrize(("name", "better", "worse"), [("psnr", 30.0, 20.0), ("lpips", 0.1, 0.2)])
def test_the_better_score_wins_and_no_score_never_does(name, better, worse):
    metric = get_metric(name)
    assert metric.improves(better, worse)
    assert not metric.improves(worse, better)
    assert not metric.improves(better, better)
    assert metric.improves(worse, None)
    assert metric.improves(worse, math.nan)
    for nothing in (None, math.nan):
        assert not metric.improves(nothing, worse)
        assert not metric.improves(nothing, None)


def test_an_infinite_score_is_the_best():
    assert get_metric("psnr").improves(math.inf, 60.0)
    assert not get_metric("psnr").improves(60.0, math.inf)


def test_every_metric_bears_its_own_name_and_belongs_to_a_protocol():
    assert all(name == metric.name for name, metric in METRICS.items())
    assert {m.name for p in PROTOCOLS.values() for m in p.metrics} == METRICS.keys()
    with pytest.raises(
        UserError, match=r"unknown metric 'pnsr'; did you mean 'psnr'\? valid: dice"
    ):
        get_metric("pnsr")


def test_a_protocol_compares_images_masks_or_clips():
    assert protocols_for("image", "mask", "clip", "objects") == PROTOCOLS
    assert list(protocols_for("clip")) == ["video"]
    assert list(protocols_for("mask")) == ["segmentation"]
    for protocol in PROTOCOLS.values():
        of_frames = {"image"} if protocol.compares == "clip" else set()
        assert {m.compares for m in protocol.metrics} == {protocol.compares, *of_frames}


def test_masks_are_scored_by_a_protocol_like_the_others():
    mask = torch.zeros(1, 4, 4, dtype=torch.bool)
    mask[:, :2] = True
    protocol = get_protocol("segmentation")
    assert protocol.score(mask, mask) == {"dice": 1, "miou": 1}
    assert protocol.score(mask, ~mask) == {"dice": 0, "miou": 0}
    assert Scorer(protocol, torch.device("cpu"))(mask, mask) == {"dice": 1, "miou": 1}
    beside_images = Scores("capsule", "x")
    columns = ("psnr", "dice", "of val.metrics")
    assert [beside_images.protocol_of(c) for c in columns] == ["capsule", "segmentation", "capsule"]
