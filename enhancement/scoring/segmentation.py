"""What enhancement does for the task behind it: masks that a segmentation network finds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from enhancement.archs.contract import contract_of
from enhancement.errors import UserError
from enhancement.inference.run import eval_mode, run_padded, run_stages
from enhancement.scoring.evaluation import MASK_PROTOCOL, Row, Scores, Watch
from enhancement.scoring.mask_metrics import dice, miou
from enhancement.weights.networks import build_from_file

INPUT, TRUTH = "dark input", "ground truth"
Sides = dict[str, Scores]


def segment(network: nn.Module, image: Tensor) -> Tensor:
    """A mask's logits, (B, 1, H, W), from an image (B, 3, H, W) of any size, clamped to [0, 1]."""
    return run_padded(network, image.clamp(0, 1))


def mask_scores(logits: Tensor, mask: Tensor) -> dict[str, float | None]:
    """Dice and mIoU of (B, 1, H, W) logits against masks of 0 and 1."""
    found, true = logits[:, 0] > 0, mask[:, 0] > 0.5
    return {"dice": dice(found, true).mean().item(), "miou": miou(found, true).mean().item()}


def load_segmentation(path: str | Path) -> nn.Module:
    """The segmentation network of a checkpoint of ours, frozen.

    Raises:
        UserError: The file holds another kind of network.
    """
    network, _ = build_from_file(path)
    if contract_of(network).gives != "mask":
        raise UserError(
            f"{path}: holds a {type(network).__name__}; expected a segmentation network, as "
            f"options/capsule/segmentation.yml trains"
        )
    return network.eval().requires_grad_(False)


def score_segmentation(
    network: nn.Module, segmenter: nn.Module, batches: Iterable[dict[str, Any]], dataset: str,
    device: torch.device,
) -> Sides:  # fmt: skip
    """Dice and mIoU of a frozen segmentation network on each side of enhancement.

    Args:
        network: Enhances; its stages count one by one where it has any.
        segmenter: Gives masks; trained beforehand, never changed here.
        batches: Of one image each: lq, gt, mask, lq_path.
        dataset: The set's name.
        device: Where to compute.

    Returns:
        Scores by side: the dark input, each stage's output, the ground truth.
    """
    sides: Sides = {}
    with eval_mode(network), eval_mode(segmenter):
        for batch in batches:
            lq, gt, mask = (batch[key].to(device) for key in ("lq", "gt", "mask"))
            images = {INPUT: lq, **run_stages(network, lq), TRUTH: gt}
            name = batch["name"][0] if "name" in batch else Path(batch["lq_path"][0]).name
            for side, image in images.items():
                found = mask_scores(segment(segmenter, image), mask)
                scores = sides.setdefault(side, Scores(MASK_PROTOCOL, dataset))
                scores.rows.append(Row(name, {}, found))
    return sides


def score_masks(
    segmenter: nn.Module, batches: Iterable[dict[str, Any]], dataset: str, device: torch.device,
    watch: Watch,
) -> Scores:  # fmt: skip
    """Dice and mIoU on well-exposed frames, for training a segmentation network.

    Args:
        segmenter: On `device`.
        batches: As for `score_segmentation`.
        dataset: The set's name.
        device: Where to compute.
        watch: Called with (name, gt, found mask, mask) for each image, all with three channels.
    """
    scores = Scores(MASK_PROTOCOL, dataset)
    with eval_mode(segmenter):
        for batch in batches:
            gt, mask = (batch[key].to(device) for key in ("gt", "mask"))
            logits = segment(segmenter, gt).float()
            found = mask_scores(logits, mask)
            name = batch["name"][0]
            scores.rows.append(Row(name, {}, found))
            watch(name, gt, (logits > 0).float().expand_as(gt), mask.expand_as(gt))
    return scores
