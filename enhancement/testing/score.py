"""The images enhanced and scored, and what is kept of them for the report."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from torch import Tensor
from tqdm import tqdm

from enhancement import distributed
from enhancement.data.images import save_picture
from enhancement.inference.engines import WORTH_CONVERTING, engine_name, prepare
from enhancement.paths import inside
from enhancement.scoring.brightness import Sweep, sweep
from enhancement.scoring.clips import clip_of, evaluate_clips
from enhancement.scoring.detection import score_detection
from enhancement.scoring.evaluation import Row, Scorer, Scores, evaluate
from enhancement.scoring.segmentation import Sides, score_masks, score_segmentation
from enhancement.scoring.thumbnails import THUMBNAILS, thumbnail

from .plan import Plan

ROWS_SHOWN = 4


@dataclass
class Results:
    """What scoring gives.

    Attributes:
        scores: Of every image.
        engine: What computed the network.
        extra: By each of the plan's other protocols.
        sides: Of the masks found in the input, each stage's output and the ground truth; or None.
        detected: Of the objects found in the input and each stage's output; or None.
        sweep: Of every brightness level; or None.
        rows: Input, output and ground truth of the first images, (1, 3, H, W) each.
        thumbnails: The same of more images, encoded and small.
    """

    scores: Scores
    engine: str
    extra: list[Scores] = field(default_factory=list)
    sides: Sides | None = None
    detected: Sides | None = None
    sweep: Sweep | None = None
    rows: list[tuple[Tensor, ...]] = field(default_factory=list)
    thumbnails: list[tuple[bytes, ...]] = field(default_factory=list)


def score(plan: Plan) -> Results:
    """Score as planned; writes the enhanced images where that was asked for.

    Returns:
        In the first process of every image, in the set's order.
    """
    if plan.is_first:
        print(plan.device_note)
    with distributed.synchronised_errors():
        results = _score_share(plan)
    sides, levels = (results.sides or {}).values(), (results.sweep or {}).values()
    for scores in (results.scores, *results.extra, *sides, *levels):
        scores.rows = distributed.gather(scores.rows)
    results.rows = distributed.gather(results.rows)[:ROWS_SHOWN]
    results.thumbnails = distributed.gather(results.thumbnails)[:THUMBNAILS]
    return results


def _worth_converting(plan: Plan) -> bool:
    """Whether all processes' images, if they are of one size, have pixels enough for a graph."""
    dataset = plan.loader.dataset
    return bool(dataset[0]["lq"][0].numel() * len(dataset) >= WORTH_CONVERTING)


def _score_share(plan: Plan) -> Results:
    """Score this process's images."""
    at_once = _worth_converting(plan)
    network = prepare(plan.network, plan.device, plan.arguments.engine, at_once=at_once)
    rows: list[tuple[Tensor, ...]] = []
    thumbnails: list[tuple[bytes, ...]] = []

    by_clip, clips = plan.protocol.compares == "clip", set[str]()
    others = [Scorer(protocol, plan.device) for protocol in plan.extra]
    extra = [Scores(o.protocol.name, plan.block.name, notes=o.notes) for o in others]

    def watch(name: str, *images: Tensor) -> None:
        lq, output = images[:2]
        gt = images[2] if len(images) > 2 else None
        for scorer, table in zip(others, extra, strict=True):
            table.rows.append(Row(name, scorer(lq, gt, lq), scorer(output, gt, lq)))
        if len(rows) < ROWS_SHOWN:
            rows.append(tuple(image.cpu() for image in images))
        new = not by_clip or clip_of(name) not in clips
        clips.add(clip_of(name))
        if new and len(thumbnails) < THUMBNAILS:  # one for each row of the table
            thumbnails.append(tuple(map(thumbnail, images)))
        if plan.arguments.save_images:
            path = inside(plan.arguments.save_images, name).with_suffix(".png")
            save_picture(path, images[1])

    hidden = not (plan.is_first and sys.stderr.isatty())
    batches = tqdm(plan.loader, desc="Testing", unit="image", disable=hidden)
    name, ensemble = plan.block.name, plan.arguments.self_ensemble
    multiple = plan.config.val.window_size if plan.config else 1
    how = {"watch": watch, "ensemble": ensemble, "multiple": multiple}
    if plan.protocol.compares == "mask":
        scores = score_masks(network, batches, name, plan.device, watch)
    elif plan.protocol.compares == "clip":
        scores = evaluate_clips(network, batches, name, plan.device, **how)
    else:
        protocol = plan.protocol
        names = protocol.names
        scores = evaluate(network, batches, protocol, name, plan.device, metrics=names, **how)
    results = Results(scores, engine_name(network), extra, rows=rows, thumbnails=thumbnails)
    if plan.segmenter:
        loader = plan.loader
        results.sides = score_segmentation(plan.network, plan.segmenter, loader, name, plan.device)
    if plan.detector and plan.boxes:
        results.detected = score_detection(
            plan.network, plan.detector, plan.loader, plan.boxes, name, plan.device
        )
    if plan.levels:
        place = plan.rank, plan.world_size
        results.sweep = sweep(
            *(network, plan.block, plan.levels, plan.protocol, plan.device, place),
            **{"ensemble": ensemble, "multiple": multiple},
        )
    return results
