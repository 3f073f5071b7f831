"""Score a network's weights on a dataset by a named protocol.

python enhancement/test_from_dataset.py --opt options/lol_v1/hdrnet.yml --weights W --dataset LOL_v1
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from enhancement.archs.contract import contract_of
from enhancement.config.load import Merged, Options, derive_sets, load_options, prepare_run
from enhancement.data.images import save_picture, write_image
from enhancement.data.loader import eval_loader
from enhancement.device import get_device, resolve_num_gpu
from enhancement.errors import UserError, command_line, hint
from enhancement.inference.complexity import parameter_count
from enhancement.inference.side_by_side import write_picture
from enhancement.paths import OPTIONS
from enhancement.registry import ARCH_REGISTRY, build
from enhancement.scoring.brightness import sweep, sweep_table, write_sweep
from enhancement.scoring.brightness_plot import curve
from enhancement.scoring.evaluation import Scores, evaluate
from enhancement.scoring.protocols import GT_MEAN, SEGMENTATION, get_protocol, protocols_for
from enhancement.scoring.report import sides_table, table, write_scores
from enhancement.scoring.segmentation import (
    load_segmentation,
    score_masks,
    score_segmentation,
)
from enhancement.scoring.thumbnails import THUMBNAILS, thumbnail, write_thumbnails
from enhancement.weights.networks import build_from_file
from enhancement.weights.provenance import git_commit
from enhancement.weights.state_dicts import load_weights

SHOWN = 4


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        "enhancement/test_from_dataset.py", description="Score weights on a dataset."
    )
    parser.add_argument("--opt", "-opt", help="option file; not needed for our own checkpoints")
    parser.add_argument("--weights", required=True, help="weights file")
    parser.add_argument("--dataset", help="name of a dataset; the option file's test set if absent")
    parser.add_argument("--data_root", type=Path, help="where that dataset lies")
    parser.add_argument(
        "--protocol",
        choices=sorted(protocols_for("image")),
        help="default: the option file's, or that of the training",
    )
    parser.add_argument(
        "--segmentation", type=Path, metavar="W",
        help="weights of a segmentation network: score its masks on the input, on each stage's "
        "output and on the ground truth; default: the one that the weights were trained through",
    )  # fmt: skip
    parser.add_argument(
        "--brightness_levels", nargs="+", type=float, metavar="L",
        help="also score with the ground truth darkened to each of these exposures",
    )  # fmt: skip
    parser.add_argument("--self_ensemble", action="store_true", help="8 flips and rotations, mean")
    parser.add_argument(
        "--GT_mean", action="store_true", help="score by the protocol's +gtmean variant"
    )
    parser.add_argument(
        "--save_images", "--output_dir", metavar="DIR", help="write the enhanced images there"
    )
    parser.add_argument("--gpus", metavar="IDS", help="the GPUs to see, as CUDA_VISIBLE_DEVICES")
    parser.add_argument("--result_dir", default="results", help="for tables; default: results")
    parser.add_argument("--force_yml", nargs="+", default=[], metavar="KEY:KEY=VALUE")
    return parser.parse_args(arguments)


def known_datasets() -> dict[str, Path]:
    """Datasets that options/base/datasets describes, by lower-case name."""
    return {path.stem: path for path in sorted((OPTIONS / "base" / "datasets").glob("*.yml"))}


def find_block(opt: Options | None, name: str | None) -> tuple[Path | None, str]:
    """Which block of which file describes a dataset.

    Args:
        opt: The option file's content, if one was given.
        name: The dataset; None takes the option file's test set.

    Returns:
        The file under options/base/datasets, or None for the option file itself; and the block.

    Raises:
        UserError: No such dataset; lists them.
    """
    sets = opt["datasets"] if opt else {}
    keys = [key for key in sets if key.startswith("test")] + [k for k in sets if k == "val"]
    for key in keys:
        if name is None or name in (key, sets[key]["name"]):
            return None, key
    if name is None:
        raise UserError("the option file has no test set; name one with --dataset")
    known = known_datasets()
    if name.lower() not in known:
        names = {*known, *(sets[key]["name"] for key in keys)}
        raise UserError(f"--dataset: unknown dataset '{name}'; {hint(name, names)}")
    return known[name.lower()], "test"


def with_root(block: dict[str, Any], root: Path | None) -> dict[str, Any]:
    """The block with its images under another root."""
    if root is None:
        return block
    if "dataroot_lq" in block:
        raise UserError(
            "--data_root: this dataset has two roots; override them with --force_yml "
            "datasets:test:dataroot_lq=... datasets:test:dataroot_gt=..."
        )
    if "layout" in block:
        return {**block, "dataroot": root}
    moved = {}
    for key in ("dataroot_gt", "dataroot_mask"):
        if block.get(key):
            inside = Path(*Path(block[key]).parts[2:])  # datasets/KvasirSEG/images: "images"
            moved[key] = str(root / inside)
    if not Path(moved["dataroot_gt"]).is_dir() and "dataroot_mask" not in moved:
        moved["dataroot_gt"] = str(root)
    return {**block, **moved}


def build_network(
    arguments: argparse.Namespace, opt: Options | None
) -> tuple[nn.Module, dict[str, Any]]:
    """The network with its weights, and what the weights file says of itself."""
    if opt is None:
        return build_from_file(arguments.weights)
    network = build(ARCH_REGISTRY, opt["network_g"])
    return network, load_weights(
        network, arguments.weights, opt["path"]["param_key_g"], opt["path"]["strict_load_g"]
    )


def load(arguments: argparse.Namespace) -> Options | None:
    """The option file, checked together with the weights; None where there is none."""
    if arguments.opt:
        return load_options(arguments.opt, arguments.force_yml, False, set(), arguments.weights)
    if arguments.force_yml:
        raise UserError("--force_yml: changes an option file, but there is none; give --opt")
    return None


def load_block(arguments: argparse.Namespace, opt: Options | None) -> dict[str, Any]:
    """The dataset's block, ready to build."""
    path, key = find_block(opt, arguments.dataset)
    if path is None:
        assert opt is not None
        block = prepare_run(opt, training=False)["datasets"][key]
    else:
        merged = Merged(path)
        merged.force([s for s in arguments.force_yml if s.startswith("datasets:")])
        block = {**derive_sets(merged.options)["datasets"][key], "phase": "test", "scale": 1}
    return with_root(block, arguments.data_root)


