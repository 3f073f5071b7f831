"""Engines: the same numbers, a cache that does no harm, and reasons said once."""

import onnx
import pytest
import torch
from networks import OURS, SMALL, WITHOUT_ONNX
from torch import nn

from enhancement.errors import UserError
from enhancement.inference import engines
from enhancement.inference.conversion import AnySize, onnx_by_tracing
from enhancement.inference.engines import OnnxEngine, engine_name, prepare
from enhancement.inference.frames import FrameEnhancer
from enhancement.inference.graph_cache import fingerprint, read_graph, write_graph
from enhancement.inference.onnx_network import OnnxNetwork
from enhancement.inference.run import enhance
from enhancement.inference.tiles import SMALLEST_TILE, BoundedMemory
from enhancement.paths import cache_folder
from enhancement.registry import ARCH_REGISTRY, lookup

CPU = torch.device("cpu")
BY_PYTORCH = {"LNetGIE"}  # tracing knows no resizing with antialiasing
QUICK = {"AODNet", "HDRNet", "RetinexFormer"}
TO_CONVERT = [
    pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow)
    for name in OURS
    if name not in BY_PYTORCH | WITHOUT_ONNX.keys()
]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ENHANCEMENT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache/graphs"


def network(name):
    """With weights that let every layer matter."""
    torch.manual_seed(0)
    made = lookup(ARCH_REGISTRY, name)(**SMALL.get(name, {})).eval()
    for parameter in made.parameters():
        parameter.data += 0.02 * torch.randn(parameter.shape)
    return made


def image(batch, height, width):
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(height))


def run(made, x):
    with torch.inference_mode():
        return enhance(made, x)


class Counted(nn.Module):
    """Doubles its input; counts how often PyTorch calls it."""

    def __init__(self):
        super().__init__()
        self.factor, self.calls = nn.Parameter(torch.tensor(2.0)), []

    def forward(self, x):
        self.calls.append(tuple(x.shape))
        return self.factor * x


class Odd(nn.Module):
    """Gives its input back, by a way that no graph can hold."""

    def forward(self, x):
        return torch.from_numpy(x.numpy().copy())


class Frozen(nn.Module):
    """Adds something that depends on the size; a trace keeps the example's."""

    def forward(self, x):
        return x + int(x.shape[2]) / 100


@pytest.mark.parametrize("name", TO_CONVERT)
def test_engines_agree_at_every_size(name, cache):
    made = network(name)
    prepared = prepare(made, CPU, "onnx")
    for size in ((1, 1, 1), (1, 2, 67), (1, 37, 53), (2, 64, 48)):
        torch.testing.assert_close(
            run(prepared, image(*size)), run(made, image(*size)), atol=1e-4, rtol=0
        )
    assert engine_name(prepared) == "ONNX Runtime"
    assert len(list(cache.iterdir())) == 1


def test_attention_between_all_pixels_takes_little_memory_in_a_graph():
    made, x = network("LYTNet"), image(1, 200, 232)  # 725 tokens: their scores do not fit at once
    graph = onnx_by_tracing(AnySize(made))
    assert "Loop" in {node.op_type for node in onnx.load_from_string(graph).graph.node}
    torch.testing.assert_close(OnnxNetwork(graph)(x), run(made, x), atol=1e-4, rtol=0)


