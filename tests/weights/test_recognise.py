"""Published state dicts name their network by their keys."""

import json

import pytest
import torch
from networks import SMALL

from enhancement.errors import UserError
from enhancement.registry import ARCH_REGISTRY, lookup
from enhancement.weights.networks import build_from_file
from enhancement.weights.parts import load_part
from enhancement.weights.recognise import recognise

CASES = [
    ("AODNet", {}),
    ("RetinexFormer", {"n_feat": 8, "stage": 2, "num_blocks": [1, 2, 3]}),
    ("DEDNet", {"n_feat": 8, "stage": 1, "num_blocks": [2, 1, 1], "ffn": "separable"}),
    ("DEDNet", {"n_feat": 12, "stage": 1, "num_blocks": [1, 1, 1], "ffn": "dense"}),
]


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_sizes_are_read_off(tmp_path, name, arguments):
    made = lookup(ARCH_REGISTRY, name)(**arguments)
    torch.save({"params": made.state_dict()}, tmp_path / "w.pth")
    network, meta = build_from_file(tmp_path / "w.pth")
    assert meta["network_g"] == {"type": name, **arguments}
    for key, value in made.state_dict().items():
        assert torch.equal(network.state_dict()[key], value)


@pytest.mark.data
@pytest.mark.parametrize("name", ["RetinexFormer", "DEDNet_dense"])
def test_published_keys_are_recognised(real_data, name):
    keys = json.loads((real_data / "golden/keys.json").read_text())[name]
    block = recognise({key: torch.empty(shape, device="meta") for key, shape in keys.items()})
    kind, _, ffn = name.partition("_")
    expected = {"type": kind, "n_feat": 40, "stage": 1, "num_blocks": [1, 2, 2]}
    assert block == ({**expected, "ffn": ffn} if ffn else expected)


@pytest.mark.data
def test_the_capsule_networks_are_recognised(real_data, tmp_path):
    keys = json.loads((real_data / "golden/keys.json").read_text())
    state = {key: torch.zeros(shape) for key, shape in keys["IGLFM"].items()}
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "w.pth")
    _, meta = build_from_file(tmp_path / "w.pth")
    sizes = {"width": 64, "groups": 3, "blocks": 2, "mcc": False}
    assert meta["network_g"] == {"type": "IGLFM", **sizes}
    torch.save({key: torch.zeros(1) for key in keys["BLGM"]}, tmp_path / "b.pth")
    with pytest.raises(UserError, match=r"b\.pth: holds BLGM alone, which goes on from IGLFM"):
        build_from_file(tmp_path / "b.pth")


@pytest.mark.data
def test_published_weights_load(real_data):
    network, meta = build_from_file(real_data / "weights/aodnet_dehazer.pth")
    assert meta["network_g"] == {"type": "AODNet"}
    assert sum(p.numel() for p in network.parameters()) == 1761


def saved_parts(folder, name, parts, **arguments):
    """A network's weights in several files, {file: part}, under the names of each part alone."""
    network = lookup(ARCH_REGISTRY, name)(**arguments)
    for file, part in parts.items():
        torch.save(network.get_submodule(part).state_dict(), folder / file)
    return network


def test_a_network_in_several_files_is_read_from_their_folder(tmp_path):
    parts = {"first.tar": "decomposition", "second.tar": "relighting"}
    made = saved_parts(tmp_path, "RetinexNet", parts, dim=8)
    network, meta = build_from_file(tmp_path)
    assert meta["network_g"] == {"type": "RetinexNet", "dim": 8}
    for key, value in made.state_dict().items():
        assert torch.equal(network.state_dict()[key], value)


def test_one_of_several_files_is_refused_with_the_way_out(tmp_path):
    saved_parts(tmp_path, "RetinexNet", {"first.tar": "decomposition"}, dim=8)
    text = "first.tar: holds the decomposition of RetinexNet alone; give the folder that also holds"
    with pytest.raises(UserError, match=f"{text} the relighting$"):
        build_from_file(tmp_path / "first.tar")


def test_one_of_several_files_gives_its_part(tmp_path):
    """As `train.frozen` reads it, under the authors' names."""
    made = saved_parts(tmp_path, "RetinexNet", {"first.tar": "decomposition"}, dim=8)
    network = lookup(ARCH_REGISTRY, "RetinexNet")(dim=8)
    load_part(network, tmp_path / "first.tar", "decomposition")
    for key, value in made.decomposition.state_dict().items():
        assert torch.equal(network.decomposition.state_dict()[key], value)
    with pytest.raises(UserError, match="does not fit relighting: lacks 18 of the network's"):
        load_part(network, tmp_path / "first.tar", "relighting")


def test_other_weights_are_refused_in_a_line(tmp_path):
    torch.save(lookup(ARCH_REGISTRY, "HDRNet")(**SMALL["HDRNet"]).state_dict(), tmp_path / "w.pth")
    with pytest.raises(UserError, match="neither names its network nor has the keys of a known"):
        build_from_file(tmp_path / "w.pth")
