"""What is to be scored on what, and how: decided, or refused, before any image is read."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from enhancement.config.datasets import dataset_block, derive_sets
from enhancement.config.files import OptionFile, named_files
from enhancement.config.load import load_config
from enhancement.config.named_network import NamedNetwork, named_network, one_of
from enhancement.config.schema import Config
from enhancement.data.base_dataset import EnhancementDataset
from enhancement.data.blocks import DatasetBlock
from enhancement.data.boxes import Boxes
from enhancement.data.loader import eval_loader
from enhancement.device import get_device, resolve_num_gpu
from enhancement.errors import UserError, hint
from enhancement.files import check_place
from enhancement.paths import DATA_VARIABLE, inside
from enhancement.scoring.brightness import at_level
from enhancement.scoring.detectors import Detector, load_detector
from enhancement.scoring.metrics import PSNR
from enhancement.scoring.protocols import (
    DETECTION,
    Protocol,
)
from enhancement.scoring.report import SCORES_FILE
from enhancement.scoring.segmentation import load_segmentation
from enhancement.weights.networks import build_from_file
from enhancement.weights.state_dicts import load_weights, weights_hash

from .protocols import choose_protocol, extra_protocols


@dataclass
class Plan:
    """Everything that scoring works with.

    Attributes:
        arguments: The command line's.
        config: The option file, where one was given.
        named: What `--network` names, where that was given.
        network: With its weights, on `device`.
        meta: What the weights file says of itself; of `--network`, its name and its options.
        block, loader: The dataset.
        protocol: How it is scored.
        extra: Protocols to score by as well, in tables of their own.
        device, device_note: Where, and why there.
        segmenter: The network whose masks are scored as well, or None.
        detector, boxes: What finds objects, scored as well, and those that are there; or None.
        levels: Brightness levels to score at as well.
        rank, world_size: This process, and how many share the images.
    """

    arguments: argparse.Namespace
    config: Config | None
    named: NamedNetwork | None
    network: nn.Module
    meta: dict[str, Any]
    block: DatasetBlock
    loader: Any
    protocol: Protocol
    extra: list[Protocol]
    device: torch.device
    device_note: str
    segmenter: nn.Module | None
    detector: Detector | None
    boxes: Boxes | None
    levels: list[float]
    rank: int = 0
    world_size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that reports."""
        return self.rank == 0

    @property
    def label(self) -> str:
        """The name that results are filed under.

        That of the run in the option file; of a network without weights; or the name that is
        stored in the weights, or else their file's.
        """
        if self.config and not self.named:
            return self.config.name
        if self.named:
            return self.named.block.type
        return str(self.meta.get("name", Path(self.arguments.weights).stem))

    @property
    def folder(self) -> Path:
        """Where the results go."""
        return self.folder_of(self.protocol.name)

    def folder_of(self, protocol: str) -> Path:
        """Where the results by a protocol go.

        Published files often share a name; those that say nothing of themselves are told apart by
        their weights' hash.
        """
        weights = self.named.settings if self.named else Path(self.arguments.weights).stem
        if not (self.named or self.config or "name" in self.meta):
            weights += f"_{weights_hash(self.network)[:8]}"
        weights += "_self_ensemble" if self.arguments.self_ensemble else ""
        names = self.label, self.block.name, protocol, weights
        return inside(self.arguments.result_dir, *names, said="the folder for the results")

    @property
    def network_g(self) -> dict[str, Any]:
        """The network's options."""
        if self.config and not self.named:
            return self.config.network_g.options
        options: dict[str, Any] = self.meta["network_g"]
        return options


def make_plan(arguments: argparse.Namespace, rank: int = 0, world_size: int = 1) -> Plan:
    """Read what the command line names.

    Args:
        arguments: The command line's.
        rank, world_size: Every process scores one image in `world_size`, from `rank` on.

    Raises:
        UserError: Something is missing, arguments contradict each other, or nothing can be written.
    """
    for level in arguments.brightness_levels or []:
        if not 0 < level <= 1:
            raise UserError(f"--brightness_levels: expected exposures in (0, 1], but got {level:g}")
    one_of(arguments.weights, arguments.network)
    named = named_network(arguments.network) if arguments.network else None
    config = _config(arguments)
    network, meta = _network(arguments, config, named)
    block = _block(arguments, config)
    protocol = choose_protocol(arguments, config, network, meta, block)
    if protocol.compares == "clip" and world_size > 1:
        raise UserError(f"protocol {protocol.name} follows clips in one process; start one")
    levels = sorted(set(arguments.brightness_levels or []))
    if levels:
        at_level(block, levels[0])
        if PSNR.name not in protocol.names:
            raise UserError(f"--brightness_levels: protocol {protocol.name} has no {PSNR.name}")
    loader = eval_loader(block, rank, world_size)
    if len(loader.dataset) < world_size:
        raise UserError(f"{block.name}: {len(loader.dataset)} images for {world_size} processes")
    masked = bool(getattr(loader.dataset, "masks", None))
    if protocol.compares == "mask" and not masked:
        raise UserError(f"--dataset: {block.name} has no masks; set its dataroot_mask")
    num_gpu = config.num_gpu if config else "auto"
    device = get_device(num_gpu)
    segmenter = _segmenter(arguments, meta, masked)
    plan = Plan(
        arguments=arguments,
        config=config,
        named=named,
        network=network.to(device),
        meta=meta,
        block=block,
        loader=loader,
        protocol=protocol,
        extra=extra_protocols(arguments, protocol, block, device),
        device=device,
        device_note=resolve_num_gpu(num_gpu)[1],
        segmenter=segmenter.to(device) if segmenter else None,
        boxes=_boxes(arguments, block, loader.dataset, world_size),
        detector=load_detector(arguments.detector, device) if arguments.detector else None,
        levels=levels,
        rank=rank,
        world_size=world_size,
    )
    check_place(plan.folder / SCORES_FILE)
    if arguments.save_images:
        _check_pictures(arguments.save_images, loader.dataset)
    return plan


