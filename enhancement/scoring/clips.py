"""Enhance clips and score them: the frames' metrics averaged, the temporal ones over the whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import PurePosixPath
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from enhancement.errors import UserError
from enhancement.inference.run import eval_mode
from enhancement.scoring.evaluation import Row, Scorer, Scores, Watch, enhanced
from enhancement.scoring.protocols import VIDEO
from enhancement.scoring.temporal import Clip, MotionTracker, warping_error

Frame = tuple[str, dict[str, Tensor]]  # a name, the sides that are scored and "gt"


def clip_of(name: str) -> str:
    """The clip that a frame belongs to: the folder or the video in its name."""
    return str(PurePosixPath(name).parent)


def score_clips(frames: Iterable[Frame], score: Scorer, scores: Scores) -> None:
    """Score clips, a row each, in bounded memory.

    Args:
        frames: In order, the frames of a clip behind one another; `input` (or not), `output` and
            `gt`, (1, 3, H, W) in [0, 1].
        score: By the protocol.
        scores: Where the rows go.

    Raises:
        UserError: A clip has one frame only, or frames of several sizes.
    """
    own: list[float] = []
    for clip, members in groupby(frames, key=lambda frame: clip_of(frame[0])):
        row, truth = _score_clip(clip, members, score)
        scores.rows.append(row)
        own.append(warping_error(truth))
    if own:
        scores.notes.append(f"the ground truth's own warping error is {fmean(own):.3f}")


def _score_clip(clip: str, frames: Iterator[Frame], score: Scorer) -> tuple[Row, Clip]:
    """A clip's row, and what was gathered of its ground truth."""
    motions, truth, shape = MotionTracker(), Clip(), None
    sides: dict[str, Clip] = {}
    values: dict[str, list[dict[str, float]]] = {}
    for name, images in frames:
        gt = images.pop("gt")
        if shape not in (None, gt.shape):
            raise UserError(f"{name}: expected frames of one size in a clip, but its differs")
        shape, motion = gt.shape, motions.follow(gt)
        truth.add(gt, motion)
        for side, image in images.items():
            sides.setdefault(side, Clip()).add(image, motion)
            values.setdefault(side, []).append(score.of_frame(image, gt))
    if len(truth.means) < 2:
        raise UserError(f"{clip}: expected a clip of two frames or more, but it has one")
    found: dict[str, dict[str, float | None]] = {}
    for side, gathered in sides.items():
        found[side] = {k: fmean(v[k] for v in values[side]) for k in values[side][0]}
        found[side].update(score.of_clip(gathered, truth))
    return Row(clip, found.get("input", {}), found["output"]), truth


def evaluate_clips(
    network: nn.Module,
    batches: Iterable[dict[str, Any]],
    dataset: str,
    device: torch.device,
    *,
    watch: Watch | None = None,
    **how: Any,
) -> Scores:
    """Enhance every frame and score every clip by the protocol `video`.

    Arguments are those of `evaluate`; frames of a clip follow one another, and their names begin
    with the clip's.
    """
    score = Scorer(VIDEO, device)
    scores = Scores(VIDEO.name, dataset, notes=score.notes)

    def frames() -> Iterator[Frame]:
        for name, lq, output, gt in enhanced(network, batches, device, **how):
            if gt is None:
                raise UserError(f"protocol {VIDEO.name}: {name} has no ground truth")
            output = VIDEO.adjust(output, gt)
            if watch:
                watch(name, lq, output, gt)
            yield name, {"input": lq, "output": output, "gt": gt}

    with eval_mode(network):
        score_clips(frames(), score, scores)
    return scores
