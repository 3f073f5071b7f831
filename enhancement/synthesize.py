"""Write a synthesised set of pairs to disk, to look at it or to train on it as files.

python enhancement/synthesize.py --opt options/endoscopy/hdrnet.yml --output datasets/dark_endoscopy

Every subset becomes OUTPUT/{train,val,test}/{low,high}/NAME.png, which `layout: high_low` reads,
with what was drawn for each image in parameters.csv and a contact sheet of the first ones.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

# As a script this file's folder leads the path, where its neighbours must not shadow any package.
sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != Path(__file__).resolve().parent]

try:
    from enhancement.data.images import Array, write_image
except ModuleNotFoundError as missing:
    print(f"error: {missing.name} is not installed; run `make install`", file=sys.stderr)
    sys.exit(2)
from enhancement.data.synthesis_dataset import SynthesisDataset  # noqa: E402
from enhancement.errors import UserError, command_line  # noqa: E402
from enhancement.options import load_options, prepare_run  # noqa: E402

CELL = 200  # pixels of a picture on the contact sheet
ACROSS = 6


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        "enhancement/synthesize.py", description="Write a synthesised set of pairs to disk."
    )
    parser.add_argument("--opt", "-opt", required=True, help="option file with a SynthesisDataset")
    parser.add_argument("--output", "-o", required=True, type=Path, help="a new folder")
    parser.add_argument(
        "--subset", nargs="+", choices=("train", "val", "test"), help="default: all there are"
    )
    parser.add_argument("--count", type=int, help="at most so many images of each subset")
    parser.add_argument("--force_yml", nargs="+", default=[], metavar="KEY:KEY=VALUE")
    return parser.parse_args(arguments)


def find_blocks(arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The dataset blocks to write, by subset.

    Raises:
        UserError: A subset is not there, or is not synthesised.
    """
    opt = prepare_run(load_options(arguments.opt, arguments.force_yml), training=True)
    sets = opt["datasets"]
    for name in arguments.subset or sets:
        if name not in sets:
            raise UserError(f"--subset: {arguments.opt} has no '{name}'; it has {', '.join(sets)}")
        if sets[name]["type"] != SynthesisDataset.__name__:
            raise UserError(
                f"{arguments.opt}: datasets.{name} is a {sets[name]['type']}, which holds pairs "
                f"already; expected a SynthesisDataset"
            )
    return {name: sets[name] for name in arguments.subset or sets}


def write_set(dataset: SynthesisDataset, folder: Path, count: int | None) -> None:
    """Write one subset."""
    chosen = range(len(dataset))[:count]
    stems = Counter(str(Path(dataset.samples[i][0]).with_suffix("")) for i in chosen)
    twice = [stem for stem, times in stems.items() if times > 1]
    if twice:
        raise UserError(f"{twice[0]}: several images bear that name but for their type; rename one")
    shown: list[tuple[str, Array, Array]] = []
    rows: list[dict[str, Any]] = []
    for index in tqdm(chosen, desc=folder.name, unit="image", disable=not sys.stderr.isatty()):
        name, lq, gt, drawn = dataset.synthesise(index)
        low, high = (np.round(image * 255).astype(np.uint8) for image in (lq, gt))
        for side, image in (("low", low), ("high", high)):
            write_image((folder / side / name).with_suffix(".png"), image)
        mean = {"mean_low": low.mean() / 255, "mean_high": high.mean() / 255}
        rows.append({"image": name} | {k: f"{v:.6g}" for k, v in {**drawn, **mean}.items()})
        if len(shown) < 4 * ACROSS:
            caption = "  ".join(f"{k[:4]} {v:.2f}" for k, v in list(drawn.items())[:3])
            shown.append((caption, low, high))
    with (folder / "parameters.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    write_image(folder / "contact_sheet.png", contact_sheet(shown))


def contact_sheet(shown: list[tuple[str, Array, Array]]) -> Array:
    """Captioned pictures, each dark one above its ground truth: (H, W, 3) uint8."""

    def fit(image: Array) -> Array:
        scale = CELL / max(image.shape[:2])
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        cell = np.full((CELL, CELL, 3), 255, np.uint8)
        cell[: size[1], : size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        return cell

    cells = []
    for caption, low, high in shown:
        line = np.full((22, CELL, 3), 255, np.uint8)
        cv2.putText(
            line, caption, (4, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (0, 0, 0), 1, cv2.LINE_AA
        )
        cells.append(np.concatenate((line, fit(low), fit(high))))
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % min(ACROSS, len(cells)))
    across = min(ACROSS, len(cells))
    rows = [np.concatenate(cells[i : i + across], 1) for i in range(0, len(cells), across)]
    return np.concatenate(rows)


@command_line
def main() -> None:
    """The command `enhancement/synthesize.py`."""
    arguments = parse()
    if arguments.count is not None and arguments.count < 1:
        raise UserError(f"--count: expected at least 1, but got {arguments.count}")
    output = arguments.output
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f"{output}: is there already, and not empty; name a new folder")
    blocks = find_blocks(arguments)
    for name, block in blocks.items():
        folder = arguments.output / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_set(SynthesisDataset(block), folder, arguments.count)
        except OSError as error:
            raise UserError(f"{folder}: cannot be written ({error})") from error
        print(f"Written: {folder}/{{low,high}}, parameters.csv, contact_sheet.png")


if __name__ == "__main__":
    sys.exit(main())
