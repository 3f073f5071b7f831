"""Exported files: any size, equal to PyTorch, or not kept."""

import pytest
import torch
from networks import OURS
from networks import SMALL as SMALL_SIZES

from enhancement.errors import UserError
from enhancement.inference import conversion, export
from enhancement.inference.frames import FrameEnhancer
from enhancement.inference.onnx_network import OnnxNetwork, open_network
from enhancement.inference.run import enhance as enhanced
from enhancement.registry import ARCH_REGISTRY, lookup
from enhancement.weights import storage

ONE_EACH = {"n_feat": 4, "num_blocks": [1, 1, 1]}
SMALL = {**SMALL_SIZES, "DEDNet": ONE_EACH, "RetinexFormer": ONE_EACH}


def network(name, **arguments):
    torch.manual_seed(0)
    made = lookup(ARCH_REGISTRY, name)(**{**SMALL.get(name, {}), **arguments}).eval()
    for parameter in made.parameters():
        parameter.data += 0.02 * torch.randn(parameter.shape)
    return made


def weights(tmp_path, name="AODNet", **arguments):
    made = network(name, **arguments)
    path = tmp_path / "w.pth"
    network_g = {"type": name, **SMALL.get(name, {}), **arguments}
    storage.save(
        path, {"params": made.state_dict(), "meta": {"network_g": network_g, "name": "a run"}}
    )
    return path


IN_DEPTH = {"AODNet", "HDRNet", "RetinexFormer"}  # convolutions, a grid, attention
VARIANTS = [
    *(pytest.param(n, {}, marks=[] if n in IN_DEPTH else pytest.mark.slow) for n in OURS),
    ("HDRNet", {"mode": "illumination", "fusion": "concat", "guide": "pointwise"}),
    pytest.param("LNetGIE", {"resolution_multiplier": 0.3}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "arguments"), VARIANTS)
class TestEveryNetwork:
    def test_onnx(self, name, arguments, tmp_path):
        made, path = network(name, **arguments), tmp_path / "a.onnx"
        if made.no_onnx or made.untraceable:
            with pytest.raises(UserError, match=f"{name} cannot be exported as onnx: "):
                export.export(made, "onnx", path, {})
            return
        meta = {"name": "n", "network_g": {"type": name}}
        difference = export.export(made, "onnx", path, meta).difference
        assert difference <= 1e-5
        loaded = OnnxNetwork(path)
        assert loaded.meta == meta
        assert loaded.session.get_inputs()[0].shape == ["batch", 3, "height", "width"]
        assert loaded.session.get_outputs()[0].shape[2:] == ["height", "width"]
        x = torch.rand(1, 3, 51, 82)
        with torch.no_grad():
            torch.testing.assert_close(enhanced(loaded, x), enhanced(made, x), atol=1e-5, rtol=0)

    def test_torchscript(self, name, arguments, tmp_path):
        made, path = network(name, **arguments), tmp_path / "a.pt"
        if made.untraceable:
            with pytest.raises(UserError, match=f"{name} cannot be exported as torchscript: "):
                export.export(made, "torchscript", path, {})
            return
        assert export.export(made, "torchscript", path, {}).difference <= 1e-5


class Wrong(torch.nn.Module):
    """Computes something else once it is traced or exported."""

    def forward(self, x):
        recording = torch.jit.is_tracing() or torch.compiler.is_compiling()
        return x + 0.25 * recording


@pytest.mark.parametrize("kind", ["onnx", "torchscript"])
def test_a_file_that_differs_is_not_kept(tmp_path, kind):
    path = tmp_path / "a"
    with pytest.raises(
        UserError, match=r"not kept, .* by up to 0.25 .*; at 96x64, channel \d, row"
    ):
        export.export(Wrong(), kind, path, {})
    assert not list(tmp_path.iterdir())


class TestWhatIsAllowed:
    """Ten times what noise of 1e-7 does, where that is more than 1e-4; at most 1e-3."""

    @staticmethod
    def compared(factor, offset):
        def steep(x):
            return (factor * x).sin()

        return conversion.compare(steep, lambda x: steep(x) + offset)

    def test_well_conditioned(self):
        found = self.compared(1, 2e-4)
        assert not found.equal
        assert found.allowed == 1e-4
        assert found.difference == pytest.approx(2e-4, rel=0.01)
        assert self.compared(1, 5e-5).equal

    def test_ill_conditioned(self):
        assert self.compared(200, 5e-4).equal  # noise moves it by 8e-5 at 4 standard deviations
        assert not self.compared(200, 2e-3).equal
        assert self.compared(1e4, 2e-3).allowed == 1e-3

    def test_not_a_number(self):
        assert not self.compared(1e4, float("nan")).equal
        assert not self.compared(float("nan"), 0).equal


