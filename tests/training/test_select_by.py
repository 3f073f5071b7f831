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
