"""The loss ablation of the bilateral grid for endoscopic video, beside the affine mode.

python benchmarks/illumination_losses.py [--iterations 1000] [--datasets endoscopy] [--rows m all]

Trains HDRNet once for each row and dataset, alike in everything else, and tests each on what was
held out by the `basicsr` protocol. Writes illumination_losses.md and .json, and a picture of each
dataset: input, one column a row of the table, ground truth.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from paper_tables import OPTIONS, picture, save, score, sha256
from tabulate import tabulate

from enhancement.data.images import write_image
from enhancement.errors import command_line
from enhancement.training import command as train
from enhancement.weights.provenance import git_commit

MAP = "train:reconstruction_opt={type: IlluminationReconstructionLoss}"
SMOOTH = "train:smoothness_opt={type: IlluminationSmoothnessLoss, loss_weight: 2.0}"
DETAIL = "train:detail_opt={type: SSIMMAELoss, alpha: 0.5, loss_weight: 2.0}"  # MAE + 1 - SSIM
COLOR = "train:color_opt={type: ColorAngleLoss, loss_weight: 0.2}"
NONE = [f"train:{n}_opt=null" for n in ("reconstruction", "smoothness", "detail", "color")]
ROWS = {  # name: (option file, losses, what the table says)
    "affine": ("hdrnet", [], "affine, L_MAE"),
    "m": ("hdrnet_illumination", [*NONE, MAP], "illumination, L_m"),
    "m_2s": ("hdrnet_illumination", [*NONE, MAP, SMOOTH], "illumination, L_m + 2 L_s"),
    "mae_ssim": ("hdrnet_illumination", [*NONE, DETAIL], "illumination, L_MAE + L_SSIM"),
    "all": (
        "hdrnet_illumination",
        [*NONE, MAP, SMOOTH, DETAIL, COLOR],
        "illumination, L_m + 2 L_s + L_MAE + L_SSIM + 0.2 L_c",
    ),
}
DATASETS = ("endoscopy", "lol_v1")
HEAD = ("mode and losses", *(n for d in DATASETS for n in (d, "iterations", "PSNR", "SSIM")))
Found = dict[str, dict[str, Any]]  # by dataset


def run_of(row: str, dataset: str, output: Path) -> Path:
    """The folder of a row's training."""
    return output / "runs" / f"{dataset}_{row}"


def train_and_test(row: str, dataset: str, iterations: int, output: Path) -> dict[str, Any]:
    """What was found of one row on one dataset; its images lie in the run's folder."""
    network, losses, _ = ROWS[row]
    run = run_of(row, dataset, output)
    force = [f"name={run.name}", f"path:experiments={run.parent}", *losses]
    force += [f"train:total_iter={iterations}", f"val:val_freq={max(1, iterations // 4)}"]
    given = ["--opt", str(OPTIONS / f"{network}.yml"), "--dataset", dataset, "--auto_resume"]
    given += ["--schedule", "illumination" if losses else "low_light"]
    if status := train.run_training(train.parse([*given, "--force_yml", *force])):
        raise SystemExit(status)
    weights = run / "models/net_g_best.pth"
    scores = score(["--weights", str(weights)], dataset, "basicsr", run / "images")
    return {
        "iterations": iterations,
        "sha256": sha256(weights),
        "commit": git_commit(),
        "output": scores.mean(),
        "input": scores.mean("input"),
    }


def table(found: dict[str, Found]) -> str:
    """Markdown: the untouched input first, then every row."""

    def cells(of: Found, side: str) -> list[str]:
        values = []
        for dataset in DATASETS:
            row = of.get(dataset)
            mean = row and row.get(side)
            iterations = f"{row['iterations']:,}" if row and side == "output" else "-"
            scored = [f"{mean['psnr']:.3f}", f"{mean['ssim']:.4f}"] if mean else ["-", "-"]
            kept = (row["sha256"] or "not kept")[:8] if row and side == "output" else "-"
            values += [kept, iterations, *scored]
        return values

    lines = [["untouched input", *cells(next(iter(found.values())), "input")]]
    lines += [[title, *cells(found[k], "output")] for k, (*_, title) in ROWS.items() if k in found]
    align = ("left", *("left", "right", "right", "right") * len(DATASETS))
    return tabulate(lines, HEAD, "github", disable_numparse=True, colalign=align)


@command_line
def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--datasets", nargs="+", choices=DATASETS, default=list(DATASETS))
    add("--iterations", type=int, default=1000)
    add("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    add("--output", type=Path, default=Path("results/illumination_losses"))
    arguments = parser.parse_args()
    output, datasets, iterations = arguments.output, arguments.datasets, arguments.iterations
    found = {
        row: {d: train_and_test(row, d, iterations, output) for d in datasets}
        for row in arguments.rows
    }
    save(output, table(found), found, protocol="basicsr")
    for dataset in datasets:
        folders = [run_of(row, dataset, output) / "images" for row in arguments.rows]
        write_image(output / f"{dataset}.png", picture(dataset, folders))


if __name__ == "__main__":
    main()
