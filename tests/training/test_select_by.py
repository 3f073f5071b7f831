"""Which metric chooses the best checkpoint."""

import pytest
from helpers import events, run
from torch.nn import functional as F

from enhancement.errors import UserError
from enhancement.scoring import lpips
from enhancement.weights.state_dicts import read_weights

BY_LPIPS = {"protocol": "capsule", "select_by": "lpips", "val_freq": 1}


class Distance:
    """In LPIPS's place: needs no weights, low is better."""

    def to(self, _):
        return self

    def __call__(self, output, gt):
        return F.l1_loss(output, gt)


def test_lpips_chooses_the_lowest(tiny, monkeypatch):
    monkeypatch.setattr(lpips, "lpips_network", Distance)
    optimizer = {"type": "Adam", "lr": 0.02}
    option_file = tiny(val=BY_LPIPS, train={"total_iter": 5, "optim_g": optimizer})
    assert run("--opt", option_file) == 0
    scalars = events("experiments/tiny").Scalars("metrics/pairs_val/capsule/lpips")
    values = {event.step: event.value for event in scalars}
    best = read_weights("experiments/tiny/models/net_g_best.pth")[1]["best"]
    assert len(set(values.values())) > 1
    assert best["metric"] == "lpips"
    assert best["value"] == pytest.approx(min(values.values()), rel=1e-6)
    assert best["iteration"] == min(values, key=values.get)


def pairs(split):
    root = f"datasets/high_low/{split}"
    return {
        "type": "PairedDataset",
        "dataroot_lq": f"{root}/low",
        "dataroot_gt": f"{root}/high",
    }


def test_the_first_of_several_sets_chooses(tiny):
    sets = {"train": {"val_fraction": None}, "val_a": pairs("test"), "val_b": pairs("test")}
    assert run("--opt", tiny(datasets=sets, val={"val_freq": 1, "select_on_test": True})) == 0
    best = read_weights("experiments/tiny/models/net_g_best.pth")[1]["best"]
    assert best["dataset"] == "val_a"


def test_sets_of_one_name_are_refused(tiny):
    named = {"val_a": {**pairs("test"), "name": "x"}, "val_b": {**pairs("test"), "name": "x"}}
    with pytest.raises(
        UserError, match=r"datasets\.val_b\.name: 'x' is datasets\.val_a's name too"
    ):
        run("--opt", tiny(datasets={"train": {"val_fraction": None}, **named}))


def test_without_its_weights_no_training_begins(tiny, in_tmp, monkeypatch):
    def unavailable():
        raise UserError("lpips not computed: AlexNet's weights could not be downloaded")

    monkeypatch.setattr(lpips, "lpips_network", unavailable)
    with pytest.raises(UserError, match=r"val\.select_by: lpips not computed: AlexNet's"):
        run("--opt", tiny(val=BY_LPIPS))
    assert not list(in_tmp.glob("experiments/*/models/*"))


def test_a_metric_that_the_protocol_has_not_is_refused(tiny):
    with pytest.raises(UserError, match=r"protocol basicsr has no lpips; valid: psnr, ssim"):
        run("--opt", tiny(val={**BY_LPIPS, "protocol": "basicsr"}))


def test_other_runs_do_not_need_the_weights(tiny, monkeypatch):
    monkeypatch.delattr(lpips, "lpips_network")
    assert run("--opt", tiny(val={"protocol": "capsule"})) == 0
