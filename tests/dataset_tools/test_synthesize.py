"""Writing a synthesised set to disk."""

import csv
import sys

import numpy as np
import pytest
import yaml
from helpers import picture, tiny_options

from enhancement.config.load import load_config
from enhancement.data.images import read_image, write_image
from enhancement.data.paired_dataset import PairedDataset
from enhancement.data.synthesis_dataset import SynthesisDataset
from enhancement.dataset_tools import synthesize


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["synthesize.py", *map(str, arguments)])
    return synthesize.main()


@pytest.fixture
def option_file(in_tmp):
    for i in range(10):
        write_image(in_tmp / f"bright/a/{i}.png", picture(i))
    options = tiny_options()
    options["datasets"] = {
        "train": {
            "name": "dark",
            "type": "SynthesisDataset",
            "dataroot_gt": "bright",
            "degradation": {"type": "LowLight"},
            "gt_size": 32,
            "test_fraction": 0.2,
        }
    }
    (in_tmp / "dark.yml").write_text(yaml.safe_dump(options))
    return in_tmp / "dark.yml"


def test_what_is_written_is_what_the_dataset_gives(option_file, in_tmp, monkeypatch, capsys):
    assert run(monkeypatch, "--opt", option_file, "--output", "out") == 0
    assert "out/test" in capsys.readouterr().out
    direct = SynthesisDataset(load_config(option_file).datasets["test"].options)
    files = PairedDataset(
        {"phase": "test", "layout": "high_low", "dataroot": "out", "split": "test"}
    )
    assert len(files) == len(direct) == 2
    by_name = {files[i]["name"]: files[i] for i in range(2)}
    for i in range(2):
        sample = by_name[direct[i]["name"]]
        for side in ("lq", "gt"):
            np.testing.assert_allclose(sample[side], direct[i][side], atol=1e-6)
    rows = list(csv.DictReader((in_tmp / "out/train/parameters.csv").open()))
    assert len(rows) == 8
    assert 0.05 <= float(rows[0]["exposure"]) <= 0.25
    assert float(rows[0]["mean_low"]) < float(rows[0]["mean_high"])
    assert read_image(in_tmp / "out/train/contact_sheet.png").shape[1] == 6 * synthesize.CELL


def test_count_and_subset_limit_it(option_file, in_tmp, monkeypatch):
    run(monkeypatch, "--opt", option_file, "-o", "out", "--subset", "train", "--count", "3")
    assert len(list((in_tmp / "out/train/low").rglob("*.png"))) == 3
    assert not (in_tmp / "out/test").exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--subset", "val"], "has no 'val'; it has train, test"),
        (["--count", "0"], "--count: expected at least 1, but got 0"),
        (["--force_yml", "datasets:train:degradation:gama=[1,2]"], "did you mean 'gamma'"),
    ],
)
def test_mistakes_are_one_line(option_file, in_tmp, monkeypatch, capsys, arguments, text):
    assert run(monkeypatch, "--opt", option_file, "-o", "out", *arguments) == 2
    assert text in capsys.readouterr().err
    assert not (in_tmp / "out").exists()


def test_a_folder_in_use_is_left_alone(option_file, in_tmp, monkeypatch, capsys):
    (in_tmp / "out").mkdir()
    (in_tmp / "out/mine.txt").touch()
    assert run(monkeypatch, "--opt", option_file, "-o", "out") == 2
    assert "is there already, and not empty" in capsys.readouterr().err
