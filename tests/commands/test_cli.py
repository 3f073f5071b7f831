"""The command `enhance`: its parser and the subcommands that only print."""

import json
import re

import pytest

from enhancement.commands import main as cli
from enhancement.inference import figures
from enhancement.inference.figures import figures_of
from enhancement.registry import ARCH_REGISTRY, lookup


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_shows_examples(name, enhance):
    status, out, _ = enhance(name, "--help")
    assert status == 0
    assert f"  enhance {name}" in out.split("examples:")[1]


def test_an_unknown_subcommand_lists_the_valid_ones(enhance):
    status, _, err = enhance("archz")
    assert status == 2
    assert "archs" in err


def test_archs_lists_every_network(enhance):
    status, out, _ = enhance("archs")
    assert status == 0
    assert "LNetGIE" in out
    assert "1,605,701" in out
    assert "482,080" in out
    assert re.search(r"^endoscopy +DualGeneralization ", out, re.MULTILINE)
    assert "NAFNet" in out.split("spandrel's")[1]
    assert "SwinIR" in out.split("BasicSR's")[1]


def test_archs_names_shipped_weights(enhance):
    rows = {row["name"]: row for row in json.loads(enhance("archs", "--format", "json")[1])}
    assert "hdrnet_lol_v1" in rows["HDRNet"]["weights"]
    assert rows["LNetGIE"]["parameters"] == 14


def test_figures_are_counted_once_for_each_state_of_the_code(tmp_path, monkeypatch):
    monkeypatch.setenv("ENHANCEMENT_CACHE", str(tmp_path))
    kinds = {"AODNet": lookup(ARCH_REGISTRY, "AODNet")}
    expected = {"parameters": 1761, "multiply_adds_256": 114_425_856, "size_multiple": 1}
    assert figures_of(kinds) == {"AODNet": expected}
    with monkeypatch.context() as patch:
        patch.setattr(figures, "_figures", None)
        assert figures_of(kinds) == {"AODNet": expected}
        patch.setattr(figures, "_source_hash", lambda: "another")
        with pytest.raises(TypeError):
            figures_of(kinds)
    (tmp_path / "figures.json").write_text("[")
    assert figures_of(kinds) == {"AODNet": expected}


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_the_subcommands(shell, enhance):
    status, out, _ = enhance("completion", shell)
    assert status == 0
    assert all(name in out for name in (*cli.COMMANDS, "--max_memory"))
