"""One set of tests over every registered network; what one promises alone is in its own file."""

import copy
import inspect
import json
import re
from pathlib import Path

import pytest
import torch
from helpers import ROOT
from networks import EVERY, build, count, image, perturbed

from enhancement import archs
from enhancement.archs.contract import Network, contract_of
from enhancement.inference.run import pad_for, run_padded
from enhancement.registry import ARCH_REGISTRY, lookup
from enhancement.weights.recognise import recognise
from enhancement.weights.state_dicts import mismatches, read_weights

PARTS = {"blgm_arch", "wsgm_arch"}  # of another network; they do not map an image alone
SIZES = ((1, 1), (2, 3), (8, 8), (37, 53))
# parameters at the default size; mean and maximum of the small form's output for weights and input
# by formula. A network that is not listed is not compared.
GOLDEN = json.loads(Path(__file__).with_name("golden.json").read_text())


def test_every_arch_file_is_registered():
    files = {path.stem for path in (ROOT / "archs").glob("*_arch.py")}
    assert files == set(archs.__all__)
    assert archs.__all__ == sorted(archs.__all__)
    modules = {lookup(ARCH_REGISTRY, name).__module__.rsplit(".", 1)[1] for name in EVERY}
    assert modules == files - PARTS
    assert set(EVERY) >= GOLDEN.keys()


@pytest.mark.parametrize("name", archs.__all__)
def test_every_arch_file_names_its_source(name):
    text = inspect.getdoc(getattr(archs, name))
    assert re.search(r"https://|No link is published", text)
    assert "Differs in: " in text


@pytest.mark.parametrize("name", EVERY)
class TestEveryNetwork:
    def test_is_described_and_typed(self, name):
        kind = lookup(ARCH_REGISTRY, name)
        assert issubclass(kind, Network)
        assert len(inspect.getdoc(kind)) > 40
        for parameter in inspect.signature(kind).parameters.values():
            assert parameter.annotation is not parameter.empty
            assert parameter.default is not parameter.empty
            assert parameter.kind is parameter.POSITIONAL_OR_KEYWORD

    def test_takes_images_of_any_size(self, name):
        network = build(name).eval()
        channels = 3 if network.gives == "image" else 1
        for height, width in SIZES:
            with torch.inference_mode():
                output = run_padded(network, image(height, width))
            assert output.shape == (2, channels, height, width)
            assert output.isfinite().all()

    @pytest.mark.parametrize("value", [0.0, 1.0])
    def test_black_and_white_stay_finite(self, name, value):
        network = build(name)
        output = run_padded(network, torch.full((2, 3, 16, 16), value))
        if count(network):
            output.sum().backward()
        assert output.isfinite().all()
        assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())

    def test_every_trained_parameter_gets_a_gradient(self, name):
        network = perturbed(build(name))
        if not count(network):
            pytest.skip("nothing to train")
        outputs = network.outputs(pad_for(network, image(36, 52)))  # all that losses may take
        torch.stack([output.square().mean() for output in outputs.values()]).sum().backward()
        trained = {n: p.grad for n, p in network.named_parameters() if p.requires_grad}
        assert [
            n for n, gradient in trained.items() if gradient is None or not gradient.any()
        ] == []

    def test_eval_is_deterministic_and_images_of_a_batch_do_not_affect_each_other(self, name):
        network, x = build(name).eval(), image(20, 28)
        before = x.clone()
        with torch.inference_mode():
            output = run_padded(network, x)
            assert torch.equal(run_padded(network, x), output)
            assert torch.equal(x, before)
            # in float32 the phase of a weak Fourier bin enlarges the rounding of convolutions
            network, x = network.double(), x.double()
            torch.testing.assert_close(
                run_padded(network, x)[1:], run_padded(network, x[1:]), rtol=0, atol=1e-12
            )

    def test_saves_loads_strictly_and_copies(self, name, tmp_path):
        network = perturbed(build(name)).eval()
        if not count(network):
            pytest.skip("nothing to save")
        torch.save({"params": network.state_dict()}, tmp_path / "w.pth")
        other = copy.deepcopy(build(name)).eval()
        assert mismatches(other, network.state_dict()) == []
        other.load_state_dict(read_weights(tmp_path / "w.pth")[0], strict=True)
        x = image(20, 28)
        with torch.inference_mode():
            assert torch.equal(run_padded(network, x), run_padded(other, x))

    def test_folded_it_computes_the_same(self, name):
        network, x = perturbed(build(name)).eval(), image(20, 28)
        before = {key: value.clone() for key, value in network.state_dict().items()}
        folded = contract_of(network).fold().eval()
        with torch.inference_mode():
            torch.testing.assert_close(
                run_padded(folded, x), run_padded(network, x), rtol=1e-5, atol=1e-5
            )
        assert contract_of(folded).size_multiple == contract_of(network).size_multiple
        assert all(torch.equal(network.state_dict()[key], before[key]) for key in before)

    def test_published_files_are_recognised_by_their_marks(self, name):
        network = build(name)
        published = network.published
        if published is None or published.refused or published.renames:
            pytest.skip("no published files under the network's own names")
        state = network.state_dict()
        block = recognise(state)
        assert block.pop("type") == name
        lookup(ARCH_REGISTRY, name)(**block).load_state_dict(state, strict=True)


@pytest.mark.parametrize("name", GOLDEN)
def test_parameter_count(name):
    with torch.device("meta"):
        network = lookup(ARCH_REGISTRY, name)()
    assert count(network) == GOLDEN[name]["parameters"]


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_values_from_fixed_weights(name):
    """Any change of arithmetic shows."""
    network = build(name).eval()
    for i, parameter in enumerate(network.parameters()):
        n = torch.arange(parameter.numel(), dtype=torch.float64)
        values = torch.sin(n * 12.9898 + i) * 0.5 / max(1, parameter[0].numel()) ** 0.5
        parameter.data.copy_(values.view_as(parameter))
    n = torch.arange(3 * 24 * 32, dtype=torch.float64).view(1, 3, 24, 32)
    with torch.inference_mode():
        output = run_padded(network, (0.5 + 0.5 * torch.sin(n * 0.37)).float())
    expected = GOLDEN[name]["mean"], GOLDEN[name]["max"]
    assert (output.mean().item(), output.max().item()) == pytest.approx(expected, abs=1e-4)