def notes_of(arguments: argparse.Namespace, opt: Options | None, meta: dict[str, Any]) -> list[str]:
    """What a reader of the table must know of the weights."""
    notes = []
    best = meta.get("best")
    if meta.get("selected") == "best" and best:
        where = "ON THE TEST SET, as asked for" if best["on_test_set"] else "on held-out images"
        notes.append(
            f"checkpoint of iteration {best['iteration']}, chosen {where} ({best['dataset']}, "
            f"{best['metric']} {best['value']:.3f} by {best['protocol']})"
        )
    if opt and meta.get("network_g") not in (None, opt["network_g"]):
        notes.append("the weights were trained with other network options than the option file's")
    if arguments.self_ensemble:
        notes.append("self-ensemble of 8 flips and rotations")
    return notes


def check_levels(levels: list[float]) -> None:
    """Refuse exposures that no image can have."""
    for level in levels:
        if not 0 < level <= 1:
            raise UserError(f"--brightness_levels: expected exposures in (0, 1], but got {level:g}")


def find_segmenter(
    arguments: argparse.Namespace, meta: dict[str, Any], masked: bool
) -> nn.Module | None:
    """The segmentation network to score masks with; None where there is none, or no masks.

    Raises:
        UserError: One was named, but it or the masks are not there.
    """
    if arguments.self_ensemble:
        if arguments.segmentation:
            raise UserError("--segmentation: scores masks without --self_ensemble; leave one out")
        return None
    if arguments.segmentation:
        if not masked:
            raise UserError("--segmentation: this dataset has no masks; set its dataroot_mask")
        return load_segmentation(arguments.segmentation)
    trained = meta.get("frozen", {}).get("segmentation", {}).get("file")
    if not masked or not trained:
        return None
    if not Path(trained).is_file():
        print(f"note: {trained} is not there; --segmentation names it elsewhere")
        return None
    return load_segmentation(trained)


