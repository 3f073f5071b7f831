"""The stages of the dual-generalization framework, from masks to the table of its claim."""

import csv
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import ROOT, picture, run, run_until

from enhancement.config.load import load_config
from enhancement.data.blocks import DatasetBlock
from enhancement.data.images import read_image, write_image
from enhancement.data.paired_dataset import PairedDataset
from enhancement.data.synthesis_dataset import SynthesisDataset
from enhancement.errors import OptionError, UserError
from enhancement.models.segmentation_losses import DiceBCELoss, StructureLoss
from enhancement.scoring.brightness import at_level
from enhancement.scoring.brightness_plot import curve
from enhancement.scoring.evaluation import Row, Scores
from enhancement.scoring.segmentation import mask_scores
from enhancement.testing import command as test_from_dataset
from enhancement.training import command as training
from enhancement.weights import networks, state_dicts, storage

SMALL = ["network_g:width=16", "network_g:groups=1", "network_g:blocks=1"]
BRIEF = [
    "datasets:train:batch_size_per_gpu=2",
    "datasets:train:gt_size=32",
    "train:total_iter=2",
    "val:val_freq=2",
    "logger:save_checkpoint_freq=2",
]
STAGES = {
    "segmentation": ["network_g:encoder=mobilenetv3_small_100"],
    "1_iglfm": SMALL,
    "2_blgm": [*SMALL, "network_g:blgm_width=8", "train:warmup_iter=-1"],
    "3_wsgm": [*SMALL, "network_g:blgm_width=8", "network_g:wsgm_width=8"],
}


def bright(image):
    return (image.mean(-1) > 127).astype(np.uint8) * 255


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """Made frames, whose masks are where they are bright, in several image modes."""
    root = tmp_path_factory.mktemp("frames")
    for i in range(10):
        image = picture(i)
        mask = np.repeat(bright(image)[..., None], 3, -1)
        write_image(root / f"WCEBleedGen/bleeding/images/{i}.png", image)
        write_image(root / f"WCEBleedGen/bleeding/masks/{i}.png", mask)
    return root


def train(stage, resume=False):
    options = ["--opt", str(ROOT / f"options/capsule/{stage}.yml")]
    options += ["--auto_resume"] * resume
    arguments = [*options, "--force_yml", *STAGES[stage], *BRIEF]
    return training.run_training(training.parse(arguments))


@pytest.fixture(scope="module")
def chain(frames, tmp_path_factory):
    """The folder in which all four trainings have run, two iterations each."""
    folder = tmp_path_factory.mktemp("chain")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("ENHANCEMENT_DATA", str(frames))
        for stage in STAGES:
            assert train(stage) == 0
    return folder


@pytest.fixture
def in_chain(chain, frames, monkeypatch):
    monkeypatch.chdir(chain)
    monkeypatch.setenv("ENHANCEMENT_DATA", str(frames))
    return chain


def weights(stage, label="best"):
    return f"experiments/{stage}_capsule/models/net_g_{label}.pth"


