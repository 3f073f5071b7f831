"""A weights file or a scores.json has nothing built, read or fetched but an enhancer."""

import inspect
import os
import socket
import time
import warnings
import zipfile
from typing import Literal, get_args, get_origin, get_type_hints

import pytest
import torch

from enhancement.archs.contract import Network
from enhancement.comparison.costs import measure
from enhancement.comparison.results import Result
from enhancement.errors import UserError
from enhancement.inference.onnx_network import OnnxNetwork
from enhancement.registry import ARCH_REGISTRY, build, is_ours, lookup
from enhancement.weights.networks import FROM_BASICSR, build_from_file, build_stored
from enhancement.weights.state_dicts import read_weights

SMALL = {  # arguments of BasicSR's that a file may have built
    "ECBSR": {"num_in_ch": 3, "num_out_ch": 3, "num_block": 1, "num_channel": 4, "with_idt": True}
    | {"act_type": "prelu", "scale": 1},
    "EDSR": {"num_in_ch": 3, "num_out_ch": 3, "num_feat": 4, "num_block": 1, "upscale": 1},
    "RCAN": {"num_in_ch": 3, "num_out_ch": 3, "num_feat": 16, "num_group": 1, "num_block": 1}
    | {"upscale": 1},
    "RIDNet": {"in_channels": 3, "mid_channels": 16, "out_channels": 3, "num_block": 1},
    "RRDBNet": {"num_in_ch": 3, "num_out_ch": 3, "scale": 1, "num_feat": 4, "num_block": 1},
    "SRVGGNetCompact": {"num_feat": 4, "num_conv": 1, "upscale": 1},
    "SwinIR": {"embed_dim": 12, "depths": [1], "num_heads": [2], "upscale": 1},
}


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    def refused(*_):
        raise AssertionError("went online")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)


def write(path, state, **meta):
    torch.save({"params": state, "meta": meta}, path)
    return path


