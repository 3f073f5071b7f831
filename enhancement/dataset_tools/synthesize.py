"""Write a synthesised set of pairs to disk, to look at it or to train on it as files.

python enhancement/synthesize.py --opt options/hdrnet_illumination.yml --output datasets/dark

Every subset becomes OUTPUT/{train,val,test}/{low,high}/NAME.png, which `layout: high_low` reads,
with the parameters drawn for each image in parameters.csv, and a contact sheet of the first ones.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from enhancement.config.context import RunContext
from enhancement.config.load import load_config
from enhancement.data.images import Array, write_image
from enhancement.data.low_light import LowLight
from enhancement.data.synthesis_dataset import SynthesisDataset
from enhancement.errors import UserError, command_line
from enhancement.files import new_folder, write_text, writing
from enhancement.paths import inside

CELL = 200  # pixels of an image on the contact sheet
ACROSS, DOWN = 6, 4  # images of the contact sheet
CAPTION = 22  # pixels, its height


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        "enhancement/synthesize.py", description="Write a synthesised set of pairs to disk."
    )
    parser.add_argument("--opt", "-opt", required=True, help="option file with a SynthesisDataset")
    parser.add_argument("--output", "-o", required=True, type=Path, help="a new folder")
    parser.add_argument(
        "--subset", nargs="+", choices=("train", "val", "test"), help="default: all of them"
    )
    parser.add_argument(
        "--count", type=int, help="write at most N images of each subset", metavar="N"
    )
    parser.add_argument("--force_yml", nargs="+", default=[], metavar="KEY:KEY=VALUE")
    return parser.parse_args(arguments)


def find_blocks(
    path: str, force: list[str] | None = None, subsets: list[str] | None = None
) -> dict[str, dict[str, Any]]:
    """The dataset blocks that an option file synthesises, by subset.

    Raises:
        UserError: There is no such subset, or it is not synthesised.
    """
    context = RunContext(load_config(path, force))
    sets = {**context.config.datasets, "train": context.training_set}
    for name in subsets or sets:
        if name not in sets:
            raise UserError(f"--subset: {path} has no '{name}'; it has {', '.join(sets)}")
        if sets[name].kind is not SynthesisDataset:
            raise UserError(
                f"{path}: datasets.{name} is a {sets[name].kind.__name__}, which holds pairs "
                f"already; expected a SynthesisDataset"
            )
    return {name: sets[name].options for name in subsets or sets}


def write_set(dataset: SynthesisDataset, folder: Path, count: int | None) -> None:
    """Write one subset: its pairs, parameters.csv and contact_sheet.png.

    Args:
        dataset: Of the subset.
        folder: To write into.
        count: At most this many images; None for all.

    Raises:
        UserError: Two images would be written under one name, or one cannot be read.
    """
    chosen = range(len(dataset))[:count]
    stems = Counter(str(Path(dataset.samples[i][0]).with_suffix("")) for i in chosen)
    twice = [stem for stem, times in stems.items() if times > 1]
    if twice:
        raise UserError(
            f"{twice[0]}: several images have this name and differ only in their type; rename one"
        )
    shown: list[tuple[str, Array, Array]] = []
    rows: list[dict[str, Any]] = []
    for index in tqdm(chosen, desc=folder.name, unit="image", disable=not sys.stderr.isatty()):
        name, lq, gt, drawn = dataset.synthesise(index)
        low, high = (np.round(image * 255).astype(np.uint8) for image in (lq, gt))
        for side, image in (("low", low), ("high", high)):
            write_image(inside(folder / side, name).with_suffix(".png"), image)
        mean = {"mean_low": low.mean() / 255, "mean_high": high.mean() / 255}
        rows.append({"image": name} | {k: f"{v:.6g}" for k, v in {**drawn, **mean}.items()})
        if len(shown) < DOWN * ACROSS:
            caption = "  ".join(f"{k[:4]} {v:.2f}" for k, v in list(drawn.items())[:3])
            shown.append((caption, low, high))
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(folder / "parameters.csv", text.getvalue())
    write_image(folder / "contact_sheet.png", contact_sheet(shown))


def contact_sheet(shown: list[tuple[str, Array, Array]]) -> Array:
    """Captioned images, each dark one above its ground truth: (H, W, 3) uint8."""

    def fit(image: Array) -> Array:
        scale = CELL / max(image.shape[:2])
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        cell = np.full((CELL, CELL, 3), 255, np.uint8)
        cell[: size[1], : size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        return cell

    cells = []
    for caption, low, high in shown:
        line = np.full((CAPTION, CELL, 3), 255, np.uint8)
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(line, caption, (4, CAPTION - 7), font, 0.36, (0, 0, 0), 1, cv2.LINE_AA)
        cells.append(np.concatenate((line, fit(low), fit(high))))
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % min(ACROSS, len(cells)))
    across = min(ACROSS, len(cells))
    rows = [np.concatenate(cells[i : i + across], 1) for i in range(0, len(cells), across)]
    return np.concatenate(rows)


def folder_block(folder: str, degradation: dict[str, Any], seed: int) -> dict[str, Any]:
    """A dataset block that darkens the images of a plain folder.

    Args:
        folder: Of bright images; or an LMDB.
        degradation: Arguments of LowLight that differ from its defaults.
        seed: Of the random parameters.

    Raises:
        UserError: An argument is out of its range.
    """
    try:
        LowLight(**degradation)
    except ValueError as error:
        raise UserError(str(error)) from error
    return {
        "type": SynthesisDataset.__name__,
        "dataroot_gt": folder,
        "phase": "test",
        "seed": seed,
        "degradation": {"type": LowLight.__name__, **degradation},
    }


def synthesize(blocks: dict[str, dict[str, Any]], output: Path, count: int | None) -> None:
    """Write each subset, and say where.

    Args:
        blocks: Dataset blocks by the folder below `output`; "" is `output` itself.
        output: A new folder.
        count: At most this many images of each; None for all.

    Raises:
        UserError: `output` is not empty or cannot be written, or an image cannot be read.
    """
    if count is not None and count < 1:
        raise UserError(f"--count: expected at least 1, but got {count}")
    new_folder(output)
    for name, block in blocks.items():
        folder = output / name
        dataset = SynthesisDataset(block)
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            write_set(dataset, folder, count)
        print(f"Written: {folder}/{{low,high}}, parameters.csv, contact_sheet.png")


@command_line
def main() -> None:
    """The command `enhancement/synthesize.py`."""
    arguments = parse()
    new_folder(arguments.output)  # before the option file is read
    blocks = find_blocks(arguments.opt, arguments.force_yml, arguments.subset)
    synthesize(blocks, arguments.output, arguments.count)
