"""`enhance archs NAME`: a network looked at."""

import inspect
import json

import pytest

from enhancement.archs.contract import Network
from enhancement.commands.network_page import publication
from enhancement.inference.anatomy import parts_of
from enhancement.registry import ARCH_REGISTRY, lookup


def test_a_network_is_looked_at(enhance):
    status, out, _ = enhance("archs", "AODNet", "--size", "64x48")
    assert status == 0
    assert "All-in-One Dehazing Network (Li et al., ICCV 2017)" in out
    assert "https://openaccess.thecvf.com/" in out
    assert "multiply-adds for an image of 64x48" in out
    assert "by PyTorch on " in out
    assert "  with this package: aod_net_gastroscopy" in out
    assert "option files: options/aod_net.yml" in out


def test_arguments_with_types_defaults_and_what_is_given(enhance):
    facts = json.loads(enhance("archs", "MobileIE:dim=8", "--size", "32x32", "--json")[1])
    (dim,) = [found for found in facts["arguments"] if found["name"] == "dim"]
    assert (dim["type"], dim["value"]) == ("int", 8)
    assert dim["default"] != 8
    assert dim["description"]
    assert facts["option_files"] == ["options/mobileie.yml"]
    assert facts["recognised"]
    assert facts["cost"]["seconds"] > 0
    assert facts["cost"]["memory"] > 32 * 32 * 3 * 4


def test_parts_add_up():
    network = lookup(ARCH_REGISTRY, "RetinexNet")()
    whole, *parts = parts_of(network, 32, 32)
    first = [part for part in parts if "." not in part.name]
    assert whole.parameters == sum(p.numel() for p in network.parameters())
    assert sum(part.parameters for part in first) == whole.parameters
    assert sum(part.multiply_adds for part in first) == whole.multiply_adds > 0
    assert {part.name.count(".") for part in parts} == {0, 1}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["HDRNett"], "unknown arch 'HDRNett'; did you mean 'HDRNet'?"),
        (["HDRNet:grid_dept=4"], "did you mean 'grid_depth'?"),
        (["AODNet", "--size", "big"], "--size: expected"),
        (["--size", "64x64"], "--size needs a network"),
    ],
)
def test_mistakes_are_one_line(arguments, said, enhance):
    status, out, err = enhance("archs", *arguments)
    assert (status, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_a_network_for_video_is_described_without_being_run(enhance):
    status, out, _ = enhance("archs", "BasicVSR:num_feat=4:num_block=1", "--size", "64x64")
    assert status == 0
    assert "it cannot be run on a single image" in out


def file_docs(kind):
    return inspect.getmodule(kind).__doc__


def test_every_network_of_ours_names_its_publication():
    ours = [kind for _, kind in ARCH_REGISTRY if issubclass(kind, Network)]
    for kind in ours:
        if kind.__module__.startswith("enhancement."):
            found = publication(kind)
            assert found["paper"], kind
            said = found["link"] or found["code"] or "No link is published" in file_docs(kind)
            assert said, kind
