"""`make capsule-demo`: the dual-generalization framework from end to end on a few frames.

Segmentation, IGLFM, BLGM and WSGM are trained one after the other by the option files under
options/capsule, at reduced width and size, then scored side by side. The frames are WCEBleedGen's
where they are there, made ones elsewhere. It shows that the chain works, not how well.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from enhancement.data.images import Array, write_image
from enhancement.errors import command_line
from enhancement.paths import DATA_FOLDER, locate
from enhancement.testing import command as test_from_dataset
from enhancement.training import command as train
from enhancement.units import duration

RUNS = Path("experiments/capsule_demo")
FRAMES = f"{DATA_FOLDER}/WCEBleedGen/bleeding"
COUNT, SIDE = 24, 224
REDUCED = ["network_g:width=16", "network_g:groups=1", "network_g:blocks=1"]
BRIEF = [
    "datasets:train:gt_size=64",
    "datasets:train:batch_size_per_gpu=4",
    "val:val_freq=50",
    "logger:save_checkpoint_freq=50",
    "train:warmup_iter=-1",
]
STAGES = {
    "segmentation": [
        "network_g:encoder=mobilenetv3_small_100",
        "train:total_iter=150",
        "datasets:train:gt_size=128",
    ],
    "1_iglfm": [*REDUCED, "train:total_iter=300"],
    "2_blgm": [
        *REDUCED,
        "network_g:blgm_width=16",
        "train:total_iter=500",
        "train:mixing_augs=null",
    ],
    "3_wsgm": [
        *REDUCED,
        "network_g:blgm_width=16",
        "network_g:wsgm_width=16",
        "train:total_iter=60",
        "datasets:train:gt_size=128",
    ],
}


def make_frame(seed: int) -> tuple[Array, Array]:
    """A round field of reddish tissue with dark red lesions: (H, W, 3) uint8, and their mask."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(size=(7, 7, 3)).astype(np.float32)
    texture = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    fine = cv2.GaussianBlur(rng.normal(size=(SIDE, SIDE, 3)).astype(np.float32), (0, 0), 1.5)
    image = np.array([0.78, 0.5, 0.38]) + 0.07 * texture + 0.05 * fine
    mask = np.zeros((SIDE, SIDE), np.uint8)
    for _ in range(int(rng.integers(1, 4))):
        middle, axes = rng.integers(60, SIDE - 60, 2), rng.integers(10, 34, 2)
        cv2.ellipse(
            mask, middle.tolist(), axes.tolist(), float(rng.uniform(0, 180)), 0, 360, 255, -1
        )
    soft = cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), 2)[..., None]
    image = image * (1 - soft) + soft * (np.array([0.5, 0.08, 0.07]) + 0.05 * fine)
    field = np.zeros((SIDE, SIDE, 1), np.uint8)
    cv2.circle(field, (SIDE // 2, SIDE // 2), SIDE // 2 - 4, 1, -1)
    return (np.clip(image * field, 0, 1) * 255).astype(np.uint8), mask


def frames() -> Path:
    """The folder with images/ and masks/: WCEBleedGen's, or made ones below `RUNS`."""
    real = locate(FRAMES)
    if (real / "images").is_dir() and (real / "masks").is_dir():
        return real
    folder = RUNS / "frames"
    for i in range(COUNT):
        image, mask = make_frame(i)
        write_image(folder / f"images/{i:02d}.png", image)
        write_image(folder / f"masks/{i:02d}.png", np.repeat(mask[..., None], 3, 2))
    return folder


def settings(stage: str, folder: Path) -> list[str]:
    """What the demo changes of a stage's option file."""
    names = sorted(p.stem for p in (folder / "images").glob("[!.]*"))[:COUNT]
    kept = {"2_blgm": ["iglfm"], "3_wsgm": ["iglfm", "blgm", "segmentation"]}.get(stage, [])
    runs = {"iglfm": "1_iglfm", "blgm": "2_blgm", "segmentation": "segmentation"}
    return [
        f"path:experiments={RUNS}",
        f"datasets:train:dataroot_gt={folder / 'images'}",
        f"datasets:train:dataroot_mask={folder / 'masks'}",
        f"datasets:train:include=[{', '.join(f'{name!r}' for name in names)}]",
        *(f"train:frozen:{part}={weights_of(runs[part])}" for part in kept),
        *BRIEF,
        *STAGES[stage],
    ]


def weights_of(stage: str) -> Path:
    """A stage's best checkpoint."""
    return RUNS / f"{stage}_capsule/models/net_g_best.pth"


@command_line
def main() -> int:
    """Train the four stages (or go on with them), then score the chain."""
    began, folder = time.perf_counter(), frames()
    print(f"Frames: {folder}")
    for stage in STAGES:
        options = ["--opt", f"options/capsule/{stage}.yml", "--auto_resume", "--force_yml"]
        status = train.run_training(train.parse([*options, *settings(stage, folder)]))
        if status:
            return status
        print()
    _, results = test_from_dataset.test(
        test_from_dataset.parse(
            [
                "--opt",
                "options/capsule/3_wsgm.yml",
                "--weights",
                str(weights_of("3_wsgm")),
                "--brightness_levels",
                "0.05",
                "0.1",
                "0.2",
                "0.4",
                "0.8",
                "--force_yml",
                *settings("3_wsgm", folder),
            ]
        )
    )
    print(
        f"\nFinished in {duration(time.perf_counter() - began)}, at reduced width and size.\n"
        f"  tables       {results}{os.sep}scores.json, brightness.csv\n"
        f"  pictures     {results}{os.sep}comparison.png, brightness.png\n"
        f"  TensorBoard  .venv/bin/tensorboard --logdir {RUNS}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
