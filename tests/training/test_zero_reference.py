"""Training without ground truth: what it sees, how it is scored, and what is refused."""

import math

import numpy as np
import pytest
import torch
from helpers import events, make_pairs, model_of, run

from enhancement.data.images import write_image
from enhancement.errors import OptionError, UserError
from enhancement.scoring.niqe import niqe
from enhancement.scoring.protocols import NO_REFERENCE, get_protocol
from enhancement.testing import command as testing
from enhancement.weights.state_dicts import read_weights

LOSSES = {"pixel_opt": None, "exposure_opt": {"type": "ExposureControlLoss"}}
ZERO = {"model_type": "ZeroReferenceModel", "network_g": {"type": "ZeroDCE", "width": 4}}
DARK = {"type": "UnpairedDataset", "layout": None, "split": None}
BY_NIQE = {"val_freq": 1, "select_by": "niqe"}


@pytest.fixture
def dark(tiny, in_tmp):
    """Writes an option file that trains and validates on dark images of 96 x 192 alone."""
    for split in ("train", "test"):
        make_pairs(
            in_tmp / "datasets/high_low", f"{split}/low", f"{split}/high", 4, height=96, width=192
        )
    lq = {"dataroot_lq": "datasets/high_low/train/low"}

    def write(**changes):
        options = {**ZERO, "datasets": {"train": {**DARK, **lq}}, "train": LOSSES, "val": BY_NIQE}
        return tiny(**{**options, **changes})

    return write


def test_it_trains_on_dark_images_and_keeps_the_best_by_niqe(dark):
    assert run("--opt", dark()) == 0
    log = events("experiments/tiny")
    values = [e.value for e in log.Scalars("metrics/pairs_val/no_reference/niqe")]
    best = read_weights("experiments/tiny/models/net_g_best.pth")[1]["best"]
    assert (best["metric"], best["protocol"]) == ("niqe", "no_reference")
    assert best["value"] == pytest.approx(min(values), rel=1e-6)
    image = log.Images("pairs_val: input | output")[0]
    assert (image.width, image.height) == (2 * 192, 96)


def test_an_image_without_a_score_is_named(dark, in_tmp, capsys):
    write_image(in_tmp / "datasets/fade/black.png", np.zeros((96, 192, 3), np.uint8))
    val = {"type": "UnpairedDataset", "name": "fade", "dataroot_lq": "datasets/fade"}
    train = {**DARK, "dataroot_lq": "datasets/high_low/train/low", "val_fraction": None}
    assert run("--opt", dark(datasets={"train": train, "val": val})) == 0
    assert "niqe is not a number for black.png of fade; no checkpoint" in capsys.readouterr().out


def test_what_would_choose_checkpoints_matters_only_where_they_are_chosen(dark):
    train = {**DARK, "dataroot_lq": "datasets/high_low/train/low", "val_fraction": None}
    assert run("--opt", dark(datasets={"train": train})) == 0


def test_scoring_alone_sees_the_targets(dark, capsys):
    run("--opt", dark())
    arguments = ["--opt", "tiny.yml", "--weights", "experiments/tiny/models/net_g_best.pth"]
    testing.test(testing.parse(arguments))
    assert "Protocol basicsr, dataset pairs, 4 images" in capsys.readouterr().out
    testing.test(testing.parse([*arguments, "--dataset", "val"]))
    assert "Protocol no_reference, dataset pairs_val, 1 image" in capsys.readouterr().out
    with pytest.raises(UserError, match="--protocol: basicsr compares with ground truths, which"):
        testing.test(testing.parse([*arguments, "--dataset", "val", "--protocol", "basicsr"]))


def test_ground_truth_of_pairs_is_never_looked_at(tiny):
    model = model_of(tiny(**ZERO, train=LOSSES))
    model.feed_data({"lq": torch.rand(2, 3, 32, 32), "gt": torch.full((2, 3, 32, 32), math.nan)})
    model.optimize_parameters(1)
    assert model.skipped == 0
    assert "gt" not in model.named_tensors()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"model_type": "EnhancementModel", "train": {"pixel_opt": {"type": "L1Loss"}}},
            "datasets.train.type: UnpairedDataset gives no ground truth, which EnhancementModel",
        ),
        (
            {"train": {"pixel_opt": {"type": "L1Loss"}}},
            "train.pixel_opt.type: L1Loss needs ground truth, which ZeroReferenceModel",
        ),
        (
            {
                "network_g": {"type": "PairLIE", "width": 4},
                "train": {"pixel_opt": None, "r_opt": {"type": "ReflectanceConsistencyLoss"}},
            },
            "train.r_opt.type: ReflectanceConsistencyLoss needs ground truth, which",
        ),
        (
            {"train": {**LOSSES, "mixing_augs": {"mixup": True}}},
            "train.mixing_augs: mixes pairs; ZeroReferenceModel cannot use it",
        ),
        ({"val": {"select_by": "psnr"}}, "val.select_by: protocol no_reference has no psnr"),
        (
            {"val": {"select_by": "niqe", "metrics": {"mine": {"type": "calculate_ssim"}}}},
            "val.metrics: no ground truth to score by: ",
        ),
    ],
)
def test_what_needs_ground_truth_is_refused_in_one_line(changes, text, dark):
    with pytest.raises(OptionError) as caught:
        run("--opt", dark(**changes))
    (fault,) = caught.value.faults
    assert text in fault


class TestNiqe:
    def test_equals_basicsrs(self):
        from basicsr.metrics import calculate_niqe
        from helpers import picture

        image = picture(0, 100, 200)
        tensor = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
        expected = calculate_niqe(image[..., ::-1].astype("float64"), 0)
        assert niqe(tensor) == pytest.approx(expected)
        scores = NO_REFERENCE.score(tensor, None, lq=tensor)
        assert scores == {"niqe": pytest.approx(expected), "loe": 0}

    def test_a_flat_image_has_none_and_a_small_one_is_refused(self):
        assert math.isnan(niqe(torch.zeros(1, 3, 96, 192)))
        with pytest.raises(UserError, match="at least 96x192 pixels, but the image is 64x48"):
            niqe(torch.zeros(1, 3, 48, 64))

    def test_other_protocols_want_a_ground_truth(self):
        with pytest.raises(UserError, match="protocol basicsr compares with ground truths, which"):
            get_protocol("basicsr").score(torch.zeros(1, 3, 16, 16), None)
