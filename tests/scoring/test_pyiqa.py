"""pyiqa's metrics, by a stand-in: it is nothing that the tests may install."""

import json
import sys
from types import SimpleNamespace

import pytest
from helpers import make_pairs

from enhancement.errors import UserError
from enhancement.testing import command as tester


class Distance:
    """As pyiqa makes them: called with one image or two."""

    def __init__(self, name, device):
        self.metric_mode = "FR" if name == "distance" else "NR"
        self.lower_better = name == "distance"

    def __call__(self, image, reference=None):
        return image.mean() if reference is None else (image - reference).abs().mean()


@pytest.fixture
def pyiqa(monkeypatch):
    stand_in = SimpleNamespace(list_models=lambda: ["distance", "mean"], create_metric=Distance)
    monkeypatch.setitem(sys.modules, "pyiqa", stand_in)
    return stand_in


@pytest.fixture
def folders(in_tmp):
    make_pairs(in_tmp, "low", "high", count=2)
    return in_tmp


def test_metrics_of_a_folder_with_or_without_truths(pyiqa, folders, enhance):
    _, out, _ = enhance("score", "low", "high", "--pyiqa", "distance", "mean", "--json")
    content = json.loads(out)
    assert content["protocol"] == "pyiqa"
    assert list(content["mean"]) == ["distance", "mean"]
    assert 0 < content["mean"]["mean"] < content["mean"]["distance"] < 1
    status, _, err = enhance("score", "low", "--pyiqa", "distance")
    assert (status, err.count("\n")) == (2, 2)
    assert "protocol pyiqa compares with ground truths" in err


def test_beside_the_protocol_of_a_dataset(pyiqa, folders, tiny, capsys):
    given = ["--opt", str(tiny()), "--network", "Gamma", "--pyiqa", "distance"]
    _, folder = tester.test(tester.parse(given))
    found = json.loads((folder.parent.parent / "pyiqa/default/scores.json").read_text())
    assert found["mean"]["distance"] < found["input_mean"]["distance"]
    assert "Protocol pyiqa, dataset pairs, 2 images" in capsys.readouterr().out
    with pytest.raises(UserError, match="scales the output to the ground truth's brightness"):
        tester.test(tester.parse([*given, "--GT_mean"]))


def test_mistakes_are_told_in_one_line(monkeypatch, pyiqa, folders, enhance):
    status, _, err = enhance("score", "low", "--pyiqa", "meen")
    assert status == 2
    assert "--pyiqa: unknown metric 'meen'; did you mean 'mean'?" in err

    def no_download(name, device):
        raise OSError("no route to host")

    pyiqa.create_metric = no_download
    _, _, err = enhance("score", "low", "--pyiqa", "mean")
    assert "--pyiqa: mean cannot be made (no route to host)" in err
    monkeypatch.setitem(sys.modules, "pyiqa", None)
    status, _, err = enhance("score", "low", "--pyiqa", "mean")
    assert status == 2
    assert "pip install pyiqa, whose licence is for non-commercial use" in err
