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


def test_bench_measures_or_foresees(enhance):
    status, out, _ = enhance("bench", "AODNet", "--sizes", "64x48", "4k", "--frames", "3",
                             "--seconds", "0.2")  # fmt: skip
    assert status == 0
    lines = out.splitlines()
    assert lines[2].startswith("64x48")
    assert lines[2].endswith(" 3")
    assert "foreseen from 320x192" in lines[3]


@pytest.mark.parametrize(("arguments", "said"), [
    ([], "expected the name of a network or --weights, and not both"),
    (["AODNet", "--sizes", "big"], "--sizes: expected 720p, 1080p, 4K or WIDTHxHEIGHT"),
    (["AODNet", "--frames", "0"], "--frames: expected more than 0"),
    (["EDSR"], "EDSR wants arguments (num_in_ch, num_out_ch); give --weights"),
    (["AODNett"], "did you mean 'AODNet'?"),
])  # fmt: skip
def test_mistakes_of_bench(enhance, arguments, said):
    status, _, err = enhance("bench", *arguments)
    assert status == 2
    assert said in err
