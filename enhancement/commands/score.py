"""`enhance score`: how close the images of one folder come to those of another."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from enhancement.device import get_device, resolve_num_gpu
from enhancement.scoring.folders import score_folders
from enhancement.scoring.protocols import SEGMENTATION, protocols_for
from enhancement.scoring.report import as_csv, as_json, table, write_scores

HELP = "score a folder of outputs against a folder of ground truths"
EXAMPLES = """
enhance score outputs/ datasets/LOLv1/Test/target
enhance score outputs/ datasets/LOLv1/Test/target --protocol capsule -o results/theirs
enhance score predicted_masks/ datasets/KvasirSEG/masks --masks --csv > masks.csv
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Two folders, how to score, where to write."""
    parser.add_argument("outputs", metavar="OUTPUTS", help="folder (or LMDB) of images to score")
    parser.add_argument("gts", metavar="GROUND_TRUTH", help="folder (or LMDB), paired by name")
    how = parser.add_mutually_exclusive_group()
    names = list(protocols_for("image"))
    help_ = f"{', '.join(names)}; default: basicsr"
    how.add_argument("--protocol", choices=names, default="basicsr", metavar="P", help=help_)
    how.add_argument(
        "--masks", action="store_true", help="Dice and mIoU of masks, thresholded at 127"
    )
    parser.add_argument("--dataset", metavar="NAME", help="for the table; default: GROUND_TRUTH")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--csv", action="store_true", help="print CSV instead of a table")
    shape.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="write scores.csv and scores.json there"
    )


def run(arguments: argparse.Namespace) -> int:
    """Score, print, write."""
    print(resolve_num_gpu("auto")[1], file=sys.stderr)

    def progress(pairs: list[tuple[str, str]]) -> tqdm:
        return tqdm(pairs, desc="Scoring", unit="image", disable=not sys.stderr.isatty())

    scores = score_folders(
        arguments.outputs,
        arguments.gts,
        SEGMENTATION.name if arguments.masks else arguments.protocol,
        arguments.dataset or arguments.gts,
        get_device("auto"),
        progress,
    )
    about = {
        "name": Path(arguments.outputs).resolve().name,
        "outputs": arguments.outputs,
        "gt": arguments.gts,
    }
    if arguments.csv:
        print(as_csv(scores), end="")
    elif arguments.json:
        print(as_json(scores, about), end="")
    else:
        print(table(scores))
    if arguments.output:
        print("Written:", *write_scores(arguments.output, scores, about), file=sys.stderr)
    return 0
