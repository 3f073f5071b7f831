"""The command `enhancement/test_from_dataset.py`: score a network on a dataset."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

import torch

from enhancement import distributed
from enhancement.config.named_network import HELP as NETWORK_HELP
from enhancement.device import add_threads, use_threads
from enhancement.errors import UserError, command_line
from enhancement.inference.engines import add_engine
from enhancement.scoring.evaluation import Scores
from enhancement.scoring.protocols import protocols_for

from .plan import make_plan
from .report import report
from .score import score

GPUS = r"|(\d+|(GPU|MIG)-[\w/-]+)(,(\d+|(GPU|MIG)-[\w/-]+))*"  # as CUDA_VISIBLE_DEVICES takes them


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        "enhancement/test_from_dataset.py", description="Score weights on a dataset."
    )
    add = parser.add_argument
    add("--opt", "-opt", help="option file; not needed for weights that name their network")
    add("--weights", help="weights file")
    add("--network", metavar="NAME", help=NETWORK_HELP)
    add("--dataset", help="name of a dataset; default: the option file's test set")
    add("--data_root", type=Path, help="where that dataset lies")
    protocol = "default: the option file's, or that of the training"
    add("--protocol", choices=sorted(protocols_for("image", "clip")), help=protocol)
    segmentation = (
        "weights of a segmentation network: score its masks on the input, on each stage's output "
        "and on the ground truth; default: the one that the weights were trained through"
    )
    add("--segmentation", type=Path, metavar="W", help=segmentation)
    detector = (
        "a torchvision detector's weights or an ONNX graph: score what it finds in the input and "
        "in each stage's output, on a dataset with boxes (ExDark)"
    )
    add("--detector", metavar="FILE", help=detector)
    levels = "also score with the ground truth darkened to each of these exposures"
    add("--brightness_levels", nargs="+", type=float, metavar="L", help=levels)
    add("--self_ensemble", action="store_true", help="mean over 8 flips and rotations")
    add("--GT_mean", action="store_true", help="score by the protocol's +gtmean variant")
    no_reference = "also score by NIQE and LOE, which need no ground truth, in a table of its own"
    add("--no_reference", action="store_true", help=no_reference)
    add("--pyiqa", nargs="+", metavar="METRIC", help="also score by pyiqa's metrics, if installed")
    images = "write the enhanced images there, with --GT_mean as bright as they are scored"
    add("--save_images", "--output_dir", metavar="DIR", help=images)
    add_engine(parser)
    add("--gpus", metavar="IDS", help="which GPUs to use, as CUDA_VISIBLE_DEVICES")
    add("--result_dir", default="results", help="for tables; default: results")
    add("--force_yml", nargs="+", default=[], metavar="KEY:KEY=VALUE", help="override options")
    add_threads(parser)
    distributed.add_launcher(parser)
    return parser.parse_args(arguments)


def test(arguments: argparse.Namespace) -> tuple[Scores, Path]:
    """Plan, score, report; of several processes the first one reports.

    Returns:
        The scores, and the folder that they were written to.
    """
    use_threads(arguments.threads)
    place = distributed.start(arguments.launcher, cuda=torch.cuda.is_available())
    try:
        with distributed.synchronised_errors():
            plan = make_plan(arguments, *place)
        results = score(plan)
        with distributed.synchronised_errors():
            if plan.is_first:
                report(plan, results)
        return results.scores, plan.folder
    finally:
        distributed.stop()


@command_line
def main() -> None:
    """The command."""
    arguments = parse()
    if arguments.gpus is not None:
        if not re.fullmatch(GPUS, arguments.gpus):
            raise UserError(f"--gpus: expected numbers such as 0,1, but got '{arguments.gpus}'")
        os.environ["CUDA_VISIBLE_DEVICES"] = arguments.gpus  # read when CUDA starts
    test(arguments)
