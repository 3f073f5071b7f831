"""Published weights give their authors' pictures and the scores measured with their code."""

import numpy as np
import pytest
import torch
from networks import count
from zoo import CASES, by_formula, image_of, published, table, weights_of

from enhancement import load_network
from enhancement.config.datasets import dataset_block, derive_sets
from enhancement.config.files import OptionFile, named_files
from enhancement.data.loader import eval_loader
from enhancement.inference.run import run_padded
from enhancement.scoring.evaluation import evaluate
from enhancement.scoring.protocols import get_protocol

WITH_FILE = [name for name, case in CASES.items() if not case.code_only]
MODES = [(name, mode) for name in WITH_FILE for mode in CASES[name].modes]

pytestmark = pytest.mark.data


@pytest.fixture
def zoo(real_data):
    """The folder that holds the zoo; skips where there is none."""
    if not (real_data / "zoo").is_dir():
        pytest.skip(f"no published weights: {real_data}/zoo is not there")
    return real_data


@pytest.fixture
def formula(zoo, monkeypatch):
    """The module that makes inputs and weights by formula."""
    monkeypatch.syspath_prepend(zoo / "golden")
    return pytest.importorskip("formula")


def assert_golden(network, formula, root, name, which):
    """A network's output, and what else is golden, for one of the golden inputs."""
    case, about = CASES[name], table(root, "inputs")[name][which]
    x = image_of(formula, root, name, which)
    with np.load(root / "zoo/golden_a.npz") as golden, torch.inference_mode():
        further = {
            k: torch.from_numpy(golden[f"{name}/{which}/{v}"]) for k, v in case.inputs.items()
        }
        x = case.enter(x)
        output = case.leave(network(x, **further) if further else run_padded(network, x))
        error = np.abs(output.numpy() - golden[f"{name}/{which}/out"]).max()
        assert error <= about["tolerance"]
        there = {k: v for k, v in case.outputs.items() if f"{name}/{which}/{v}" in golden}
        found = network.outputs(x, **further) if there else {}
        for ours, theirs in there.items():
            error = np.abs(found[ours].numpy() - golden[f"{name}/{which}/{theirs}"]).max()
            assert error <= 10 * about["tolerance"], ours


@pytest.mark.parametrize("name", WITH_FILE)
@pytest.mark.parametrize("which", ["a0", "a1"])
def test_published_weights_give_the_published_output(name, which, zoo, formula):
    assert_golden(published(zoo, name), formula, zoo, name, which)


@pytest.mark.parametrize("name", CASES)
def test_formula_weights_give_the_published_output(name, zoo, formula):
    about = table(zoo, "inputs")[name]
    inputs = ("a0", "a1") if CASES[name].code_only else ("f0",) if "f0" in about else ()
    if not inputs:
        pytest.skip("its published weights use every tensor")
    network = by_formula(formula, zoo, name)
    for which in inputs:
        assert_golden(network, formula, zoo, name, which)


@pytest.mark.parametrize("name", WITH_FILE)
def test_published_files_load_by_themselves(name, zoo):
    facts, network = table(zoo, "scores")[name], load_network(weights_of(zoo, name))
    assert not network.training
    assert count(network) in (facts["parameters"], facts["parameters_in_use"])


def once_for_each_image(forward):
    """A network's arithmetic, remembered: two protocols score the same images."""
    known = {}

    def remembered(image):
        key = image.numpy().tobytes()
        if key not in known:
            known[key] = forward(image)
        return known[key]

    return remembered


@pytest.mark.slow
@pytest.mark.parametrize(("name", "mode"), MODES)
def test_published_scores(name, mode, zoo, monkeypatch):
    """PSNR within 0.02 dB and SSIM within 0.001, also after scaling to the truth's mean."""
    monkeypatch.setenv("ENHANCEMENT_DATA", str(zoo))
    expected = table(zoo, "scores")[name]["lol_v1"][mode]
    options = derive_sets(OptionFile(named_files("datasets")["lol_v1"]).options["datasets"])["test"]
    network = published(zoo, name, **CASES[name].modes[mode])
    network.forward = once_for_each_image(network.forward)
    for protocol, suffix in (("basicsr", ""), ("basicsr+gtmean", "_gtmean")):
        loader = eval_loader(dataset_block("test", options))
        scores = evaluate(network, loader, get_protocol(protocol), "LOL_v1", torch.device("cpu"))
        mean = scores.mean()
        assert mean["psnr"] == pytest.approx(expected[f"psnr{suffix}"], abs=0.02)
        assert mean["ssim"] == pytest.approx(expected[f"ssim{suffix}"], abs=0.001)