def protocol_name(
    arguments: argparse.Namespace, opt: Options | None, network: nn.Module, meta: dict[str, Any]
) -> str:
    """The protocol to score by.

    Raises:
        UserError: One that does not score what the network gives.
    """
    if contract_of(network).gives == "mask":
        for flag in ("protocol", "GT_mean", "self_ensemble", "segmentation", "brightness_levels"):
            if getattr(arguments, flag):
                raise UserError(
                    f"--{flag}: is for images, but {type(network).__name__} gives masks"
                )
        return SEGMENTATION.name
    trained_by = meta["protocol"] if meta.get("protocol") in protocols_for("image") else "basicsr"
    name: str = arguments.protocol or (opt["val"]["protocol"] if opt else trained_by)
    return name + GT_MEAN if arguments.GT_mean and not name.endswith(GT_MEAN) else name


def test(arguments: argparse.Namespace) -> tuple[Scores, Path]:
    """Score, print, write; the scores and the folder they were written to."""
    check_levels(arguments.brightness_levels or [])
    opt = load(arguments)
    network, meta = build_network(arguments, opt)
    name = protocol_name(arguments, opt, network, meta)
    block = load_block(arguments, opt)
    loader = eval_loader(block)
    if name == SEGMENTATION.name and not getattr(loader.dataset, "masks", None):
        raise UserError(f"--dataset: {block['name']} has no masks; set its dataroot_mask")
    num_gpu = opt["num_gpu"] if opt else "auto"
    device = get_device(num_gpu)
    segmenter = find_segmenter(arguments, meta, bool(getattr(loader.dataset, "masks", None)))
    network.to(device)
    print(resolve_num_gpu(num_gpu)[1])
    label = opt["name"] if opt else meta.get("name", Path(arguments.weights).stem)
    weights = Path(arguments.weights).stem + ("_self_ensemble" if arguments.self_ensemble else "")
    folder = Path(arguments.result_dir) / label / block["name"] / name / weights
    rows: list[tuple[Tensor, ...]] = []
    kept: list[tuple[bytes, ...]] = []

    def watch(image_name: str, lq: Tensor, output: Tensor, gt: Tensor) -> None:
        if len(rows) < SHOWN:
            rows.append((lq.cpu(), output.cpu(), gt.cpu()))
        if len(kept) < THUMBNAILS:
            kept.append(tuple(thumbnail(x) for x in (lq, output, gt)))
        if arguments.save_images:
            save_picture(Path(arguments.save_images, image_name).with_suffix(".png"), output)

    batches = tqdm(loader, desc="Testing", unit="image", disable=not sys.stderr.isatty())
    if name == SEGMENTATION.name:
        scores = score_masks(network, batches, block["name"], device, watch)
    else:
        scores = evaluate(
            network,
            batches,
            get_protocol(name),
            block["name"],
            device,
            metrics=get_protocol(name).names,
            ensemble=arguments.self_ensemble,
            watch=watch,
            multiple=opt["val"]["window_size"] if opt else 1,
        )
    scores.notes += notes_of(arguments, opt, meta)
    about = {
        "name": label,
        "network_g": opt["network_g"] if opt else meta["network_g"],
        "parameters": parameter_count(network),
        "weights": str(arguments.weights),
        "trained": {k: v for k, v in meta.items() if k != "network_g"},
        "self_ensemble": arguments.self_ensemble,
        "torch": torch.__version__,
        "commit": git_commit(),
    }
    tables = [table(scores)]
    if segmenter:
        sides = score_segmentation(network, segmenter.to(device), loader, block["name"], device)
        about["segmentation"] = {side: found.mean() for side, found in sides.items()}
        tables.append(sides_table(sides))
    files = list(write_scores(folder, scores, about))
    picture = write_picture(folder / "comparison.png", rows)
    write_thumbnails(folder, kept)
    files.append(picture)
    if arguments.brightness_levels:
        levels = sorted(set(arguments.brightness_levels))
        found = sweep(network, block, levels, get_protocol(name), device, arguments.self_ensemble)
        tables.append(sweep_table(found))
        files.append(write_sweep(folder, found))
        files.append(folder / "brightness.png")
        write_image(files[-1], curve(found))
    print("\n\n".join(tables))
    print("Written:", *files)
    if arguments.save_images:
        print(f"Images: {arguments.save_images}")
    return scores, folder


@command_line
def main() -> None:
    """The command `enhancement/test_from_dataset.py`."""
    arguments = parse()
    if arguments.gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = arguments.gpus  # read when CUDA starts
    test(arguments)
