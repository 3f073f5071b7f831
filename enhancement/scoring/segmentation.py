"""What enhancement does for the task behind it: the masks that a segmentation network finds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from enhancement.archs.contract import contract_of
from enhancement.errors import UserError
from enhancement.inference.run import eval_mode, run_padded, run_stages
from enhancement.scoring.evaluation import Row, Scorer, Scores, Watch, samples
from enhancement.scoring.protocols import SEGMENTATION
from enhancement.weights.networks import build_from_file

INPUT, TRUTH = "dark input", "ground truth"
Sides = dict[str, Scores]


def segment(network: nn.Module, image: Tensor) -> Tensor:
    """A mask's logits, (B, 1, H, W), from an image (B, 3, H, W) of any size, clamped to [0, 1]."""
    return run_padded(network, image.clamp(0, 1))


def foreground(logits: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """What is foreground in logits and in a mask of 0 and 1: (B, 1, H, W) to boolean (B, H, W)."""
    return logits[:, 0] > 0, mask[:, 0] > 0.5


def mask_scores(logits: Tensor, mask: Tensor) -> dict[str, float]:
    """Dice and mIoU of (B, 1, H, W) logits against masks of 0 and 1."""
    return SEGMENTATION.score(*foreground(logits, mask))


def load_segmentation(path: str | Path) -> nn.Module:
    """The segmentation network of one of our checkpoints, frozen.

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
    network: nn.Module,
    segmenter: nn.Module,
    batches: Iterable[dict[str, Any]],
    dataset: str,
    device: torch.device,
) -> Sides:
    """Dice and mIoU of a frozen segmentation network before, during and after enhancement.

    Args:
        network: Enhances; where it has several stages, each one is scored.
        segmenter: Gives masks; trained beforehand, never changed here.
        batches: Of one image each: lq, gt, mask, lq_path.
        dataset: The set's name.
        device: Where to compute.

    Returns:
        Scores by what was segmented: the dark input, each stage's output, the ground truth.
    """
    sides: Sides = {}
    score = Scorer(SEGMENTATION, device)
    with eval_mode(network), eval_mode(segmenter):
        for name, sample in samples(batches, device):
            lq, gt, mask = (sample[key] for key in ("lq", "gt", "mask"))
            images = {INPUT: lq, **run_stages(network, lq), TRUTH: gt}
            for side, image in images.items():
                found = score(*foreground(segment(segmenter, image), mask))
                scores = sides.setdefault(side, Scores(SEGMENTATION.name, dataset))
                scores.rows.append(Row(name, {}, found))
    return sides


def score_masks(
    segmenter: nn.Module,
    batches: Iterable[dict[str, Any]],
    dataset: str,
    device: torch.device,
    watch: Watch,
) -> Scores:
    """Dice and mIoU on well-exposed frames, for training a segmentation network.

    Args:
        segmenter: On `device`.
        batches: As for `score_segmentation`.
        dataset: The set's name.
        device: Where to compute.
        watch: Called with (name, gt, found mask, mask) for each image, all with three channels.
    """
    scores = Scores(SEGMENTATION.name, dataset)
    score = Scorer(SEGMENTATION, device)
    with eval_mode(segmenter):
        for name, sample in samples(batches, device):
            gt, mask = sample["gt"], sample["mask"]
            logits = segment(segmenter, gt).float()
            scores.rows.append(Row(name, {}, score(*foreground(logits, mask))))
            watch(name, gt, (logits > 0).float().expand_as(gt), mask.expand_as(gt))
    return scores