def _check_pictures(folder: str, dataset: Any) -> None:
    """Refuse a folder for pictures in which they would take the place of the dataset's own.

    Raises:
        UserError: It is one of the dataset's, or lies in one; nothing can be written there.
    """
    place = Path(folder).resolve()
    for own in dataset.folders() if isinstance(dataset, EnhancementDataset) else ():
        if own.resolve() in (place, *place.parents):
            raise UserError(f"--save_images {folder}: holds the dataset's images; choose another")
    check_place(place / SCORES_FILE)


def _config(arguments: argparse.Namespace) -> Config | None:
    """The option file, checked together with the weights; None where there is none."""
    if arguments.opt:
        return load_config(
            arguments.opt,
            arguments.force_yml,
            training=False,
            files_of=set(),
            weights=arguments.weights,
        )
    if arguments.force_yml:
        raise UserError("--force_yml: changes an option file, but there is none; give --opt")
    return None


def _network(
    arguments: argparse.Namespace, config: Config | None, named: NamedNetwork | None
) -> tuple[nn.Module, dict[str, Any]]:
    """The network with its weights, and what the weights file says of itself."""
    if named:
        return named.network, {"network_g": named.block.options}
    if config is None:
        return build_from_file(arguments.weights)
    network, path = config.network_g.build(), config.path
    return network, load_weights(network, arguments.weights, path.param_key_g, path.strict_load_g)


def _block(arguments: argparse.Namespace, config: Config | None) -> DatasetBlock:
    """The dataset: one of the option file's sets, or a file under options/datasets.

    Raises:
        UserError: No such dataset; lists them.
    """
    name = arguments.dataset
    own = [b for b in config.datasets.values() if b.phase == "test"] if config else []
    own += [config.datasets["val"]] if config and "val" in config.datasets else []
    for block in own:
        if name is None or name in (block.key, block.name):
            return with_root(block, arguments.data_root)
    if name is None:
        raise UserError("the option file has no test set; name one with --dataset")
    known = named_files("datasets")
    if name.lower() not in known:
        names = {*known, *(block.name for block in own)}
        raise UserError(f"--dataset: unknown dataset '{name}'; {hint(name, names)}")
    file = OptionFile(known[name.lower()])
    file.force([s for s in arguments.force_yml if s.startswith("datasets:")])
    options = derive_sets(file.options["datasets"])["test"]
    return with_root(dataset_block("test", options), arguments.data_root)


def with_root(block: DatasetBlock, root: Path | None) -> DatasetBlock:
    """The dataset with its images under another root."""
    options = block.options
    if root is None:
        return block
    if "dataroot_lq" in options and block.gives_truth:
        raise UserError(
            "--data_root: this dataset has two roots; override them with --force_yml "
            "datasets:test:dataroot_lq=... datasets:test:dataroot_gt=..."
        )
    if "layout" in options:
        return replace(block, options={**options, "dataroot": str(root)})
    if block.parts != [block]:
        raise UserError(
            f"--data_root: {block.name} is made of several sets, each with a root of its own; set "
            f"{DATA_VARIABLE} to the folder that holds them"
        )
    moved = {}
    main = "dataroot_gt" if block.gives_truth else "dataroot_lq"
    for key in (main, "dataroot_mask", "dataroot_boxes"):
        if options.get(key):
            inside = Path(*Path(options[key]).parts[2:])  # datasets/KvasirSEG/images: "images"
            moved[key] = str(root / inside)
    if not Path(moved[main]).is_dir() and len(moved) == 1:
        moved[main] = str(root)
    return replace(block, options={**options, **moved})


def _boxes(
    arguments: argparse.Namespace, block: DatasetBlock, dataset: Any, world_size: int
) -> Boxes | None:
    """The objects that `--detector` is scored by; None without it.

    Raises:
        UserError: The dataset says of none, or they cannot be scored here.
    """
    if not arguments.detector:
        return None
    root = block.options.get("dataroot_boxes")
    if not root:
        raise UserError(f"--detector: {block.name} has no boxes; set its dataroot_boxes")
    if world_size > 1 or arguments.self_ensemble:
        raise UserError("--detector: is scored by one process, without --self_ensemble")
    for metric in DETECTION.metrics:
        metric.prepare(torch.device("cpu"))
    return Boxes(root, dataset.sources[0])


def _segmenter(
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
    trained = meta.get("frozen", {}).get("segmentation")
    if not masked or not trained:
        return None
    file, here = trained["file"], Path()
    try:  # the weights file names it, so that it must lie here and be the one that was trained with
        found = load_segmentation(inside(here, file)) if (here / file).exists() else None
    except UserError:
        found = None
    if found is None or weights_hash(found) != trained["sha256"]:
        print(f"note: {file} is not there; --segmentation names it elsewhere")
        return None
    return found