class TestAuto:
    def test_few_small_images_are_not_worth_a_conversion(self, cache):
        prepared = prepare(network("AODNet"), CPU)
        run(prepared, image(1, 48, 64))
        assert engine_name(prepared) == "PyTorch"
        assert not cache.exists()

    def test_many_are_whatever_is_in_the_cache(self, monkeypatch):
        monkeypatch.setattr(engines, "WORTH_CONVERTING", 2 * 48 * 64)
        for _ in range(2):  # the same images, then with a warm cache
            prepared = prepare(network("AODNet"), CPU)
            run(prepared, image(1, 48, 64))
            assert prepared.used == {"pytorch"}
            run(prepared, image(1, 48, 64))
            assert engine_name(prepared) == "ONNX Runtime and PyTorch"

    @pytest.mark.parametrize("name", ["HDRNet", "HDRNetUNet"])
    def test_networks_with_kernels_keep_their_own_path(self, name):
        made = network(name)
        assert type(prepare(made, CPU, at_once=True)) is type(made)

    def test_a_gpu_is_pytorchs(self):
        made, said = network("AODNet"), []
        assert prepare(made, torch.device("cuda"), say=said.append) is made
        assert not said

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"precision": "bf16"}, "computes in fp32, not in bf16"),
            ({"max_memory": 1 << 30}, "as --max_memory needs"),
        ],
    )
    def test_what_onnx_runtime_cannot_do_is_said_once(self, options, reason):
        made, said = network("AODNet"), []
        assert prepare(made, CPU, say=said.append, **options) is made
        assert len(said) == 1
        assert said[0].startswith("AODNet is computed by PyTorch: ")
        assert reason in said[0]

    @pytest.mark.parametrize("name", sorted(WITHOUT_ONNX))
    def test_networks_that_it_cannot_compute_say_so(self, name):
        made, said = network(name), []
        assert prepare(made, CPU, say=said.append) is made
        assert said == [f"{name} is computed by PyTorch: {WITHOUT_ONNX[name]}"]
        with pytest.raises(UserError, match=f"--engine onnx: cannot compute {name}: "):
            prepare(made, CPU, "onnx")

    @pytest.mark.parametrize(
        ("made", "reason"),
        [
            (Odd(), "Odd is computed by PyTorch: "),
            (Frozen(), "its ONNX graph differs by 0.3"),
        ],
    )
    def test_what_cannot_be_converted_is_said_once(self, made, reason, cache, capsys):
        prepared, x = prepare(made, CPU, at_once=True), image(1, 60, 70)
        for _ in range(2):
            torch.testing.assert_close(run(prepared, x), made(x))
        said = capsys.readouterr()
        assert said.err.count("\n") == 1
        assert reason in said.err
        assert said.out == ""
        assert engine_name(prepared) == "PyTorch"
        assert not cache.exists()

    def test_a_session_that_fails_leaves_the_rest_to_pytorch(self, monkeypatch):
        said = []
        prepared = prepare(network("AODNet"), CPU, at_once=True, say=said.append)

        def fail(*_):
            raise RuntimeError("bad allocation")

        monkeypatch.setattr(engines, "run_session", fail)
        x = image(1, 20, 30)
        for _ in range(2):
            torch.testing.assert_close(run(prepared, x), run(prepared.network, x))
        assert said == ["AODNet is computed by PyTorch: bad allocation"]

    def test_tiles_are_pytorchs(self):
        made, said = network("AODNet"), []
        prepared = prepare(made, CPU, at_once=True, say=said.append)
        x = image(1, 240, 230)
        with torch.inference_mode():
            tiled = BoundedMemory(prepared, tile=SMALLEST_TILE)
            torch.testing.assert_close(tiled(x), BoundedMemory(made, tile=SMALLEST_TILE)(x))
            tiled(x)
        assert said == ["AODNet is computed by PyTorch: the image is computed in tiles"]


class TestAskedForByName:
    @pytest.mark.parametrize(
        ("device", "options", "reason"),
        [
            ("cpu", {"precision": "bf16"}, "ONNX Runtime computes in fp32, not in bf16"),
            ("cpu", {"max_memory": 1 << 30}, "only PyTorch's memory is accounted for"),
            ("cuda", {}, "ONNX Runtime computes on the CPU; use --device cpu"),
        ],
    )
    def test_is_refused_in_one_line(self, device, options, reason):
        with pytest.raises(UserError, match=f"--engine onnx: cannot compute AODNet: .*{reason}"):
            prepare(network("AODNet"), torch.device(device), "onnx", **options)

    def test_what_cannot_be_converted_is_refused(self, capfd):
        with pytest.raises(UserError, match=r"--engine onnx: cannot compute LNetGIE: .* not supp"):
            prepare(network("LNetGIE"), CPU, "onnx")
        assert capfd.readouterr() == ("", "")  # where an image may be written

    def test_pytorch_computes(self, cache):
        made = network("AODNet")
        assert prepare(made, CPU, "pytorch", at_once=True) is made

    def test_a_file_is_onnx_runtimes(self):
        file = OnnxNetwork(onnx_by_tracing(AnySize(network("AODNet"))))
        assert prepare(file, CPU) is file
        assert engine_name(file) == "ONNX Runtime"
        with pytest.raises(UserError, match=r"--engine pytorch: an \.onnx file needs ONNX Runtime"):
            prepare(file, CPU, "pytorch")