class TestNetworks:
    """Item 6: which classes, and which arguments."""

    @pytest.mark.parametrize("name", sorted(FROM_BASICSR))
    def test_enhancers_of_basicsr_come_back_from_their_weights(self, tmp_path, name):
        network_g = {"type": name, **SMALL[name]}
        network = build(ARCH_REGISTRY, network_g)
        path = write(tmp_path / "w.pth", network.state_dict(), network_g=network_g)
        rebuilt, _ = build_from_file(path)
        image = torch.rand(1, 3, 28, 28)
        with torch.no_grad():
            assert torch.equal(rebuilt.eval()(image), network.eval()(image))

    @pytest.mark.parametrize("name", ["VGGFeatureExtractor", "SpyNet", "DFDNet", "EDVR"])
    def test_nothing_else_of_basicsr_is_built(self, tmp_path, name):
        (tmp_path / "target.pth").write_bytes(b"")
        network_g = {"type": name, "load_path": str(tmp_path / "target.pth")}
        with pytest.raises(UserError, match=f"{name} is not among the networks that a file may"):
            build_stored(network_g, "w.pth")

    def test_no_argument_of_text_is_a_place_or_a_download(self):
        """A new argument of any text in a network that files may have built is looked at here."""
        looked_at = {
            ("ECBSR", "act_type"),  # of a fixed list
            ("SegmentationNet", "encoder"),  # timm.is_model knows it; built with random weights
        }
        # spandrel's networks read no files; their texts are names of activations and the like
        kinds = {name: kind for name, kind in ARCH_REGISTRY if is_ours(kind)}
        kinds |= {name: lookup(ARCH_REGISTRY, name) for name in FROM_BASICSR}
        found = set()
        for name, kind in kinds.items():
            hints = get_type_hints(kind.__init__)
            dropped = kind.only_before_training if issubclass(kind, Network) else ()
            for argument, parameter in inspect.signature(kind).parameters.items():
                hint = hints.get(argument)
                text = hint is str or str in get_args(hint) or isinstance(parameter.default, str)
                if text and get_origin(hint) is not Literal and argument not in dropped:
                    found.add((name, argument))
        plain = {("SRVGGNetCompact", "act_type"), ("SwinIR", "upsampler")}
        assert found - plain - {("SwinIR", "resi_connection")} <= looked_at

    @pytest.mark.parametrize("encoder", ["hf-hub:timm/resnet18.a1_in1k", "local-dir:/etc"])
    def test_an_encoder_is_no_place(self, encoder):
        with pytest.raises(UserError, match="timm has none of that name"):
            build_stored({"type": "SegmentationNet", "encoder": encoder}, "w.pth")

    @pytest.mark.parametrize("weights", ["pretrained", "imagenet"])
    def test_a_download_is_left_out(self, weights):
        network = build_stored({"type": "SegmentationNet", "encoder_weights": weights}, "w.pth")
        assert type(network).__name__ == "SegmentationNet"

    @pytest.mark.parametrize(
        "network_g",
        [
            {"type": "DEDNet", "num_blocks": [1, 2, 2**63]},
            pytest.param({"type": "DEDNet", "num_blocks": [1, 2, 60000]}, marks=pytest.mark.slow),
            {"type": "RetinexFormer", "n_feat": 50000},
            {"type": "HDRNet", "grid_depth": 2**62},
            {"type": "HDRNet", "width_multiplier": 1e18},
            {"type": "HDRNet", "low_resolution": -1},
            pytest.param({"type": "SwinIR", "window_size": 30000}, marks=pytest.mark.slow),
            {"type": "SwinIR", "depths": [1] * 5000, "num_heads": [1] * 5000},
            {"type": "SwinIR", "norm_layer": torch.nn.Linear},
            {"type": "LNetGIE", "width_multiplier": float("nan")},
            {"type": ["LNetGIE"]},
        ],
        ids=str,
    )
    def test_what_would_take_for_ever_is_one_line_soon(self, network_g):
        began = time.perf_counter()
        with pytest.raises(UserError, match=r"^w\.pth: its network_g cannot be built \(.+\)$"):
            build_stored(network_g, "w.pth")
        assert time.perf_counter() - began < 60

    def test_a_scores_file_builds_no_more(self, tmp_path):
        row = Result(tmp_path, "x", "d", "basicsr", ["a"], [{"psnr": 1.0}], [{}], None, None, None)
        row.network_g = {"type": "SpyNet", "load_path": "/etc/passwd"}
        with pytest.raises(UserError, match="SpyNet is not among the networks"):
            measure([row])


@pytest.mark.parametrize(
    "meta",
    [
        {"name": 3},
        {"name": ["a"]},
        {"protocol": ["basicsr"]},
        {"protocol": {}},
        {"best": 3},
        {"best": {"metric": "psnr"}},
        {"frozen": [1]},
        {"frozen": {"segmentation": "w.pth"}},
        {"selected": {"a": 1}},
        {"network_g": [1]},
        {1: 2, "iteration": "x"},
    ],
    ids=str,
)
def test_metadata_of_another_kind_is_one_line(tmp_path, meta):
    path = write(tmp_path / "w.pth", lookup(ARCH_REGISTRY, "LNetGIE")().state_dict())
    content = torch.load(path, weights_only=True)
    content["meta"] = {"network_g": {"type": "LNetGIE"}, **meta}
    torch.save(content, path)
    with pytest.raises(UserError, match=r"w\.pth: its metadata is not as training writes it"):
        read_weights(path)


def quantised():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch will drop them
        return {"a": torch.quantize_per_tensor(torch.zeros(2), 0.1, 0, torch.qint8)}


def cycle():
    content = {"a": torch.zeros(1)}
    content["b"] = content
    return content


def alias_bomb():
    content = {"a": torch.zeros(1)}
    for _ in range(15):
        content = dict.fromkeys("abcd", content)
    return content