def test_the_newer_exporter_takes_what_cannot_be_traced(tmp_path, monkeypatch):
    def fail(_):
        raise RuntimeError("Exporting the operator is not supported")

    monkeypatch.setattr(export, "onnx_by_tracing", fail)
    assert export.export(network("AODNet"), "onnx", tmp_path / "a.onnx", {}).difference <= 1e-5
    made = OnnxNetwork(tmp_path / "a.onnx").session
    assert made.get_inputs()[0].shape == ["batch", 3, "height", "width"]
    assert made.get_outputs()[0].shape == ["batch", 3, "height", "width"]
    monkeypatch.setattr(export, "onnx_by_dynamo", fail)
    with pytest.raises(UserError, match="AODNet cannot be exported as onnx: Exporting the oper"):
        export.export(network("AODNet"), "onnx", tmp_path / "b.onnx", {})
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"]


def test_what_cannot_be_exported_says_so_and_leaves_nothing(tmp_path):
    class Fixed(torch.nn.Module):
        def forward(self, x):
            return x[:, :, :64, :64] + torch.zeros(x.shape[2].bit_length())[0].numpy()

    with pytest.raises(UserError, match="Fixed cannot be exported as torchscript: "):
        export.export(Fixed(), "torchscript", tmp_path / "a.pt", {})
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "text").write_text("no folder")
    with pytest.raises(UserError, match=r"text/a\.pt: cannot be written"):
        export.export(network("AODNet"), "torchscript", tmp_path / "text/a.pt", {})


def test_logits_of_masks_are_named_so_and_enhance_nothing(tmp_path):
    class Segmenter(torch.nn.Module):
        gives = "mask"

        def forward(self, x):
            return x.mean(1, keepdim=True)

    export.export(Segmenter(), "onnx", tmp_path / "a.onnx", {})
    loaded = OnnxNetwork(tmp_path / "a.onnx")
    assert [output.name for output in loaded.session.get_outputs()] == ["mask_logits"]
    with pytest.raises(UserError, match="gives masks, not images"):
        FrameEnhancer(loaded)


class TestCommand:
    def test_a_file_is_written_and_run(self, enhance, tmp_path, in_tmp):
        from helpers import picture

        from enhancement.data.images import read_image, write_image

        source = weights(tmp_path, "HDRNet", low_resolution=64)
        status, out, err = enhance("export", source, "-o", tmp_path / "a.onnx")
        assert (status, err) == (0, "")
        assert "a.onnx: " in out
        assert "differs from PyTorch by" in out
        write_image("in.png", picture(1, 37, 51))
        for name, file in (("a", "a.onnx"), ("b", "w.pth")):
            assert (
                enhance("run", "in.png", "-o", f"{name}.png", "--weights", tmp_path / file)[0] == 0
            )
        assert abs(read_image("a.png").astype(int) - read_image("b.png")).max() <= 1

    def test_weights_are_not_overwritten(self, enhance, tmp_path):
        source = weights(tmp_path).rename(tmp_path / "w.pt")
        before = source.read_bytes()
        status, _, err = enhance("export", source, "--format", "torchscript", "-o", source)
        assert status == 2
        assert "w.pt: are the weights themselves; choose another name" in err
        assert source.read_bytes() == before

    def test_meta_comes_along(self, enhance, tmp_path):
        enhance("export", weights(tmp_path), "-o", tmp_path / "a.onnx")
        assert open_network(tmp_path / "a.onnx")[1] == {
            "name": "a run",
            "network_g": {"type": "AODNet"},
        }

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["-o", "a.pth"], r"--out a.pth: expected a name ending in .onnx for onnx"),
            (["-o", "w.pth/a.onnx"], "w.pth/a.onnx: cannot be written (w.pth is not a folder)"),
            (
                ["-o", "a.onnx", "--format", "torchscript"],
                "expected a name ending in .pt for torch",
            ),
        ],
    )
    def test_mistakes(self, enhance, tmp_path, in_tmp, arguments, said):
        status, _, err = enhance("export", weights(tmp_path), *arguments)
        assert status == 2
        assert said in err


class TestRunningFiles:
    def test_a_torchscript_file_is_not_run(self, enhance, tmp_path, in_tmp):
        export.export(network("AODNet"), "torchscript", tmp_path / "a.pt", {})
        with pytest.raises(UserError, match="is a TorchScript file, a program, which is not run"):
            open_network(tmp_path / "a.pt")

    def test_what_is_no_onnx_is_named(self, tmp_path):
        (tmp_path / "a.onnx").write_bytes(b"nothing of the kind")
        with pytest.raises(UserError, match=r"a\.onnx: cannot be read as an ONNX network"):
            OnnxNetwork(tmp_path / "a.onnx")
        with pytest.raises(UserError, match=r"b\.onnx: no such file"):
            open_network(tmp_path / "b.onnx")