class TestStages:
    def test_each_keeps_the_weights_of_those_before(self, in_chain):
        first = state_dicts.read_weights(weights("1_iglfm"))[0]
        second = state_dicts.read_weights(weights("2_blgm"))[0]
        third = state_dicts.read_weights(weights("3_wsgm"))[0]
        assert all(torch.equal(v, second[f"iglfm.{k}"]) for k, v in first.items())
        assert all(torch.equal(v, third[k]) for k, v in second.items())
        assert any(
            not torch.equal(v, torch.zeros_like(v))
            for k, v in third.items()
            if k.startswith("wsgm.out")
        )

    def test_a_part_trained_with_another_stage_is_named(self, in_chain, capsys):
        content = torch.load(weights("1_iglfm"), weights_only=True)
        for key in content.keys() & {"params", "params_ema"}:
            content[key] = {k: v + 1e-3 for k, v in content[key].items()}
        storage.save(Path("other.pth"), content)
        options = ["--opt", str(ROOT / "options/capsule/3_wsgm.yml"), "--force_yml", "name=mixed"]
        assert run(*options, *STAGES["3_wsgm"], *BRIEF, "train:frozen:iglfm=other.pth") == 0
        said = f"{weights('2_blgm')} was trained with another iglfm than other.pth; train blgm anew"
        assert said in capsys.readouterr().out

    def test_frozen_parts_are_recorded_and_stored_once(self, in_chain):
        content = torch.load(weights("3_wsgm", "latest"), weights_only=True)
        assert content["meta"]["frozen"].keys() == {"iglfm", "blgm", "segmentation"}
        iglfm, _ = networks.build_from_file(weights("1_iglfm"))
        recorded = content["meta"]["frozen"]["iglfm"]
        assert recorded["sha256"] == state_dicts.weights_hash(iglfm)
        assert recorded["file"] == weights("1_iglfm")
        for name, value in content["params"].items():
            once = value.data_ptr() == content["params_ema"][name].data_ptr()
            assert once == (not name.startswith("wsgm."))
        state = torch.load(
            "experiments/3_wsgm_capsule/training_states/latest.state", weights_only=True
        )
        trained = sum(name.startswith("wsgm.") for name in content["params"])
        assert len(state["optimizers"][0]["state"]) == trained

    def test_the_table_shows_the_claim_side_by_side(self, in_chain, monkeypatch, capsys):
        monkeypatch.setattr(
            sys,
            "argv",
            [
                "test_from_dataset.py",
                "--weights",
                weights("3_wsgm"),
                "--dataset",
                "capsule",
                "--brightness_levels",
                "0.4",
                "0.1",
            ],
        )
        assert test_from_dataset.main() == 0
        out = capsys.readouterr().out
        assert "Protocol capsule" in out
        rows = out.split("Protocol segmentation")[1].splitlines()[3:8]
        assert [r[:14].strip() for r in rows] == [
            "dark input",
            "iglfm",
            "blgm",
            "wsgm",
            "ground truth",
        ]
        folder = in_chain / "results/3_wsgm_capsule/capsule_test/capsule/net_g_best"
        sides = json.loads((folder / "scores.json").read_text())["segmentation"]
        assert sides.keys() == {"dark input", "iglfm", "blgm", "wsgm", "ground truth"}
        assert all(0 <= side["dice"] <= 1 for side in sides.values())
        levels = list(csv.DictReader((folder / "brightness.csv").open()))
        assert [row["level"] for row in levels] == ["0.1", "0.4"]
        assert float(levels[0]["input_psnr"]) < float(levels[1]["input_psnr"])
        assert read_image(folder / "brightness.png").shape == (480, 640, 3)

    def test_another_network_is_scored_by_a_named_segmentation(self, in_chain, monkeypatch, capsys):
        monkeypatch.setattr(
            sys,
            "argv",
            [
                "test_from_dataset.py",
                "--weights",
                weights("1_iglfm"),
                "--dataset",
                "capsule",
                "--segmentation",
                weights("segmentation"),
            ],
        )
        assert test_from_dataset.main() == 0
        assert "\noutput " in capsys.readouterr().out

    def test_a_segmentation_network_is_scored_by_its_masks(
        self, in_chain, monkeypatch, capsys, enhance
    ):
        flags = ["--weights", weights("segmentation"), "--dataset", "capsule"]
        monkeypatch.setattr(sys, "argv", ["test_from_dataset.py", *flags])
        assert test_from_dataset.main() == 0
        out = capsys.readouterr().out
        assert "Protocol segmentation, dataset capsule_test, 2 images" in out
        assert "Dice" in out
        monkeypatch.setattr(sys, "argv", ["test_from_dataset.py", *flags, "--self_ensemble"])
        assert test_from_dataset.main() == 2
        assert "--self_ensemble: is for images, but SegmentationNet" in capsys.readouterr().err
        image = in_chain / "1.png"
        write_image(image, picture(1))
        status, _, err = enhance("run", image, "-o", "out", "--weights", weights("segmentation"))
        assert status == 2
        assert "SegmentationNet gives masks, not images" in err

    @pytest.mark.parametrize("stage", ["segmentation", "3_wsgm"])
    def test_a_continued_run_equals_an_unbroken_one(self, in_chain, stage):
        path = ROOT / f"options/capsule/{stage}.yml"
        longer = [*STAGES[stage], *BRIEF, "train:total_iter=4", "train:ema_decay=0.9"]
        whole, broken = f"whole_{stage}", f"broken_{stage}"
        run("--opt", path, "--force_yml", f"name={whole}", *longer)
        run_until(path, broken, 2, *longer)
        assert run("--opt", path, "--auto_resume", "--force_yml", f"name={broken}", *longer) == 0
        for key in ("params", "params_ema"):
            a, b = (
                state_dicts.read_weights(f"experiments/{n}/models/net_g_latest.pth", key)[0]
                for n in (whole, broken)
            )
            assert all(torch.equal(a[k], b[k]) for k in a)

    def test_resuming_with_other_frozen_weights_is_refused(self, in_chain):
        path = in_chain / weights("1_iglfm")
        before = path.read_bytes()
        network, _ = networks.build_from_file(path)
        network.out.weight.data.add_(1)
        sums = (path.parent / "checksums.json").read_bytes()
        try:
            storage.save(path, {"params": network.state_dict()})
            with pytest.raises(UserError, match=r"train\.frozen\.iglfm holds other weights than"):
                train("2_blgm", resume=True)
        finally:
            path.write_bytes(before)
            (path.parent / "checksums.json").write_bytes(sums)