class TestStateDicts:
    @pytest.mark.parametrize(
        "state",
        [
            {},
            {1: 2},
            {"a": torch.zeros(2, 2).to_sparse()},
            {"a": torch.zeros(2, dtype=torch.complex64)},
            quantised(),
            {"a": torch.empty(2, device="meta")},
            cycle(),
            alias_bomb(),
        ],
        ids=["empty", "plain", "sparse", "complex", "quantised", "meta", "cycle", "bomb"],
    )
    def test_what_holds_other_than_dense_tensors_is_one_line(self, tmp_path, state):
        torch.save(state, tmp_path / "w.pth")
        with pytest.raises(UserError, match=r"w\.pth: "):
            read_weights(tmp_path / "w.pth")

    def test_names_that_are_no_texts_are_made_texts(self, tmp_path):
        torch.save({1: torch.zeros(1)}, tmp_path / "w.pth")
        assert list(read_weights(tmp_path / "w.pth")[0]) == ["1"]
        with pytest.raises(UserError, match="neither names its network"):
            build_from_file(tmp_path / "w.pth")

    def test_an_archive_holds_no_more_than_its_bytes(self, tmp_path):
        plain, packed = tmp_path / "plain.pth", tmp_path / "packed.pth"
        torch.save({"a": torch.zeros(1 << 20)}, plain)
        with zipfile.ZipFile(plain) as source, zipfile.ZipFile(packed, "w") as target:
            for member in source.infolist():
                target.writestr(member, source.read(member), zipfile.ZIP_DEFLATED)
        with pytest.raises(UserError, match=r"packed\.pth: is packed"):
            read_weights(packed)

    @pytest.mark.parametrize("text", ["[1]", '{"w.pth": 3}', "[" * 100_000, "\\"])
    def test_checksums_of_another_kind_are_none(self, tmp_path, text):
        torch.save({"a": torch.zeros(1)}, tmp_path / "w.pth")
        (tmp_path / "checksums.json").write_text(text)
        assert list(read_weights(tmp_path / "w.pth")[0]) == ["a"]


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_pipe_or_device_is_no_weights_file(tmp_path, name):
    """Item 14."""
    os.mkfifo(tmp_path / name)
    (tmp_path / f"zero_{name}").symlink_to("/dev/zero")
    for path in (tmp_path / name, tmp_path / f"zero_{name}"):
        with pytest.raises(UserError, match="is a pipe, a device or a socket, not a file"):
            build_from_file(path)


def graph(texts, outputs=1):
    """An ONNX file that gives back its image, with metadata."""
    import onnx
    from onnx import TensorProto, helper

    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, "h", "w"])
    output = helper.make_tensor_value_info("enhanced", TensorProto.FLOAT, [1, 3, "h", "w"])
    nodes = [helper.make_node("Identity", ["image"], ["enhanced"])]
    whole = helper.make_graph(nodes, "g", [image], [output][:outputs])
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.helper.set_model_props(model, texts)
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("texts", "outputs", "said"),
    [
        ({"network_g": "{"}, 1, "its network_g is not JSON"),
        ({"network_g": "[" * 100_000}, 1, "its network_g is not JSON"),
        ({"network_g": "[1]"}, 1, "its metadata is not as training writes it"),
        ({"network_g": "{}"}, 0, "the graph: "),
    ],
    ids=["cut off", "deep", "list", "no output"],
)
def test_an_onnx_file_of_another_kind_is_one_line(texts, outputs, said):
    with pytest.raises(UserError, match=said):
        OnnxNetwork(graph(texts, outputs))


def test_an_onnx_file_reads_no_other_file(tmp_path):
    import onnx
    from onnx import helper

    (tmp_path / "secret.bin").write_bytes(bytes(12))
    model = onnx.load_from_string(graph({}))
    weight = model.graph.initializer.add(name="w", data_type=1, dims=[1, 3, 1, 1])
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="secret.bin")
    model.graph.node[0].CopyFrom(helper.make_node("Add", ["image", "w"], ["enhanced"]))
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match=r"a\.onnx: keeps weights in other files, which are not"):
        OnnxNetwork(tmp_path / "a.onnx")


def test_other_peoples_onnx_metadata_is_left_alone():
    assert OnnxNetwork(graph({"author": "x", "frozen": "y"})).meta == {}
