"""Testing: tables, files, protocols, every network and dataset, mistakes."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from helpers import ROOT, make_clip, make_pairs, picture, run

from enhancement.config.files import named_files
from enhancement.data.images import read_image, write_image
from enhancement.errors import UserError
from enhancement.registry import ARCH_REGISTRY, lookup
from enhancement.scoring.protocols import get_protocol
from enhancement.testing import command as tester
from enhancement.testing import score as scoring


def score(*arguments):
    return tester.test(tester.parse([str(a) for a in arguments]))


@pytest.fixture
def weights(in_tmp):
    torch.manual_seed(0)
    network = lookup(ARCH_REGISTRY, "AODNet")()
    torch.save({"params": network.state_dict()}, "w.pth")
    return "w.pth"


def test_table_files_and_pictures(tiny, weights, in_tmp, capsys):
    scores, folder = score("--opt", tiny(), "--weights", weights, "--save_images", "out")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Using ")
    lines = lines[1:]
    assert lines[0] == "Protocol basicsr, dataset pairs, 2 images"
    assert lines[3].startswith("untouched input")
    assert [line.split()[0] for line in lines[4:6]] == ["0.png", "1.png"]
    assert lines[7].split()[0] == "mean"
    assert folder.as_posix() == "results/tiny/pairs/basicsr/w"
    rows = list(csv.DictReader((folder / "scores.csv").open()))
    assert [row["image"] for row in rows] == ["0.png", "1.png", "mean"]
    assert {row["protocol"] for row in rows} == {"basicsr"}
    content = json.loads((folder / "scores.json").read_text())
    assert content["mean"] == scores.mean()
    assert content["parameters"] == 1761
    assert content["engine"] == "PyTorch"  # for so few pixels
    assert read_image(folder / "comparison.png").shape[1] == 1200
    output = read_image(in_tmp / "out/0.png")
    expected = get_protocol("basicsr").score(
        *(torch.from_numpy(x / 255.0).permute(2, 0, 1)[None] for x in (output, picture(0)))
    )
    assert scores.rows[0].output == pytest.approx(expected)


@pytest.mark.parametrize("side", ["low", "high", "high/more"])
def test_pictures_do_not_take_the_dataset_s_place(tiny, weights, in_tmp, side):
    place = in_tmp / "datasets/high_low/test"
    before = {path: path.read_bytes() for path in place.rglob("*.png")}
    (in_tmp / "link").symlink_to(place / side)
    for folder in (place / side, "link"):
        with pytest.raises(UserError, match="holds the dataset's images; choose another"):
            score("--opt", tiny(), "--weights", weights, "--save_images", folder)
    assert before == {path: path.read_bytes() for path in place.rglob("*.png")}


def test_a_place_for_pictures_is_checked_before_any_work(tiny, weights, in_tmp, capsys):
    with pytest.raises(UserError, match=r"w\.pth.*: cannot be written"):
        score("--opt", tiny(), "--weights", weights, "--save_images", "w.pth")
    assert "Protocol" not in capsys.readouterr().out


def test_shipped_weights_beside_an_option_file(tiny, in_tmp):
    block = {"type": "LNetGIE"}
    scores, _ = score("--opt", tiny(network_g=block), "--weights", "lnet_gie_gastroscopy")
    assert len(scores.rows) == 2


def test_flags_work_together_on_any_network(tiny, in_tmp, capsys):
    block = {"type": "HDRNet", "low_resolution": 64}
    torch.save(lookup(ARCH_REGISTRY, "HDRNet")(low_resolution=64).state_dict(), "h.pth")
    scores, folder = score(
        "--opt",
        tiny(network_g=block),
        "--weights",
        "h.pth",
        "--protocol",
        "retinexformer",
        "--self_ensemble",
        "--GT_mean",
        "--save_images",
        "out",
        "--result_dir",
        "elsewhere",
    )
    assert scores.protocol == "retinexformer+gtmean"
    assert folder.as_posix() == "elsewhere/tiny/pairs/retinexformer+gtmean/h_self_ensemble"
    assert "note: self-ensemble of 8 flips and rotations" in capsys.readouterr().out
    assert (in_tmp / "out/1.png").is_file()


def test_capsule_protocol_shows_lpips_or_why_not(tiny, weights, capsys, monkeypatch):
    import lpips

    def refuse(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(lpips, "LPIPS", refuse)
    scores, folder = score("--opt", tiny(), "--weights", weights, "--protocol", "capsule")
    out = capsys.readouterr().out
    assert "LPIPS" in out
    assert "note: lpips not computed: AlexNet's weights could not be downloaded" in out
    assert scores.mean()["lpips"] is None
    assert json.loads((folder / "scores.json").read_text())["mean"]["lpips"] is None


def test_known_datasets_by_name_and_root(tiny, weights, in_tmp):
    make_pairs(in_tmp / "lol", "eval15/low", "eval15/high", count=3)
    scores, _ = score(
        "--opt", tiny(), "--weights", weights, "--dataset", "LOL_v1", "--data_root", "lol"
    )
    assert scores.dataset == "LOL_v1"
    assert len(scores.rows) == 3
    for i in range(10):
        write_image(in_tmp / f"frames/{i}.jpg", picture(i))
    scores, _ = score(
        "--opt", tiny(), "--weights", weights, "--dataset", "gastroscopy", "--data_root", "frames"
    )
    assert len(scores.rows) == 2


@pytest.mark.parametrize("dataset", sorted(named_files("datasets").keys() - {"high_low"}))
def test_every_dataset_can_be_named_or_says_where_it_should_lie(tiny, weights, dataset):
    with pytest.raises(UserError, match="set ENHANCEMENT_DATA"):
        score("--opt", tiny(), "--weights", weights, "--dataset", dataset)


@pytest.mark.parametrize("kind", ["pth", "safetensors"])
def test_our_checkpoints_need_no_option_file(tiny, in_tmp, capsys, kind):
    run("--opt", tiny(logger={"weights_format": kind}))
    best = f"experiments/tiny/models/net_g_best.{kind}"
    scores, _ = score("--weights", best, "--dataset", "LOL_v1", "--data_root", made(in_tmp))
    assert len(scores.rows) == 2
    out = capsys.readouterr().out
    assert "chosen on held-out images (pairs_val, psnr" in out


def test_choosing_on_the_test_set_is_stamped(tiny, in_tmp, capsys):
    val = {"name": "leak", "type": "PairedDataset", "layout": "high_low", "split": "test"}
    path = tiny(datasets={"val": val}, val={"select_on_test": True})
    run("--opt", path)
    score("--opt", path, "--weights", "experiments/tiny/models/net_g_best.pth")
    assert "chosen ON THE TEST SET, as asked for (leak" in capsys.readouterr().out


def made(folder):
    make_pairs(folder / "lol", "Test/input", "Test/target", count=2)
    return folder / "lol"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--dataset", "LOL_v9"], "--dataset: unknown dataset 'LOL_v9'; did you mean"),
        (["--dataset", "LOL_v1", "--data_root", "away"], r"away: expected \{Test/input"),
        (["--weights", "none.pth"], r"none\.pth: no such file"),
        (["--weights", "other.pth"], r"other\.pth: does not fit"),
    ],
)
def test_mistakes_are_named(tiny, weights, arguments, text):
    torch.save({"a": torch.zeros(1)}, "other.pth")
    with pytest.raises(UserError, match=text):
        score("--opt", tiny(), "--weights", weights, *arguments)


def test_unknown_weights_alone_are_not_enough(in_tmp):
    torch.save({"a": torch.zeros(1)}, "other.pth")
    with pytest.raises(UserError, match="neither names its network nor has the keys of a known"):
        score("--weights", "other.pth")


def test_as_a_script(tiny, weights):
    done = subprocess.run(
        [
            sys.executable,
            str(ROOT / "enhancement/test_from_dataset.py"),
            "--opt",
            tiny(),
            "--weights",
            weights,
            "--dataset",
            "nowhere",
            "--gpus",
            "0",
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: --dataset: unknown dataset 'nowhere'; ")
    assert "Traceback" not in done.stderr


@pytest.mark.data
def test_lol_v1s_untouched_input_scores_7_773(real_data, weights, tiny, monkeypatch):
    monkeypatch.setenv("ENHANCEMENT_DATA", str(real_data))
    scores, _ = score("--opt", tiny(), "--weights", weights, "--dataset", "LOL_v1")
    assert len(scores.rows) == 15
    assert scores.mean("input")["psnr"] == pytest.approx(7.773, abs=5e-4)


def test_thumbnails_are_kept_for_the_comparison_page(tiny, weights, monkeypatch):
    monkeypatch.setattr("enhancement.scoring.thumbnails.SIDE", 40)
    monkeypatch.setattr(scoring, "THUMBNAILS", 1)
    _, folder = score("--opt", tiny(), "--weights", weights)
    kept = sorted(p.name for p in (folder / "pictures").iterdir())
    assert kept == ["00_gt.webp", "00_input.webp", "00_output.webp"]
    assert read_image(folder / "pictures/00_gt.webp").shape == (30, 40, 3)
    monkeypatch.setattr(scoring, "THUMBNAILS", 24)
    score("--opt", tiny(), "--weights", weights)
    assert len(list((folder / "pictures").iterdir())) == 6
    assert json.loads((folder / "scores.json").read_text())["name"] == "tiny"


def test_thumbnails_of_clips_are_one_a_row(tiny, weights, in_tmp):
    for side, gain in (("low", 6), ("high", 1)):
        for clip in range(2):
            frames = [picture(3 * clip + i) // gain for i in range(3)]
            make_clip(in_tmp / f"datasets/SurgicalVideo/test/{side}/{clip}.mp4", frames)
    scores, folder = score("--opt", tiny(), "--weights", weights, "--dataset", "surgical_video")
    assert [row.name for row in scores.rows] == ["0.mp4", "1.mp4"]
    kept = sorted((folder / "pictures").glob("*_gt.webp"))
    assert [p.name for p in kept] == ["00_gt.webp", "01_gt.webp"]
    for clip, path in enumerate(kept):
        assert np.abs(read_image(path).astype(int) - picture(3 * clip)).mean() < 12


def test_published_files_of_one_name_do_not_share_their_results(tiny, in_tmp):
    folders = set()
    for seed in range(2):
        torch.manual_seed(seed)
        torch.save(lookup(ARCH_REGISTRY, "AODNet")().state_dict(), "Epoch99.pth")
        tiny()
        at = ("--dataset", "high_low", "--data_root", "datasets/high_low")
        folders.add(score("--weights", "Epoch99.pth", *at)[1])
    assert len(folders) == 2
    assert {f.parent.as_posix() for f in folders} == {"results/Epoch99/high_low/basicsr"}


MIXED = """datasets:
  test:
    type: MixedDataset
    parts:
      a: {type: SynthesisDataset, dataroot_gt: datasets/high_low/test/high}
