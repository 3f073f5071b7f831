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
from enhancement.scoring.evaluation import MASK_PROTOCOL, Row, Scores, note_lpips, score_image
from enhancement.scoring.mask_metrics import dice, miou
from enhancement.scoring.protocols import Lpips, get_protocol

Pairs = list[tuple[str, str]]


def open_pairs(outputs: str, gts: str) -> tuple[Source, Source, Pairs]:
    """Pair two folders (or LMDBs) by name, and decode every image once.

    Raises:
        UserError: With a line for each image without a partner, of another size, or unreadable.
    """
    a, b = open_source(outputs), open_source(gts)
    pairs, faults = pair_by_name(a, b)
    faults += check_sizes(a, b, pairs) or unreadable([(a, x) for x, _ in pairs]
                                                     + [(b, y) for _, y in pairs])  # fmt: skip
    if faults:
        raise UserError("\n".join(shortened(faults)))
    return a, b, pairs


def unreadable(files: list[tuple[Source, str]]) -> list[str]:
    """A line for each image that cannot be decoded whole."""

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
    """Score every image of a folder.

    Args:
        outputs, gts: Folders or LMDBs.
        protocol: A protocol's name, or MASK_PROTOCOL: Dice and mIoU of what lies above 127.
        dataset: For the table.
        device: Where to compute.
        progress: Wraps the list of pairs, to show how far it is.

    Raises:
        UserError: Files are missing, differ in size or cannot be read: before any is scored.
    """
    masks = protocol == MASK_PROTOCOL
    chosen = None if masks else get_protocol(protocol)
    a, b, pairs = open_pairs(outputs, gts)
    lpips = Lpips(device) if chosen and chosen.lpips else None
    scores = Scores(protocol, dataset)
    for output_name, gt_name in progress(pairs):
        output, gt = a.read(output_name), b.read(gt_name)
        if chosen:
            x, y = _image(output).to(device), _image(gt).to(device)
            with torch.inference_mode():
                found = score_image(x, y, chosen, lpips)
        else:
            a_mask, b_mask = (torch.from_numpy(foreground(mask)) for mask in (output, gt))
            found = {"dice": dice(a_mask, b_mask).item(), "miou": miou(a_mask, b_mask).item()}
        scores.rows.append(Row(output_name, {}, found))
    note_lpips(scores, lpips)
    if masks:
        scores.notes.append(f"foreground is above {THRESHOLD} of 255")
    return scores


def _image(image: Array) -> Tensor:
    """(H, W, 3) to (1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(to_float(image)).permute(2, 0, 1)[None].contiguous()
