"""Padding, ensembles and score tables."""

import math

import pytest
import torch
from torch import nn

from enhancement.archs.parts.padding import pad_to_multiple
from enhancement.inference.run import enhance, eval_mode, self_ensemble
from enhancement.scoring.evaluation import Row, Scores
from enhancement.scoring.report import _plain, table


class Multiple(nn.Module):
    """Fails on sizes that are not multiples of 8; returns its input."""

    size_multiple = 8

    def forward(self, x):
        assert x.shape[-1] % 8 == x.shape[-2] % 8 == 0
        return x


@pytest.mark.parametrize("size", [(37, 53), (8, 8), (3, 90), (1, 1), (5, 16)])
def test_any_size_is_padded_and_cut_back(size):
    x = torch.rand(2, 3, *size)
    assert torch.equal(enhance(Multiple(), x), x)


def test_padding_reflects():
    x = torch.arange(5.0).view(1, 1, 1, 5).expand(1, 1, 5, 5)
    assert pad_to_multiple(x, 4)[0, 0, 0].tolist() == [0, 1, 2, 3, 4, 3, 2, 1]
    assert pad_to_multiple(x, 5) is x


def test_first_of_several_outputs_counts():
    class Two(nn.Module):
        def forward(self, x):
            return x * 2, None

    x = torch.rand(1, 3, 4, 4)
    assert torch.equal(enhance(Two(), x), x * 2)


def test_self_ensemble_turns_back():
    x = torch.rand(1, 3, 6, 9)
    torch.testing.assert_close(self_ensemble(Multiple(), x), x)

    class Left(nn.Module):
        def forward(self, x):
            return x * torch.linspace(0, 1, x.shape[-1])

    mean = self_ensemble(Left(), torch.ones(1, 3, 8, 8))
    torch.testing.assert_close(mean, torch.full_like(mean, 0.5))


def test_eval_mode_is_left_behind():
    network = nn.Dropout().train()
    with eval_mode(network):
        assert not network.training
        assert torch.is_inference_mode_enabled()
    assert network.training


def test_means_and_infinities():
    rows = [Row("a", {"psnr": 1.0}, {"psnr": math.inf}), Row("b", {"psnr": 3.0}, {"psnr": 2.0})]
    scores = Scores("basicsr", "x", rows)
    assert scores.mean("input") == {"psnr": 2.0}
    assert scores.mean()["psnr"] == math.inf
    assert _plain(scores.mean()) == {"psnr": "inf"}
    assert "untouched input   2.000" in table(scores)
    rows[0].output["psnr"] = None
    assert scores.mean()["psnr"] is None
