"""The command `enhance`: its parser and the subcommands that only print."""

import json
import re
import subprocess
import sys

import pytest

from enhancement.commands import main as cli
from enhancement.inference import catalogue, figures
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


def test_figures_are_counted():
    expected = {"parameters": 1761, "multiply_adds_256": 114_425_856, "size_multiple": 1}
    assert figures.figures_of(lookup(ARCH_REGISTRY, "AODNet")) == expected


def test_networks_are_looked_at_once_for_each_state_of_the_code(tmp_path, monkeypatch):
    monkeypatch.setenv("ENHANCEMENT_CACHE", str(tmp_path))
    monkeypatch.setattr(catalogue, "SHIPPED", tmp_path / "none.json")
    seen = []
    monkeypatch.setattr(figures, "every_network", lambda: seen.append(1) or [{"name": "A"}])
    monkeypatch.setattr(figures, "others", dict)
    expected = {"ours": [{"name": "A"}], "others": {}}
    assert [catalogue.catalogue() for _ in range(2)] == [expected] * 2
    assert len(seen) == 1
    (tmp_path / catalogue.FILE).write_text("[")
    assert catalogue.catalogue() == expected
    monkeypatch.setattr(catalogue, "state", lambda: "another")
    assert catalogue.catalogue() == expected
    assert len(seen) == 3


@pytest.mark.slow
def test_the_list_that_comes_with_the_package_is_up_to_date():
    expected = {"key": catalogue.state(), **catalogue.counted()}
    assert json.loads(catalogue.SHIPPED.read_text()) == expected, "write it: make tables"


def test_networks_are_listed_again_without_pytorch(enhance):
    first = enhance("archs", "--json")[1]
    code = (
        "import sys; from enhancement.commands.main import main; main();"
        "assert not {'torch', 'basicsr', 'numpy'} & sys.modules.keys()"
    )
    command = [sys.executable, "-c", code, "archs", "--json"]
    again = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stderr
    assert again.stdout == first


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_the_subcommands(shell, enhance):
    status, out, _ = enhance("completion", shell)
    assert status == 0
    assert all(name in out for name in (*cli.COMMANDS, "--max_memory"))