class TestMistakes:
    CASES = [
        ("3_wsgm", ["train:frozen:iglfn=x.pth"], "has no such part; did you mean 'iglfm'?"),
        (
            "3_wsgm",
            ["train:frozen:segmentation=null"],
            "train.frozen.segmentation: expected a",
        ),
        (
            "2_blgm",
            ["train:frozen:iglfm=nowhere.pth"],
            "nowhere.pth: no such file; check the path, or train that",
        ),
        ("2_blgm", ["network_g:width=32"], "does not fit iglfm"),
        ("2_blgm", ["train:mask_opt={type: DiceBCELoss}"], "DiceBCELoss compares masks, but"),
        ("2_blgm", ["val:select_by=dice"], "has no masks to score; expected psnr or ssim"),
        ("3_wsgm", ["datasets:train:dataroot_mask=null"], "has no masks, which Segmentation"),
        ("3_wsgm", ["train:mixing_augs={mixup: true}"], "mixes images but not masks"),
        ("3_wsgm", ["train:mask_opt=null", "train:pixel_opt={type: L1Loss}"], "needs a loss of m"),
        ("segmentation", ["network_g={type: AODNet}"], "expected a network that gives a mask"),
        ("segmentation", ["model_type=EnhancementModel"], "`model_type: SegmentationModel`"),
        ("segmentation", ["val:select_by=psnr"], "scores masks; expected dice or miou"),
        ("segmentation", ["val:self_ensemble=true"], "self_ensemble: has no effect: Segmentation"),
        ("segmentation", ["val:metrics={a: {type: calculate_ssim}}"], "metrics: has no effect"),
        ("segmentation", ["train:pixel_opt={type: L1Loss}"], "does not compare masks"),
        ("segmentation", ["network_g:encoder=resnet19"], "to be a timm network with features"),
    ]

    @pytest.mark.parametrize(("stage", "force", "text"), CASES)
    def test_is_one_line(self, stage, force, text, in_chain):
        with pytest.raises(OptionError) as caught:
            load_config(ROOT / f"options/capsule/{stage}.yml", [*STAGES[stage], *force])
        assert any(re.search(text, fault) for fault in caught.value.faults), caught.value.faults

    def test_a_guided_run_needs_its_segmentation(self, in_chain):
        force = [*STAGES["3_wsgm"], "train:frozen=null"]
        with pytest.raises(OptionError, match=r"train\.frozen\.segmentation: missing"):
            load_config(ROOT / "options/capsule/3_wsgm.yml", force)

    def test_segmentation_weights_must_segment(self, in_chain, monkeypatch, capsys):
        monkeypatch.setattr(
            sys,
            "argv",
            [
                "test_from_dataset.py",
                "--weights",
                weights("1_iglfm"),
                "--dataset",
                "capsule",
                "--segmentation",
                weights("1_iglfm"),
            ],
        )
        assert test_from_dataset.main() == 2
        assert "holds a IGLFM; expected a segmentation network" in capsys.readouterr().err

    def test_levels_are_exposures(self, in_chain, monkeypatch, capsys):
        monkeypatch.setattr(
            sys,
            "argv",
            [
                "test_from_dataset.py",
                "--weights",
                weights("1_iglfm"),
                "--dataset",
                "capsule",
                "--brightness_levels",
                "5",
            ],
        )
        assert test_from_dataset.main() == 2
        assert "expected exposures in (0, 1], but got 5" in capsys.readouterr().err


