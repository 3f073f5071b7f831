"""Score a folder of outputs against a folder of ground truths, paired by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from enhancement.data.base_dataset import shortened
from enhancement.data.images import Array, to_float
from enhancement.data.masks import THRESHOLD, foreground
from enhancement.data.pairing import check_sizes, pair_by_name
from enhancement.data.sources import Source, open_source
from enhancement.errors import UserError
from enhancement.scoring.evaluation import Row, Scorer, Scores
from enhancement.scoring.protocols import get_protocol

Pairs = list[tuple[str, str]]


def open_pairs(outputs: str, gts: str) -> tuple[Source, Source, Pairs]:
    """Pair two folders (or LMDBs) by name, and decode every image once.

    Raises:
        UserError: With a line for each image without a partner, of another size, or unreadable.
    """
    a, b = open_source(outputs), open_source(gts)
    pairs, faults = pair_by_name(a, b)
    faults += check_sizes(a, b, pairs)
    if not faults:
        faults = unreadable([(a, x) for x, _ in pairs] + [(b, y) for _, y in pairs])
    if faults:
        raise UserError("\n".join(shortened(faults)))
    return a, b, pairs


def unreadable(files: list[tuple[Source, str]]) -> list[str]:
    """A line for each image that cannot be decoded completely."""

    def fault(file: tuple[Source, str]) -> str | None:
        try:
            file[0].read(file[1])
        except UserError as error:
            return str(error)
        return None

    with ThreadPoolExecutor() as pool:
        return [text for text in pool.map(fault, files) if text]


def score_folders(
    outputs: str,
    gts: str,
    protocol: str,
    dataset: str,
    device: torch.device,
    progress: Callable[[Pairs], Iterable[tuple[str, str]]] = iter,
) -> Scores:
    """Score every image of a folder by all metrics of a protocol.

    Args:
        outputs, gts: Folders or LMDBs.
        protocol: A protocol's name; one of masks takes what lies above 127 for the foreground.
        dataset: For the table.
        device: Where to compute.
        progress: Wraps the list of pairs, to show how far it is.

    Raises:
        UserError: Files are missing, differ in size or cannot be read: before any is scored.
    """
    chosen = get_protocol(protocol)
    a, b, pairs = open_pairs(outputs, gts)
    score = Scorer(chosen, device, chosen.names)
    scores = Scores(protocol, dataset, notes=score.notes)
    masks = chosen.compares == "mask"
    as_tensor = _mask if masks else _image
    with torch.inference_mode():
        for output_name, gt_name in progress(pairs):
            output = as_tensor(a.read(output_name)).to(device)
            gt = as_tensor(b.read(gt_name)).to(device)
            scores.rows.append(Row(output_name, {}, score(output, gt)))
    if masks:
        scores.notes.append(f"foreground is above {THRESHOLD} of 255")
    return scores


def _image(image: Array) -> Tensor:
    """(H, W, 3) to (1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(to_float(image)).permute(2, 0, 1)[None].contiguous()


def _mask(image: Array) -> Tensor:
    """(H, W, 3) to a boolean mask (1, H, W)."""
    return torch.from_numpy(foreground(image))[None]