"""


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--brightness_levels", "0.1"], "darkens a ground truth, which MixedDataset does not"),
        (["--data_root", "away"], "--data_root: test is made of several sets"),
    ],
)
def test_what_a_mixture_cannot_do_is_told_before_any_work(tiny, weights, arguments, text):
    path = tiny(datasets={"test": None})
    options = yaml.safe_load(Path(path).read_text())
    options["datasets"] |= yaml.safe_load(MIXED)["datasets"]
    Path(path).write_text(yaml.safe_dump(options))
    with pytest.raises(UserError, match=text):
        score("--opt", path, "--weights", weights, *arguments)


def test_levels_need_a_protocol_with_psnr(tiny, weights):
    levels = ["--protocol", "no_reference", "--brightness_levels", "0.1"]
    with pytest.raises(UserError, match="--brightness_levels: protocol no_reference has no psnr"):
        score("--opt", tiny(), "--weights", weights, *levels)


def test_basicsrs_datasets_can_be_tested_on(tiny, in_tmp):
    folder = "datasets/high_low/test"
    pairs = {
        "name": "pairs",
        "type": "PairedImageDataset",
        "dataroot_lq": f"{folder}/low",
        "dataroot_gt": f"{folder}/high",
        "io_backend": {"type": "disk"},
        "layout": None,
        "split": None,
    }
    path = tiny(datasets={"test": pairs})
    torch.save(lookup(ARCH_REGISTRY, "AODNet")().state_dict(), in_tmp / "w.pth")
    scores, _ = score("--opt", path, "--weights", "w.pth")
    assert len(scores.rows) == 2


class TestWithoutWeights:
    def test_scores_go_to_a_folder_named_by_the_network(self, in_tmp):
        named = ["--dataset", "LOL_v1", "--data_root", made(in_tmp), "--network"]
        scores, folder = score(*named, "Gamma:gamma=0.4")
        assert folder.as_posix() == "results/Gamma/LOL_v1/basicsr/gamma=0.4"
        assert scores.mean()["psnr"] > scores.mean("input")["psnr"] + 3
        content = json.loads((folder / "scores.json").read_text())
        assert content["network_g"] == {"type": "Gamma", "gamma": 0.4}
        assert (content["parameters"], content["weights"]) == (0, None)
        assert score(*named, "Gamma")[1].name == "default"

    def test_they_are_compared_with_networks(self, in_tmp, enhance, capsys):
        for name in ("Gamma:gamma=0.4", "DCP", "CLAHE"):
            score("--dataset", "LOL_v1", "--data_root", made(in_tmp), "--network", name)
        capsys.readouterr()
        status, out, err = enhance("compare", *(in_tmp / "results").iterdir(), "--latency")
        assert (status, err) == (0, "")
        rows = [line.split()[0] for line in out.splitlines() if " ± " in line][1:]
        assert sorted(rows) == ["CLAHE", "DCP", "Gamma", "untouched"]

    def test_an_option_file_may_name_the_dataset(self, tiny):
        scores, folder = score("--opt", tiny(), "--network", "CLAHE:grid=4")
        assert scores.dataset == "pairs"
        assert folder.as_posix() == "results/CLAHE/pairs/basicsr/grid=4"

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--network", "AODNet"], "AODNet has weights; give --weights FILE"),
            (["--network", "DCP", "--weights", "w.pth"], "but got both"),
            ([], "expected --weights FILE or --network NAME, but got neither"),
        ],
    )
    def test_mistakes(self, tiny, weights, arguments, said):
        with pytest.raises(UserError, match=said):
            score("--opt", tiny(), *arguments)