class TestMasks:
    def block(self, frames, **more):
        root = frames / "WCEBleedGen/bleeding"
        return {"dataroot_gt": str(root / "images"), "dataroot_mask": str(root / "masks"), **more}

    @pytest.mark.parametrize("cache", ["none", "ram"])
    def test_follow_every_cut_and_flip(self, frames, cache):
        dataset = SynthesisDataset(self.block(frames, phase="train", gt_size=24, cache=cache))
        for index in range(len(dataset)):
            sample = dataset[index]
            expected = bright(np.round(sample["gt"].permute(1, 2, 0).numpy() * 255)) / 255
            assert sample["mask"].shape == (1, 24, 24)
            assert np.array_equal(sample["mask"][0].numpy(), expected)

    def test_are_padded_and_resized_without_new_values(self, frames):
        for more in ({"gt_size": 80}, {"resize": (31, 45)}):
            mask = SynthesisDataset(self.block(frames, phase="val", **more))[0]["mask"]
            assert set(mask.unique().tolist()) == {0.0, 1.0}

    def test_a_layout_finds_them_beside_its_ground_truth(self, tmp_path):
        for i in range(2):
            for side in ("low", "high", "masks"):
                write_image(tmp_path / f"evaluation/{side}/{i}.png", picture(i))
        block = {"layout": "capsule", "dataroot": str(tmp_path), "split": "test", "phase": "test"}
        assert PairedDataset(block)[0]["mask"].shape == (1, 48, 64)
        (tmp_path / "evaluation/masks").rename(tmp_path / "elsewhere")
        assert "mask" not in PairedDataset(block)[0]

    def test_a_missing_one_and_another_size_are_named(self, frames, tmp_path):
        write_image(tmp_path / "masks/0.png", picture(0, height=20, width=20))
        faults = SynthesisDataset.check(
            self.block(frames) | {"dataroot_mask": str(tmp_path / "masks")}
        )
        assert any("1.png: has no mask of that name" in fault for fault in faults)
        assert any("0.png: is 20x20, but its partner" in fault for fault in faults)


class TestLossesAndScores:
    @pytest.mark.parametrize("kind", [DiceBCELoss, StructureLoss])
    def test_a_loss_is_least_for_the_true_mask(self, kind):
        mask = torch.zeros(2, 1, 40, 40)
        mask[:, :, 10:25, 5:30] = 1
        loss = kind()
        right, nothing = loss(20 * (2 * mask - 1), mask), loss(torch.full_like(mask, -20), mask)
        assert right < 1e-3 < nothing
        logits = torch.zeros_like(mask, requires_grad=True)
        loss(logits, mask).backward()
        assert logits.grad.isfinite().all()
        empty = loss(torch.full_like(mask, -20), torch.zeros_like(mask))
        assert empty < 1e-3

    def test_structure_loss_weighs_the_boundary(self):
        mask = torch.zeros(1, 1, 64, 64)
        mask[..., 20:44, 20:44] = 1
        logits = 5 * (2 * mask - 1)
        at_edge, inside = logits.clone(), logits.clone()
        at_edge[..., 20, 20] = -5
        inside[..., 32, 32] = -5
        plain, weighted = StructureLoss(boundary=0.0), StructureLoss()
        torch.testing.assert_close(plain(at_edge, mask), plain(inside, mask))
        assert weighted(at_edge, mask) > weighted(inside, mask)
        with pytest.raises(ValueError, match="`window` to be odd"):
            StructureLoss(window=4)

    def test_scores_by_hand(self):
        mask = torch.zeros(1, 1, 2, 2)
        mask[..., 0, :] = 1
        logits = torch.tensor([[[[1.0, -1.0], [1.0, -1.0]]]])
        found = mask_scores(logits, mask)
        assert found == {"dice": 0.5, "miou": pytest.approx(1 / 3)}


class TestBrightness:
    def test_a_level_is_the_ground_truths_exposure(self, frames):
        gt = str(frames / "WCEBleedGen/bleeding/images")
        block = {
            "type": "SynthesisDataset",
            "dataroot_gt": gt,
            "phase": "test",
            "name": "x",
            "degradation": {
                "type": "LowLight",
                "gamma": [2, 3],
                "shot_noise": [0, 0],
                "read_noise": [0, 0],
            },
        }
        block = DatasetBlock.of("test", block)
        means = [at_level(block, v).build()[0]["lq"].mean() for v in (0.05, 0.3, 1.0)]
        assert means[0] < means[1] < means[2]
        whole = at_level(block, 1.0).build()[0]
        torch.testing.assert_close(whole["lq"], whole["gt"], atol=1 / 255, rtol=0)

    def test_pairs_are_darkened_from_their_ground_truth(self, tmp_path):
        for side in ("low", "high"):
            write_image(tmp_path / f"evaluation/{side}/0.png", picture(0))
        block = {
            "type": "PairedDataset",
            "layout": "capsule",
            "dataroot": str(tmp_path),
            "split": "test",
            "phase": "test",
            "name": "x",
        }
        assert at_level(DatasetBlock.of("test", block), 0.1).build()[0]["lq"].mean() < 0.3

    def test_the_curve_shows_both_lines(self):
        scores = {
            level: Scores("capsule", "x", [Row("a", {"psnr": psnr}, {"psnr": psnr + 9})])
            for level, psnr in ((0.05, 8.0), (0.2, 14.0), (0.8, 26.0))
        }
        image = curve(scores)
        for colour in ((31, 119, 180), (140, 140, 140)):
            assert (image == colour).all(-1).sum() > 100
