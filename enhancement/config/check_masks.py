"""What can be wrong with frozen parts, masks and segmentation; a part of option_check.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

from enhancement.archs.contract import contract_of
from enhancement.config.schema import loss_options
from enhancement.data.base_dataset import EnhancementDataset
from enhancement.errors import UserError, hint
from enhancement.models.segmentation_guided_model import SEGMENTATION, SegmentationGuidedModel
from enhancement.models.segmentation_losses import MaskLoss
from enhancement.models.segmentation_model import SegmentationModel
from enhancement.paths import locate, missing_hint
from enhancement.registry import DATASET_REGISTRY, MODEL_REGISTRY, lookup
from enhancement.scoring.metrics import METRICS
from enhancement.scoring.protocols import PROTOCOLS, get_protocol
from enhancement.scoring.segmentation import load_segmentation
from enhancement.weights.parts import part_state
from enhancement.weights.state_dicts import misfits

if TYPE_CHECKING:
    from enhancement.config.check import Checker


def check_segmentation(checker: Checker, network: nn.Module, training: bool) -> None:
    """Report what does not fit between model, network, losses and masks."""
    name = str(checker.opt.get("model_type"))
    gives_mask = contract_of(network).gives == "mask"
    segments, guided = checker.trains(SegmentationModel), checker.trains(SegmentationGuidedModel)
    if segments != gives_mask and (segments or training):
        expected = "a network that gives a mask" if segments else "`model_type: SegmentationModel`"
        checker.report(
            ("network_g",), f"{type(network).__name__} under {name}: expected {expected}"
        )
    _select_by(checker)
    if not (segments or guided):
        _without_masks(checker, name)
    elif training:
        _with_masks(checker, name)
    if training:
        _frozen(checker, network, guided)


def _select_by(checker: Checker) -> None:
    """Report a metric of images that the protocol has not."""
    val = checker.block("val")
    name, chosen = str(val.get("protocol", "basicsr")), str(val.get("select_by", "psnr"))
    if name in PROTOCOLS and chosen in METRICS and METRICS[chosen].compares == "image":
        names = PROTOCOLS[name].names
        if chosen not in names:
            text = f"protocol {name} has no {chosen}; valid: {', '.join(names)}"
            checker.report(("val", "select_by"), text)


def is_mask_loss(checker: Checker, block: dict[str, Any]) -> bool:
    """Whether a loss compares masks."""
    try:
        return issubclass(checker.loss_type(block), MaskLoss)
    except UserError:
        return False


def _without_masks(checker: Checker, name: str) -> None:
    for loss, block in loss_options(checker.block("train")).items():
        if is_mask_loss(checker, block):
            checker.report(
                ("train", f"{loss}_opt", "type"),
                f"{block['type']} compares masks, which {name} has none of; expected "
                f"`model_type: SegmentationModel` or `SegmentationGuidedModel`",
            )
    if checker.block("val").get("select_by") in get_protocol("segmentation").names:
        checker.report(("val", "select_by"), f"{name} has no masks to score; expected psnr or ssim")


def _with_masks(checker: Checker, name: str) -> None:
    losses = loss_options(checker.block("train"))
    if losses and not any(is_mask_loss(checker, block) for block in losses.values()):
        checker.report(("train",), f"{name} needs a loss of masks: DiceBCELoss or StructureLoss")
    if checker.trains(SegmentationModel):
        for loss, block in losses.items():
            if not is_mask_loss(checker, block):
                checker.report(("train", f"{loss}_opt", "type"), "does not compare masks")
        if checker.block("val").get("select_by") not in get_protocol("segmentation").names:
            checker.report(("val", "select_by"), f"{name} scores masks; expected dice or miou")
    if checker.block("train", "mixing_augs"):
        checker.report(
            ("train", "mixing_augs"), f"mixes images but not masks; {name} cannot use it"
        )
    for key, block in checker.block("datasets").items():
        if isinstance(block, dict) and _lacks_masks(block):
            checker.report(
                ("datasets", key), f"has no masks, which {name} needs; set dataroot_mask"
            )


def _lacks_masks(block: dict[str, Any]) -> bool:
    try:
        kind = lookup(DATASET_REGISTRY, str(block.get("type")))
        return not issubclass(kind, EnhancementDataset) or not kind.Options.pick(block).masks()
    except (UserError, TypeError, ValueError):
        return False  # said elsewhere


def _frozen(checker: Checker, network: nn.Module, guided: bool) -> None:
    files = checker.block("train", "frozen")
    if guided and SEGMENTATION not in files:
        checker.report(
            ("train", "frozen", SEGMENTATION),
            "missing; expected the checkpoint of a segmentation network",
        )
    try:
        own = lookup(MODEL_REGISTRY, str(checker.opt.get("model_type"))).own_frozen
    except (UserError, AttributeError):
        return
    parts = [name for name, _ in network.named_modules() if name]
    for name, path in files.items():
        at = ("train", "frozen", name)
        if name not in own and name not in parts:
            top = [n for n, _ in network.named_children()]
            text = f"{type(network).__name__} has no such part; {hint(name, [*top, *own])}"
            checker.report(at, text)
        elif checker.files_of is not None:
            continue
        elif not isinstance(path, str) or not locate(path).is_file():
            text = f"{path}: no such file; train that stage first, or {missing_hint(str(path))}"
            checker.report(at, text)
        else:
            with checker.errors_of(*at):
                if name in own:
                    load_segmentation(locate(path))
                    continue
                part = network.get_submodule(name)
                state = part_state(locate(path), name, part)
                for fault in misfits(part, state):
                    checker.report(at, f"{path}: does not fit {name}: {fault}")
    if files and len(files) > len(own) and not any(
        n.split(".")[0] not in files for n, _ in network.named_parameters()
    ):  # fmt: skip
        checker.report(("train", "frozen"), "leaves nothing to train")
