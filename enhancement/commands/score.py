"""`enhance score`: how good the images of a folder, or the frames of a video, are."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from tqdm import tqdm

from enhancement.data.clips import is_video
from enhancement.device import add_threads, get_device, resolve_num_gpu
from enhancement.files import check_place
from enhancement.scoring.folders import Named, score_folders
from enhancement.scoring.protocols import (
    NO_REFERENCE,
    SEGMENTATION,
    VIDEO,
    Protocol,
    get_protocol,
    protocols_for,
)
from enhancement.scoring.pyiqa_metrics import pyiqa_protocol
from enhancement.scoring.report import SCORES_FILE, as_csv, as_json, table, write_scores

HELP = "score images or a video, against ground truths or without"
EXAMPLES = """
enhance score outputs/ datasets/LOLv1/Test/target
enhance score outputs/ datasets/LOLv1/Test/target --protocol capsule -o results/theirs
enhance score enhanced.mp4 truth.mp4
enhance score outputs/ --inputs dark/
enhance score predicted_masks/ datasets/KvasirSEG/masks --masks --csv > masks.csv
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to score, against what, how, and where to write."""
    add = parser.add_argument
    add("outputs", metavar="OUTPUTS", help="folder (or LMDB) of images to score; or a video")
    gts = "folder (or LMDB), paired by name; or a video. Without: scored by no_reference"
    add("gts", metavar="GROUND_TRUTH", nargs="?", help=gts)
    add("--inputs", metavar="DIR", help="what the outputs were made from: LOE compares with it")
    add("--pyiqa", nargs="+", metavar="METRIC", help="by these metrics of pyiqa, if installed")
    how = parser.add_mutually_exclusive_group()
    names = list(protocols_for("image", "clip"))
    help_ = f"{', '.join(names)}; default: basicsr (videos: video; no ground truth: no_reference)"
    how.add_argument("--protocol", choices=names, metavar="P", help=help_)
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
    add_threads(parser)


def protocol_of(arguments: argparse.Namespace, device: torch.device) -> Protocol:
    """The protocol that is named, or else the one that suits what there is."""
    if arguments.pyiqa:
        return pyiqa_protocol(arguments.pyiqa, device)
    if arguments.masks:
        return SEGMENTATION
    if arguments.protocol:
        return get_protocol(arguments.protocol)
    if arguments.gts is None:
        return NO_REFERENCE
    return VIDEO if is_video(Path(arguments.outputs)) else get_protocol("basicsr")


def run(arguments: argparse.Namespace) -> int:
    """Score, print, write."""
    if arguments.output:
        check_place(arguments.output / SCORES_FILE)
    print(resolve_num_gpu("auto")[1], file=sys.stderr)

    def progress(names: list[Named]) -> tqdm:
        return tqdm(names, desc="Scoring", unit="image", disable=not sys.stderr.isatty())

    device = get_device("auto")
    scores = score_folders(
        arguments.outputs,
        arguments.gts,
        protocol_of(arguments, device),
        arguments.dataset or arguments.gts or arguments.outputs,
        device,
        inputs=arguments.inputs,
        progress=progress,
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
