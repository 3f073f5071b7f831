"""The command `enhance`: its parser and the subcommands that only print."""

import json

import pytest

from enhancement.commands import main as cli


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


def test_archs_names_shipped_weights(enhance):
    rows = {row["name"]: row for row in json.loads(enhance("archs", "--format", "json")[1])}
    assert "hdrnet_lol_v1.pth" in rows["HDRNet"]["weights"]
    assert rows["LNetGIE"]["parameters"] == 14


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_the_subcommands(shell, enhance):
    status, out, _ = enhance("completion", shell)
    assert status == 0
    assert all(name in out for name in (*cli.COMMANDS, "--max_memory"))
