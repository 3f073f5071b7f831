"""Image files enhanced one after the other; reading, enhancing and writing overlap."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from enhancement.data.image_headers import check_memory
from enhancement.data.images import to_float
from enhancement.errors import UserError
from enhancement.files import replace_file, writing
from enhancement.inference.frames import FrameEnhancer
from enhancement.inference.jobs import Job
from enhancement.inference.memory_limit import MemoryLimit
from enhancement.inference.pictures import Picture, encode_picture, read_picture
from enhancement.inference.side_by_side import side_by_side
from enhancement.inference.stream import enhance_frames, read_ahead

COMPARED_WIDTH = 600  # pixels of one column of a comparison


@dataclass
class Item:
    """An image file in progress: read, then enhanced; or the reason why it was not."""

    job: Job
    picture: Picture | None = None
    enhanced: np.ndarray | None = None
    fault: str | None = None


def _read(jobs: Iterable[Job], limit: MemoryLimit | None) -> Iterator[Item]:
    admit = limit.admit_image if limit else check_memory
    for job in jobs:
        try:
            yield Item(job, read_picture(job.source, admit))
        except UserError as error:
            yield Item(job, fault=str(error))


def batches(items: Iterable[Item], most: int) -> Iterator[list[Item]]:
    """Consecutive items whose pictures have one size and type, at most `most` together."""
    waiting: list[Item] = []
    for item in items:
        alike = bool(waiting) and _kind(item) == _kind(waiting[0]) and len(waiting) < most
        if waiting and not alike:
            yield waiting
            waiting = []
        waiting.append(item)
    if waiting:
        yield waiting


def _kind(item: Item) -> Any:
    return item.picture and (item.picture.pixels.shape, str(item.picture.pixels.dtype))


def enhance_images(
    jobs: list[Job],
    enhancer: FrameEnhancer,
    batch: int = 1,
    progress: Callable[[], Any] = lambda: None,
    limit: MemoryLimit | None = None,
) -> list[str]:
    """Enhance image files; reading, enhancing and writing overlap.

    Args:
        jobs: The files.
        enhancer: What enhances them.
        batch: How many consecutive images of one size are enhanced together.
        progress: Called after each file.
        limit: Of the memory; with it files are taken one by one, and nothing overlaps.

    Returns:
        What went wrong, one line for each file that could not be enhanced.
    """

    def enhanced(items: list[Item]) -> list[Item]:
        pictures = [item.picture for item in items if item.picture]
        try:
            if pictures:
                done = enhancer.together([picture.pixels for picture in pictures])
                for item, frame in zip(items, done, strict=True):
                    item.enhanced = frame
        except UserError as error:
            if len(items) > 1:  # the others of a batch may be sound
                return [one for item in items for one in enhanced([item])]
            items[0].fault = f"{items[0].job.source}: {error}"
        return items

    groups: Generator[list[Item], None, None]
    faults: list[str] = []  # texts, because an error keeps the images in its stack frames alive
    items = _read(jobs, limit)
    if limit:
        groups = (enhanced([item]) for item in items)
    else:
        groups = enhance_frames(batches(read_ahead(items, batch), batch), enhanced, ahead=1)
    try:
        for group in groups:
            for item in group:
                try:
                    write(item)
                except UserError as error:
                    faults.append(str(error))
                progress()
    finally:
        groups.close()
    return faults


def write(item: Item) -> None:
    """Write a file's outputs, each completely or not at all.

    Raises:
        UserError: It was not enhanced, or cannot be written.
    """
    if item.fault:
        raise UserError(item.fault)
    assert item.picture is not None
    assert item.enhanced is not None
    original, item.picture.pixels = item.picture.pixels, item.enhanced
    pictures = {item.job.target: item.picture}
    if item.job.comparison:
        columns = _small(original), _small(item.enhanced)
        pictures[item.job.comparison] = Picture(side_by_side([columns], COMPARED_WIDTH))
    contents = {path: encode_picture(picture, path) for path, picture in pictures.items()}
    for path, content in reversed(contents.items()):  # the target last: it marks the job as done
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, content)


def _small(image: np.ndarray) -> Tensor:
    """(H, W, 3) to a tensor (1, 3, h, w) in [0, 1] no wider than a comparison's column."""
    scale = min(1, COMPARED_WIDTH / image.shape[1])
    size = [max(1, round(n * scale)) for n in (image.shape[1], image.shape[0])]
    small = to_float(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    return torch.from_numpy(small).permute(2, 0, 1)[None]
