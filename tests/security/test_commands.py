"""Arguments of commands that are odd, huge or no numbers: one line each (item 21)."""

import pytest
import torch

from enhancement.commands import main as command
from enhancement.data.images import write_image
from enhancement.registry import ARCH_REGISTRY, lookup

LONG = "x" * 300


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A photograph, and weights."""
    folder = tmp_path_factory.mktemp("given")
    write_image(folder / "in" / "a.png", torch.zeros(16, 16, 3, dtype=torch.uint8).numpy())
    network = lookup(ARCH_REGISTRY, "LNetGIE")()
    meta = {"network_g": {"type": "LNetGIE"}}
    torch.save({"params": network.state_dict(), "meta": meta}, folder / "w.pth")
    return folder


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("run ² -o out --weights w.pth", "²: no such file or folder"),
        ("run 100000000000000000000 -o out --weights w.pth", "no such file or folder"),
        ("run in -o out --weights w.pth --device cuda:²", "--device: expected auto, cpu"),
        (f"run in -o out --weights w.pth --max_memory {'9' * 400}GB", "expected memory as 4GB"),
        ("run in -o out --weights w.pth --seconds nan", "--seconds: expected a number above 0"),
        ("run in -o out --network DCP:patch=99999999", "`patch` to be an odd number in 1 to 1001"),
        ("run in -o out --weights w.pth --smoothing nan", "--smoothing is for video"),
        (f"run {LONG} -o out --weights w.pth", "File name too long"),
        (f"run in -o {LONG} --weights w.pth", "File name too long"),
        (f"run in -o out --weights {LONG}", "File name too long"),
        (f"data check {LONG}", "File name too long"),
        (f"data lmdb in -o {LONG}.lmdb", "File name too long"),
        ("data darken in -o out --exposure inf", "Expected `exposure` to be [low, high]"),
        ("data darken in -o out --shot_noise nan", "Expected `shot_noise` to be [low, high]"),
        ("data darken in -o out --seed -1", "--seed: expected a number from 0, but got -1"),
        ("data split in -o out --val nan", "--val and --test: expected shares"),
        (f"score {LONG} in", "File name too long"),
        (f"compare {LONG}", "File name too long"),
    ],
)
def test_odd_arguments_are_one_line(folder, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", ["enhance", *arguments.split()])
    assert command.main() == 2
    lines = capsys.readouterr().err.splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    assert lines[-1:] == errors
    assert said in errors[0]
    assert not (folder / "out").exists()