class TestCache:
    def test_a_graph_is_that_of_its_processor(self, monkeypatch):
        made = network("AODNet")
        before = fingerprint(made)
        assert fingerprint(made) == before
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "another")
        assert fingerprint(made) != before

    def start(self):
        """A prepared network, and how often PyTorch was called to convert and check it."""
        made = Counted()
        prepared = prepare(made, CPU, "onnx")
        calls = len(made.calls)
        torch.testing.assert_close(run(prepared, image(1, 5, 7)), 2 * image(1, 5, 7))
        assert len(made.calls) == calls
        return calls

    def test_a_second_run_converts_nothing(self):
        assert self.start() > 0
        assert self.start() == 0

    @pytest.mark.parametrize("damage", [lambda b: b[:40], lambda b: b"", lambda b: b[:-1] + b"x"])
    def test_a_damaged_file_is_replaced(self, cache, damage):
        self.start()
        [path] = cache.iterdir()
        whole = path.read_bytes()
        path.write_bytes(damage(whole))
        assert self.start() > 0
        assert path.read_bytes() == whole
        assert self.start() == 0

    def test_an_unwritable_folder_does_no_harm(self, tmp_path, monkeypatch):
        (tmp_path / "text").write_text("no folder")
        monkeypatch.setenv("ENHANCEMENT_CACHE", str(tmp_path / "text"))
        assert self.start() > 0
        assert self.start() > 0
        assert (tmp_path / "text").read_text() == "no folder"

    def test_other_weights_options_and_code_are_other_graphs(self):
        made, keys = network("RetinexFormer"), []
        keys.append(fingerprint(made))
        next(made.parameters()).data.flatten()[0] += 1e-6
        keys.append(fingerprint(made))
        hdrnet = lookup(ARCH_REGISTRY, "HDRNet")
        for mode in ("affine", "illumination"):
            torch.manual_seed(0)
            keys.append(fingerprint(hdrnet(low_resolution=64, mode=mode)))
        assert len(set(keys)) == 4
        assert fingerprint(made) == keys[1]

    def test_the_oldest_graphs_are_deleted(self, cache, monkeypatch):
        from enhancement.inference import graph_cache

        monkeypatch.setattr(graph_cache, "LIMIT", 250)
        for key in "abc":
            write_graph(key, key.encode() * 68)  # 100 bytes with the digest
        assert {path.name for path in cache.iterdir()} == {"b.onnx", "c.onnx"}
        assert read_graph("a") is None
        assert read_graph("c") == b"c" * 68

    def test_the_folder_follows_the_environment(self, monkeypatch, tmp_path):
        monkeypatch.delenv("ENHANCEMENT_CACHE")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert cache_folder() == tmp_path / "enhancement"


def test_threads_follow_pytorchs():
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        prepared = prepare(Counted(), CPU, "onnx")
        assert prepared._session.get_session_options().intra_op_num_threads == 1
    finally:
        torch.set_num_threads(threads)


def test_frames_and_stages_are_taken():
    made = network("AODNet")
    prepared = prepare(made, CPU, "onnx")
    assert isinstance(prepared, OnnxEngine)
    frame = (image(1, 31, 45)[0].permute(1, 2, 0) * 255).to(torch.uint8).numpy()
    difference = FrameEnhancer(prepared)(frame).astype(int) - FrameEnhancer(made)(frame)
    assert abs(difference).max() <= 1
    with torch.inference_mode():
        assert list(prepared.stages(image(1, 8, 8))) == list(made.stages(image(1, 8, 8)))
