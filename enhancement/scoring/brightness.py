"""Scores over a sweep of brightness levels: one row a level, and the curve."""

from __future__ import annotations

import csv
from dataclasses import fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from enhancement.data.blocks import DatasetBlock
from enhancement.data.images import write_image
from enhancement.data.loader import eval_loader
from enhancement.data.low_light import LowLight
from enhancement.data.paired_dataset import PairedDataset
from enhancement.data.synthesis_dataset import SynthesisDataset, SynthesisOptions
from enhancement.errors import UserError
from enhancement.registry import DATASET_REGISTRY, lookup
from enhancement.scoring.evaluation import Scores, evaluate
from enhancement.scoring.protocols import Protocol
from enhancement.scoring.report import cell

Sweep = dict[float, Scores]
Plain = dict[str, Any]
SIZE, MARGIN = (480, 640), 56  # of the picture, in pixels
COLOURS = {"enhanced": (31, 119, 180), "dark input": (140, 140, 140)}


def at_level(block: Plain, level: float) -> Plain:
    """A dataset block whose ground truth is darkened to one brightness level.

    Args:
        block: A SynthesisDataset or PairedDataset, ready to build.
        level: Exposure of linear light; 1 is the ground truth's.

    Raises:
        UserError: Another kind of dataset.
    """
    kind = lookup(DATASET_REGISTRY, block["type"])
    if issubclass(kind, PairedDataset):
        root = kind.Options.pick(block).folders()[1]
    elif issubclass(kind, SynthesisDataset):
        root = block["dataroot_gt"]
    else:
        raise UserError(
            f"--brightness_levels darkens a ground truth, which {block['type']} does not name; "
            f"expected a SynthesisDataset or a PairedDataset"
        )
    names = {f.name for f in fields(SynthesisOptions)} | {"name", "phase", "scale"}
    kept = {k: v for k, v in block.items() if k in names}
    degradation = dict(block.get("degradation") or {})
    if degradation.get("type") != LowLight.__name__:
        degradation = {"type": LowLight.__name__}
    degradation |= {"gamma": [1.0, 1.0], "levels": [level]}
    return {**kept, "type": SynthesisDataset.__name__, "dataroot_gt": root,
            "degradation": degradation, "cache": "none"}  # fmt: skip


def sweep(
    network: nn.Module, block: Plain, levels: list[float], protocol: Protocol,
    device: torch.device, ensemble: bool = False,
) -> Sweep:  # fmt: skip
    """Score a network at each brightness level of a dataset's ground truth."""
    return {
        level: evaluate(
            network,
            eval_loader(DatasetBlock.of("test", at_level(block, level))),
            protocol,
            block["name"],
            device,
            ensemble,
        )
        for level in levels
    }


def sweep_table(found: Sweep) -> str:
    """One row a level: the dark input's mean scores, then the output's."""
    first = next(iter(found.values()))
    metrics = first.metrics
    head = f"{'level':>8}" + "".join(f"{'input ' + m.upper():>13}" for m in metrics)
    head += "".join(f"{m.upper():>10}" for m in metrics)
    lines = [f"Protocol {first.protocol}, dataset {first.dataset} at brightness levels", head]
    for level, scores in found.items():
        given, mean = scores.mean("input"), scores.mean()
        cells = "".join(f"{cell(m, given[m]):>13}" for m in metrics)
        lines.append(f"{level:>8g}{cells}" + "".join(f"{cell(m, mean[m]):>10}" for m in metrics))
    return "\n".join(lines)


def write_sweep(folder: Path, found: Sweep) -> tuple[Path, Path]:
    """Write brightness.csv and the curve brightness.png.

    Raises:
        UserError: The folder cannot be written.
    """
    as_csv, picture = folder / "brightness.csv", folder / "brightness.png"
    first = next(iter(found.values()))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with as_csv.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["protocol", "dataset", "level", *first.metrics]
                            + [f"input_{m}" for m in first.metrics])  # fmt: skip
            for level, scores in found.items():
                means = [*scores.mean().values(), *scores.mean("input").values()]
                writer.writerow([scores.protocol, scores.dataset, level, *means])
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error})") from error
    write_image(picture, curve(found))
    return as_csv, picture


def curve(found: Sweep) -> np.ndarray:
    """PSNR against level, of the output and of the dark input: (H, W, 3) uint8."""
    height, width = SIZE
    image = np.full((height, width, 3), 255, np.uint8)
    levels = np.array(sorted(found))
    values = {
        "enhanced": np.array([found[v].mean()["psnr"] for v in levels], float),
        "dark input": np.array([found[v].mean("input")["psnr"] for v in levels], float),
    }
    every = np.concatenate(list(values.values()))
    low, high = np.floor(every.min() / 5) * 5, np.ceil(every.max() / 5) * 5
    high = max(high, low + 5)
    place = np.log(levels)
    across = (place - place[0]) / max(place[-1] - place[0], 1e-9)
    xs = MARGIN + across * (width - 2 * MARGIN)

    def text(words: str, x: float, y: float, colour: tuple[int, ...] = (60, 60, 60)) -> None:
        where = (round(x), round(y))
        cv2.putText(image, words, where, cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv2.LINE_AA)

    def y_of(psnr: Any) -> Any:
        return height - MARGIN - (psnr - low) / (high - low) * (height - 2 * MARGIN)

    for mark in np.arange(low, high + 1, 5):
        y = round(y_of(mark))
        cv2.line(image, (MARGIN, y), (width - MARGIN, y), (225, 225, 225), 1)
        text(f"{mark:g}", 18, y + 4)
    for x, level in zip(xs, levels, strict=True):
        text(f"{level:g}", x - 12, height - MARGIN + 20)
    first = next(iter(found.values()))
    text(f"PSNR in dB ({first.protocol}), {first.dataset}", MARGIN, 24)
    text("brightness level (exposure, logarithmic)", width / 2 - 130, height - 12)
    for row, (name, psnr) in enumerate(values.items()):
        points = np.stack((xs, y_of(psnr)), 1).round().astype(np.int32)
        cv2.polylines(image, [points], False, COLOURS[name], 2, cv2.LINE_AA)
        for point in points:
            cv2.circle(image, point.tolist(), 3, COLOURS[name], -1, cv2.LINE_AA)
        text(name, width - 150, 24 + 18 * row, COLOURS[name])
    return image
