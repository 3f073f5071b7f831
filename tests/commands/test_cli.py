"""The command `enhance`: its parser and the subcommands that only print."""

import json

import pytest

from enhancement.commands import archs
from enhancement.commands import main as cli
from enhancement.registry import ARCH_REGISTRY, is_ours


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_shows_examples(name, enhance):
    status, out, _ = enhance(name, "--help")
    assert status == 0
    assert f"  enhance {name}" in out.split("examples:")[1]


def test_an_unknown_subcommand_lists_the_valid_ones(enhance):
    status, _, err = enhance("archz")
    assert status == 2
    assert "archs" in err


@pytest.fixture(scope="module")
def described():
    """What `enhance archs` says, found once."""
    return archs.describe()


@pytest.fixture
def enhance_archs(enhance, described, monkeypatch):
    monkeypatch.setattr(archs, "describe", lambda: described)
    return lambda *flags: enhance("archs", *flags)


def test_archs_lists_every_network(enhance_archs):
    status, out, _ = enhance_archs()
    assert status == 0
    lines = [line.split() for line in out.splitlines()]
    ours = sorted(name for name, kind in ARCH_REGISTRY if is_ours(kind))
    assert [line[0] for line in lines[2 : 2 + len(ours)]] == ours
    assert ["RetinexFormer", "1,605,701", "14.901", "G", "4"] in lines
    assert ["HDRNet", "482,080", "0.041", "G", "1"] in lines
    assert "  weights: hdrnet_lol_v1.pth" in out


def test_archs_names_shipped_weights(enhance_archs):
    rows = {row["name"]: row for row in json.loads(enhance_archs("--format", "json")[1])}
    assert "hdrnet_lol_v1.pth" in rows["HDRNet"]["weights"]
    assert rows["LNetGIE"]["parameters"] == 14


def test_archs_counts_as_a_run_on_real_images_does(described):
    """Multiply-adds at 256x256, counted on real tensors once."""
    counts = {row["name"]: row["multiply_adds_256"] for row in described}
    expected = {
        "AODNet": 114_425_856,
        "DEDNet": 49_912_393_073,
        "HDRNet": 41_394_176,
        "LNetGIE": 196_608,
        "RetinexFormer": 14_901_186_560,
    }
    assert {name: counts[name] for name in expected} == expected


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_the_subcommands(shell, enhance):
    status, out, _ = enhance("completion", shell)
    assert status == 0
    assert all(name in out for name in (*cli.COMMANDS, "--max_memory"))


def test_bench_measures_or_foresees(enhance):
    status, out, _ = enhance("bench", "AODNet", "--sizes", "64x48", "--frames", "3")
    assert status == 0
    measured = out.splitlines()[2]
    assert measured.startswith("64x48")
    assert measured.endswith(" 3")
    status, out, _ = enhance("bench", "AODNet", "--sizes", "4k", "--seconds", "0.001")
    assert status == 0
    assert "foreseen from 320x192" in out.splitlines()[2]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "expected the name of a network or --weights, and not both"),
        (["AODNet", "--sizes", "big"], "--sizes: expected 720p, 1080p, 4K or WIDTHxHEIGHT"),
        (["AODNet", "--frames", "0"], "--frames: expected more than 0"),
        (["EDSR"], "EDSR wants arguments (num_in_ch, num_out_ch); give --weights"),
        (["AODNett"], "did you mean 'AODNet'?"),
    ],
)
def test_mistakes_of_bench(enhance, arguments, said):
    status, _, err = enhance("bench", *arguments)
    assert status == 2
    assert said in err
