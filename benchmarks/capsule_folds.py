"""What WSGM is worth: folds of a task, so that every frame is tested once.

python benchmarks/capsule_folds.py [--task capsule] [--fidelity 0 1 10 100] [--folds 0 1 2 3 4]

For each fold, a segmentation network is trained on well-lit frames, then IGLFM, BLGM and, for each
weight of the fidelity term, WSGM, by options/capsule as capsule_folds.yml shortens them. A run that
was stopped goes on. The fold's test frames are scored before, between and after the stages. Writes
TASK.json, the table TASK.md, and TASK.png: in rows of a frame the dark input, BLGM's output, WSGM's
by weight and the ground truth, with the outlines of the masks that are found. With --levels,
instead, IGLFM and BLGM of the first fold are scored over brightness levels: TASK_levels.json.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import yaml
from paper_tables import OPTIONS
from tabulate import tabulate
from torch import Tensor

from enhancement.config.datasets import dataset_block, derive_sets
from enhancement.config.files import OptionFile, named_files
from enhancement.data.blocks import DatasetBlock
from enhancement.data.images import Array, write_image
from enhancement.data.loader import eval_loader
from enhancement.errors import command_line
from enhancement.inference.run import eval_mode, run_stages
from enhancement.scoring.brightness import sweep
from enhancement.scoring.evaluation import samples
from enhancement.scoring.protocols import get_protocol
from enhancement.scoring.segmentation import (
    INPUT,
    TRUTH,
    load_segmentation,
    mask_scores,
    segment,
)
from enhancement.training import command as train
from enhancement.weights.networks import build_from_file
from enhancement.weights.provenance import git_commit

SHORTENED = yaml.safe_load(Path(__file__).with_suffix(".yml").read_text(encoding="utf-8"))
TASKS = {"capsule": "bleeding, WCEBleedGen", "polyps": "polyps, Kvasir-SEG"}
STAGES = "segmentation", "1_iglfm", "2_blgm", "3_wsgm"
FOLDS, SHOWN = 5, 1  # SHOWN frames of each fold stand in the picture
HEAD = (
    *("output", "fidelity", "PSNR", "SSIM", "Dice", "mIoU"),
    *("Dice above BLGM's", "PSNR above BLGM's"),
)
Scores = dict[str, dict[str, float]]  # of one frame, by what was segmented
LEVELS = [0.03, 0.06, 0.12, 0.25, 0.5, 1.0]


def shortened(task: str) -> dict[str, list[str]]:
    """What is changed of each stage's option file for a task."""
    more = SHORTENED.get(task, {})
    return {stage: SHORTENED[stage] + more.get(stage, []) for stage in STAGES}


def train_stage(
    stage: str, task: str, fold: int, runs: Path, name: str, frozen: dict[str, Path], *force: str
) -> Path:
    """Train a stage of a fold, or go on with it; its last weights."""
    folder = runs / f"{task}_{fold}"
    settings = [f"name={name}", f"path:experiments={folder}", f"datasets:train:test_fold={fold}"]
    settings += shortened(task)[stage]
    settings += [f"train:frozen:{part}={at}" for part, at in frozen.items()]
    opt = ["--opt", str(OPTIONS / f"capsule/{stage}.yml"), "--dataset", task, "--auto_resume"]
    if status := train.run_training(train.parse([*opt, "--force_yml", *settings, *force])):
        raise SystemExit(status)
    return folder / name / "models/net_g_latest.pth"


def train_fold(
    task: str, fold: int, fidelities: list[float], runs: Path
) -> tuple[Path, dict[float, Path]]:
    """Train all stages of a fold: the weights of the segmentation network, and WSGM's by weight."""
    where = (task, fold, runs)
    segmentation = train_stage("segmentation", *where, "segmentation", {})
    iglfm = train_stage("1_iglfm", *where, "1_iglfm", {})
    blgm = train_stage("2_blgm", *where, "2_blgm", {"iglfm": iglfm})
    frozen = {"iglfm": iglfm, "blgm": blgm, "segmentation": segmentation}
    return segmentation, {
        weight: train_stage(
            *("3_wsgm", *where, f"3_wsgm_{weight:g}", frozen),
            f"train:fidelity_opt:loss_weight={weight}",
        )
        for weight in fidelities
    }


def test_set(task: str, fold: int) -> DatasetBlock:
    """The test frames of a fold."""
    sets = OptionFile(named_files("datasets")[task]).options["datasets"]
    sets["train"] |= {"test_fold": fold, "cache": "none"}
    return dataset_block("test", derive_sets(sets)["test"])


