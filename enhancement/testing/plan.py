"""What is to be scored on what, and how: decided, or refused, before any image is read."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from enhancement.config.load import load_config
from enhancement.config.named_network import NamedNetwork, named_network, one_of
from enhancement.config.schema import Config
from enhancement.data.base_dataset import EnhancementDataset
from enhancement.data.blocks import DatasetBlock
from enhancement.data.boxes import Boxes
from enhancement.data.loader import eval_loader
from enhancement.device import get_device, resolve_num_gpu
from enhancement.errors import UserError
from enhancement.files import check_place
from enhancement.paths import inside
from enhancement.scoring.brightness import at_level
from enhancement.scoring.detectors import Detector, load_detector
from enhancement.scoring.metrics import PSNR
from enhancement.scoring.protocols import Protocol
from enhancement.scoring.report import SCORES_FILE
from enhancement.weights.networks import build_from_file
from enhancement.weights.state_dicts import load_weights, weights_hash

from .dataset import chosen_dataset
from .judges import chosen_boxes, chosen_segmenter
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
    block = chosen_dataset(arguments, config)
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
    segmenter = chosen_segmenter(arguments, config, meta, masked)
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
        boxes=chosen_boxes(arguments, block, loader.dataset, world_size),
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
