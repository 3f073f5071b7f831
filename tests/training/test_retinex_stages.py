"""Networks that are trained part by part: each stage with those before it frozen."""

import pytest
import torch
from helpers import ROOT, make_pairs, run, weights

STAGES = {
    "retinexnet": (["network_g:dim=8"], ["1_decomposition", "2_relighting"]),
    "uretinexnet": (
        ["network_g:dim=4", "network_g:rounds=2"],
        ["1_initialisation", "2_unfolding", "3_adjustment"],
    ),
}
BRIEF = [
    *("datasets:train:batch_size_per_gpu=2", "datasets:train:gt_size=32", "train:total_iter=2"),
    *("val:val_freq=2", "logger:save_checkpoint_freq=2"),
]


@pytest.mark.parametrize("network", STAGES)
def test_stages_train_one_after_the_other(network, in_tmp):
    make_pairs(in_tmp / "datasets/LOLv1", "Train/input", "Train/target", count=10)
    make_pairs(in_tmp / "datasets/LOLv1", "Test/input", "Test/target", count=2)
    small, stages = STAGES[network]
    before = {}
    for stage in stages:
        path = ROOT / f"options/{network}/{stage}.yml"
        assert run("--opt", path, "--force_yml", *small, *BRIEF) == 0
        after = weights(f"{network}_{stage}_lol_v1")
        assert set(after) > set(before)
        assert all(torch.equal(after[name], value) for name, value in before.items())
        before = after