def outlined(image: Tensor, mask: Tensor, truth: Tensor) -> Array:
    """An image (1, 3, H, W) in 8 bits, a found mask outlined in white and the true one in green."""
    picture = (image[0].clamp(0, 1).permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    picture = np.ascontiguousarray(picture)
    for found, colour in ((truth, (0, 255, 0)), (mask, (255, 255, 255))):
        contours, _ = cv2.findContours(
            found[0, 0].numpy().astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(picture, contours, -1, colour, 1)
    return picture


def score_fold(
    task: str, fold: int, segmentation: Path, wsgm: dict[float, Path]
) -> tuple[dict[str, Scores], list[Array]]:
    """The scores of a fold's test frames by their names, and rows of the picture."""
    device, protocol = torch.device("cpu"), get_protocol("capsule")
    segmenter = load_segmentation(segmentation)
    networks = {weight: build_from_file(file)[0].eval() for weight, file in wsgm.items()}
    found, pictures = dict[str, Scores](), list[Array]()
    with eval_mode(segmenter):
        for name, sample in samples(eval_loader(test_set(task, fold)), device):
            images = {INPUT: sample["lq"]}
            for weight, network in networks.items():
                outputs = run_stages(network, sample["lq"])
                images |= {"IGLFM": outputs["iglfm"], "BLGM": outputs["blgm"]}
                images[f"WSGM {weight:g}"] = outputs["wsgm"]
            images[TRUTH] = sample["gt"]
            row, scores = list[Array](), Scores()
            for side, image in images.items():
                logits = segment(segmenter, image)
                scores[side] = protocol.score(image, sample["gt"])
                scores[side] |= mask_scores(logits, sample["mask"])
                if side != "IGLFM":
                    row.append(outlined(image, logits > 0, sample["mask"] > 0.5))
            found[name] = scores
            if len(pictures) < SHOWN:
                pictures.append(np.concatenate(row, 1))
    return found, pictures


def above(frames: list[Scores], side: str, metric: str) -> str:
    """The mean difference to BLGM over the frames, and its standard error."""
    gains = [frame[side][metric] - frame["BLGM"][metric] for frame in frames]
    error = statistics.stdev(gains) / math.sqrt(len(gains))
    return f"{statistics.fmean(gains):+.4f} ± {error:.4f}"


def table(found: dict[str, dict[str, Scores]]) -> str:
    """Markdown of the means over all frames: a row for each output that every fold has.

    Args:
        found: Frames' scores by their names, by fold.
    """
    frames = [scores for fold in found.values() for scores in fold.values()]
    lines = []
    for side in (side for side in frames[0] if all(side in frame for frame in frames)):
        mean = {m: statistics.fmean(f[side][m] for f in frames) for m in frames[0][side]}
        title, _, weight = side.partition(" ") if side.startswith("WSGM") else (side, "", "")
        psnr = "-" if side == TRUTH else f"{mean['psnr']:.3f}"
        ssim = "-" if side == TRUTH else f"{mean['ssim']:.4f}"
        gains = [above(frames, side, m) for m in ("dice", "psnr")] if weight else ["", ""]
        lines.append([title, weight, psnr, ssim, f"{mean['dice']:.4f}", f"{mean['miou']:.4f}"])
        lines[-1] += gains
    align = ("left", *["right"] * 7)
    return tabulate(lines, HEAD, "github", disable_numparse=True, colalign=align)


def save(output: Path, task: str, found: dict[str, dict[str, Scores]], rows: list[Array]) -> None:
    """Write what was found so far."""
    about: dict[str, Any] = {"task": TASKS[task], "protocol": "capsule", "commit": git_commit()}
    about |= {"torch": torch.__version__, "settings": shortened(task)}
    content = {"about": about, "methods": found}
    output.mkdir(parents=True, exist_ok=True)
    (output / f"{task}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    (output / f"{task}.md").write_text(table(found) + "\n", encoding="utf-8")
    write_image(output / f"{task}.png", np.concatenate(rows))


def score_levels(task: str, runs: Path) -> dict[str, dict[str, float | None]]:
    """The mean PSNR of the first fold's test frames at each level: input, IGLFM, BLGM."""
    found: dict[str, dict[str, float | None]] = {f"{level:g}": {} for level in LEVELS}
    for stage, title in (("1_iglfm", "IGLFM"), ("2_blgm", "BLGM")):
        network = build_from_file(runs / f"{task}_0" / stage / "models/net_g_latest.pth")[0]
        cpu, protocol = torch.device("cpu"), get_protocol("capsule")
        for level, scores in sweep(network, test_set(task, 0), LEVELS, protocol, cpu).items():
            row = {"dark input": scores.mean("input")["psnr"], title: scores.mean()["psnr"]}
            found[f"{level:g}"] |= row
    return found


def levels_table(found: dict[str, dict[str, float | None]]) -> str:
    """Markdown of `score_levels`: a row for each level."""
    head = ("level", *next(iter(found.values())))
    lines = [[level, *(f"{psnr:.3f}" for psnr in row.values())] for level, row in found.items()]
    return tabulate(lines, head, "github", disable_numparse=True, colalign=("right",) * len(head))


@command_line
def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--task", choices=list(TASKS), default="capsule")
    add("--fidelity", nargs="+", type=float, default=[0, 1, 10, 100], help="weights of its term")
    add("--folds", nargs="+", type=int, choices=range(FOLDS), default=list(range(FOLDS)))
    add("--output", type=Path, default=Path("results/capsule_folds"), help="runs and results")
    add("--levels", action="store_true", help="score IGLFM and BLGM over brightness levels")
    arguments = parser.parse_args()
    runs = arguments.output / "runs"
    if arguments.levels:
        levels = score_levels(arguments.task, runs)
        about = {"task": TASKS[arguments.task], "protocol": "capsule", "commit": git_commit()}
        content = json.dumps({"about": about, "methods": levels}, indent=2) + "\n"
        path: Path = arguments.output / f"{arguments.task}_levels.json"
        path.write_text(content, encoding="utf-8")
        print(levels_table(levels), f"Written: {path}", sep="\n\n")
        return
    found, rows = dict[str, dict[str, Scores]](), list[Array]()
    for fold in arguments.folds:
        files = train_fold(arguments.task, fold, arguments.fidelity, runs)
        found[str(fold)], pictures = score_fold(arguments.task, fold, *files)
        rows += pictures
        save(arguments.output, arguments.task, found, rows)
        print(table(found))


if __name__ == "__main__":
    main()
