"""From files to files: what is to be enhanced, where it goes, and many images in a row."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from enhancement.checkpoint import replace_file
from enhancement.data.images import to_float
from enhancement.errors import UserError
from enhancement.inference import FrameEnhancer, enhance_frames, read_ahead
from enhancement.pictures import FORMATS, Picture, encode_picture, read_picture
from enhancement.report import write_picture
from enhancement.video import ENCODERS, check_video_name

WILDCARDS = "*?["
COMPARED_WIDTH = 600  # pixels of one column of a comparison


@dataclass(frozen=True)
class Job:
    """One file to be enhanced, and the file that comes of it."""

    source: Path
    target: Path

    @property
    def is_video(self) -> bool:
        """Whether it is a video; an image otherwise."""
        return self.source.suffix.lower() in ENCODERS


def plan(given: str, out: Path, image_format: str | None = None) -> list[Job]:
    """What is to be enhanced, in the order of names.

    Args:
        given: A file, a folder (taken with all folders below) or a pattern with wildcards.
        out: A folder; for a single file also the new file.
        image_format: Ending of the new images, without the dot; the old one's if None.

    Raises:
        UserError: Nothing there; an output would take the place of an input or of another output.
    """
    path = Path(given)
    if path.is_dir():
        root, sources = path, sorted(p for p in path.rglob("*") if _is_ours(p))
        if out.resolve() == path.resolve() or out.resolve() in path.resolve().parents:
            raise UserError(f"--out {out}: is or holds the input {path}; choose another folder")
        sources = [p for p in sources if out.resolve() not in p.resolve().parents]
    elif path.is_file():
        if not _is_ours(path):
            raise UserError(f"{path}: expected {_kinds()}")
        root, sources = path.parent, [path]
    elif any(c in given for c in WILDCARDS):
        root = Path(given[: min(given.index(c) for c in WILDCARDS if c in given)] + "x").parent
        found = (Path(name) for name in glob.glob(given, recursive=True))  # noqa: PTH207
        sources = sorted(p for p in found if _is_ours(p))
    else:
        raise UserError(f"{given}: no such file or folder")
    if not sources:
        raise UserError(f"{given}: nothing to enhance there; expected {_kinds()}")
    if out.suffix.lower() in {*FORMATS, *ENCODERS} and not out.is_dir():
        if not path.is_file():
            raise UserError(f"--out {out}: expected a folder for the files of {given}")
        if image_format and out.suffix.lower() != f".{image_format}":
            raise UserError(f"--format {image_format}: but --out is {out.name}; leave out one")
        jobs = [Job(path, out)]
    else:
        jobs = [Job(p, _target(p, out / p.relative_to(root), image_format)) for p in sources]
    _check(jobs)
    return jobs


def _is_ours(path: Path) -> bool:
    ours = path.suffix.lower() in {*FORMATS, *ENCODERS}
    return ours and path.is_file() and not path.name.startswith(".")


def _kinds() -> str:
    return f"images ({', '.join(FORMATS)}) or videos ({', '.join(ENCODERS)})"


def _target(source: Path, same: Path, image_format: str | None) -> Path:
    is_video = source.suffix.lower() in ENCODERS
    return same if is_video or not image_format else same.with_suffix(f".{image_format}")


def _check(jobs: list[Job]) -> None:
    sources = {job.source.resolve() for job in jobs}
    targets: dict[Path, Path] = {}
    for job in jobs:
        target = job.target.resolve()
        if target in sources:
            raise UserError(f"{job.target}: is an input; choose another --out")
        if target in targets:
            raise UserError(f"{job.target}: would come of both {targets[target]} and {job.source}")
        targets[target] = job.source
        if job.is_video:
            check_video_name(job.target)
        elif job.target.suffix.lower() not in FORMATS:
            raise UserError(f"{job.target}: expected an image's name, ending in "
                            f"{', '.join(FORMATS)}")  # fmt: skip


@dataclass
class Step:
    """An image on its way: read, then enhanced, or the reason why not."""

    job: Job
    picture: Picture | None = None
    enhanced: np.ndarray | None = None
    fault: UserError | None = None


def _read(jobs: Iterable[Job]) -> Iterator[Step]:
    for job in jobs:
        try:
            yield Step(job, read_picture(job.source))
        except UserError as error:
            yield Step(job, fault=error)


def batches(steps: Iterable[Step], most: int) -> Iterator[list[Step]]:
    """Neighbours whose pictures have one size and type, at most so many together."""
    waiting: list[Step] = []
    for step in steps:
        alike = bool(waiting) and _kind(step) == _kind(waiting[0]) and len(waiting) < most
        if waiting and not alike:
            yield waiting
            waiting = []
        waiting.append(step)
    if waiting:
        yield waiting


def _kind(step: Step) -> Any:
    return step.picture and (step.picture.pixels.shape, str(step.picture.pixels.dtype))


def enhance_images(
    jobs: list[Job],
    enhancer: FrameEnhancer,
    batch: int = 1,
    compare: bool = False,
    progress: Callable[[], Any] = lambda: None,
) -> list[UserError]:
    """Enhance image files; reading, enhancing and writing overlap.

    Args:
        jobs: The files.
        enhancer: As set up.
        batch: How many neighbours of one size are enhanced together.
        compare: Write a picture of input and output beside each output.
        progress: Called after each file.

    Returns:
        What went wrong, one entry a file; the others are done.
    """

    def enhanced(steps: list[Step]) -> list[Step]:
        pictures = [step.picture for step in steps if step.picture]
        try:
            if pictures:
                done = enhancer.together([picture.pixels for picture in pictures])
                for step, frame in zip(steps, done, strict=True):
                    step.enhanced = frame
        except UserError as error:
            for step in steps:
                step.fault = UserError(f"{step.job.source}: {error}")
        return steps

    faults = []
    groups = enhance_frames(batches(read_ahead(_read(jobs), batch), batch), enhanced, ahead=1)
    try:
        for group in groups:
            for step in group:
                try:
                    write(step, compare)
                except UserError as error:
                    faults.append(error)
                progress()
    finally:
        groups.close()
    return faults


def write(step: Step, compare: bool) -> None:
    """Write what came of a file, whole or not at all.

    Raises:
        UserError: It was not enhanced, or cannot be written.
    """
    if step.fault:
        raise step.fault
    assert step.picture is not None
    assert step.enhanced is not None
    target, before = step.job.target, step.picture.pixels
    step.picture.pixels = step.enhanced
    content = encode_picture(step.picture, target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if compare:
            name = target.with_name(f"{target.stem}_comparison.png")
            write_picture(name, [(_small(before), _small(step.enhanced))], COMPARED_WIDTH)
        replace_file(target, content)
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error.strerror})") from error


def _small(image: np.ndarray) -> Tensor:
    """(H, W, 3) to a tensor (1, 3, h, w) in [0, 1] as wide as a comparison's column."""
    size = (COMPARED_WIDTH, max(1, round(image.shape[0] * COMPARED_WIDTH / image.shape[1])))
    small = to_float(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    return torch.from_numpy(small).permute(2, 0, 1)[None]
