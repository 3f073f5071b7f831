"""The loss ablation of the bilateral grid for endoscopic video, beside the affine mode.

python benchmarks/illumination_losses.py --dataset endoscopy [--iterations 1000]

Trains HDRNet once for each row, alike in everything else, and tests each on the held-out set by
the `basicsr` protocol. Prints a Markdown table and writes a picture of the first test images:
input, one column a row of the table, ground truth.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from paper_tables import picture

from enhancement.data.images import write_image
from enhancement.testing import command as test_from_dataset
from enhancement.training import command as train

ROOT = Path(__file__).resolve().parent.parent
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


def train_and_test(row: str, dataset: str, iterations: int, output: Path) -> tuple[str, Path]:
    """One row of the table, and the folder of its enhanced images."""
    network, losses, title = ROWS[row]
    path = str(ROOT / "options" / f"{network}.yml")
    schedule = "illumination" if losses else "low_light"
    force = [
        f"name=losses_{dataset}_{row}",
        f"train:total_iter={iterations}",
        *losses,
        f"path:experiments={output}",
        f"val:val_freq={max(1, iterations // 4)}",
    ]
    status = train.run_training(
        train.parse(
            [
                "--opt",
                path,
                "--dataset",
                dataset,
                "--schedule",
                schedule,
                "--auto_resume",
                "--force_yml",
                *force,
            ]
        )
    )
    if status:
        raise SystemExit(status)
    weights = output / f"losses_{dataset}_{row}/models/net_g_best.pth"
    images = output / f"losses_{dataset}_{row}/images"
    arguments = [
        "--weights",
        str(weights),
        "--dataset",
        dataset,
        "--protocol",
        "basicsr",
        "--save_images",
        str(images),
        "--result_dir",
        str(output / "results"),
    ]
    scores, _ = test_from_dataset.test(test_from_dataset.parse(arguments))
    mean, given = scores.mean(), scores.mean("input")
    lines = [f"| {title} | {mean['psnr']:.3f} | {mean['ssim']:.4f} |"]
    if row == "affine":
        lines.insert(0, f"| untouched input | {given['psnr']:.3f} | {given['ssim']:.4f} |")
    return "\n".join(lines), images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="endoscopy", help="a file of options/datasets")
    parser.add_argument("--iterations", type=int, default=1000)
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--output", type=Path, default=Path("experiments/illumination_losses"))
    arguments = parser.parse_args()
    table, folders = [], []
    for row in arguments.rows:
        text, images = train_and_test(
            row, arguments.dataset, arguments.iterations, arguments.output
        )
        table.append(text)
        folders.append(images)
    path = arguments.output / f"{arguments.dataset}.png"
    write_image(path, picture(arguments.dataset, folders))
    print("\n| mode and losses | PSNR | SSIM |\n| --- | --- | --- |", *table, sep="\n")
    print(f"\nPicture (input, rows in order, ground truth): {path}")


if __name__ == "__main__":
    main()
