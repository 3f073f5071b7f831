"""The weights that come with this package: what is said of them, and what they do."""

import importlib.util
import json

import pytest
from helpers import ROOT

from enhancement.errors import UserError
from enhancement.paths import DATA_VARIABLE
from enhancement.weights.shipped import DEFAULT, DEFAULT_FOR_VIDEO, find_weights, shipped_weights


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("weights", ROOT / "benchmarks/weights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def scores(benchmark):
    return json.loads(benchmark.SCORES.read_text())


def test_every_file_is_known_and_scored(benchmark, scores):
    assert {DEFAULT, DEFAULT_FOR_VIDEO} <= shipped_weights().keys()
    assert shipped_weights().keys() == benchmark.facts().keys() == scores.keys()


@pytest.mark.parametrize("name", sorted(shipped_weights()))
def test_a_file_is_the_one_that_was_scored(benchmark, scores, name):
    assert benchmark.sha256(shipped_weights()[name]) == scores[name]["sha256"]


def test_the_readme_shows_those_scores(benchmark, scores):
    text = benchmark.README.read_text()
    assert benchmark.with_tables(text, scores) == text


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("name", sorted(shipped_weights()))
def test_scores_stand(benchmark, scores, name, real_data, in_tmp, monkeypatch):
    monkeypatch.setenv(DATA_VARIABLE, str(real_data))
    for dataset, expected in scores[name]["scores"].items():
        found = benchmark.score(name, dataset, "results")
        assert (found["protocol"], found["images"]) == (expected["protocol"], expected["images"])
        assert found["output"]["psnr"] == pytest.approx(expected["output"]["psnr"], abs=0.01)
        assert found["output"]["ssim"] == pytest.approx(expected["output"]["ssim"], abs=1e-3)


def test_paths_go_through(tmp_path):
    for given in ("w.pth", "folder/photo", tmp_path):
        assert str(find_weights(given)) == str(given)
    with pytest.raises(UserError, match="did you mean 'photo'"):
        find_weights("foto")
