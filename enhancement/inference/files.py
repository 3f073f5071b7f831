"""From files to files: what is to be enhanced, where it goes, and many images in a row."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from enhancement.data.images import to_float
from enhancement.errors import UserError
from enhancement.files import check_place, replace_file
from enhancement.inference.frames import FrameEnhancer
from enhancement.inference.pictures import FORMATS, Picture, encode_picture, read_picture
from enhancement.inference.side_by_side import side_by_side
from enhancement.inference.stream import enhance_frames, read_ahead
from enhancement.inference.video import ENCODERS, check_video_name

WILDCARDS = "*?["
COMPARED_WIDTH = 600  # pixels of one column of a comparison


@dataclass(frozen=True)
class Job:
    """One file to be enhanced, and the files that come of it.

    Attributes:
        source: What is enhanced.
        target: What comes of it.
        comparison: A picture of both, or None.
    """

    source: Path
    target: Path
    comparison: Path | None = None

    @property
    def is_video(self) -> bool:
        """Whether it is a video; an image otherwise."""
        return self.source.suffix.lower() in ENCODERS

    @property
    def outputs(self) -> list[Path]:
        """All files that come of it."""
        return [self.target, *([self.comparison] if self.comparison else [])]


def plan(
    given: str, out: Path, image_format: str | None = None, compare: bool = False
) -> list[Job]:
    """What is to be enhanced, in the order of names.

    Args:
        given: A file, a folder (taken with all folders below) or a pattern with wildcards.
        out: A folder; for a single file also the new file.
        image_format: Ending of the new images, without the dot; the old one's if None.
        compare: A picture of input and output is to lie beside each new image.

    Raises:
        UserError: Nothing there; an output would take the place of an input or of another output,
            or cannot be written.
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
    if compare:
        jobs = [job if job.is_video else replace(job, comparison=_comparison(job)) for job in jobs]
    _check(jobs)
    return jobs


def missing(job: Job) -> Job:
    """The same without a comparison that is there already."""
    there = job.comparison and job.comparison.exists()
    return replace(job, comparison=None) if there else job


def _is_ours(path: Path) -> bool:
    ours = path.suffix.lower() in {*FORMATS, *ENCODERS}
    return ours and path.is_file() and not path.name.startswith(".")


def _kinds() -> str:
    return f"images ({', '.join(FORMATS)}) or videos ({', '.join(ENCODERS)})"


def _target(source: Path, same: Path, image_format: str | None) -> Path:
    is_video = source.suffix.lower() in ENCODERS
    return same if is_video or not image_format else same.with_suffix(f".{image_format}")


def _comparison(job: Job) -> Path:
    return job.target.with_name(f"{job.target.name}_comparison.png")


def _check(jobs: list[Job]) -> None:
    sources = {job.source.resolve() for job in jobs}
    makers: dict[Path, Path] = {}
    folders: set[Path] = set()
    for job in jobs:
        for output in job.outputs:
            path = output.resolve()
            if path in sources:
                raise UserError(f"{output}: is an input; choose another --out")
            if path in makers:
                raise UserError(f"{output}: would come of both {makers[path]} and {job.source}")
            makers[path] = job.source
            check_place(output, folders)
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
    fault: str | None = None


def _read(jobs: Iterable[Job]) -> Iterator[Step]:
    for job in jobs:
        try:
            yield Step(job, read_picture(job.source))
        except UserError as error:
            yield Step(job, fault=str(error))


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
    progress: Callable[[], Any] = lambda: None,
) -> list[str]:
    """Enhance image files; reading, enhancing and writing overlap.

    Args:
        jobs: The files.
        enhancer: As set up.
        batch: How many neighbours of one size are enhanced together.
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
                step.fault = f"{step.job.source}: {error}"
        return steps

    faults: list[str] = []  # texts, because an error holds the pictures of its frames
    groups = enhance_frames(batches(read_ahead(_read(jobs), batch), batch), enhanced, ahead=1)
    try:
        for group in groups:
            for step in group:
                try:
                    write(step)
                except UserError as error:
                    faults.append(str(error))
                progress()
    finally:
        groups.close()
    return faults


def write(step: Step) -> None:
    """Write what came of a file, each output whole or not at all.

    Raises:
        UserError: It was not enhanced, or cannot be written.
    """
    if step.fault:
        raise UserError(step.fault)
    assert step.picture is not None
    assert step.enhanced is not None
    before, step.picture.pixels = step.picture.pixels, step.enhanced
    pictures = {step.job.target: step.picture}
    if step.job.comparison:
        columns = _small(before), _small(step.enhanced)
        pictures[step.job.comparison] = Picture(side_by_side([columns], COMPARED_WIDTH))
    contents = {path: encode_picture(picture, path) for path, picture in pictures.items()}
    for path, content in reversed(contents.items()):  # the target last: its being there means done
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, content)
        except OSError as error:
            raise UserError(f"{path}: cannot be written ({error.strerror})") from error


def _small(image: np.ndarray) -> Tensor:
    """(H, W, 3) to a tensor (1, 3, h, w) in [0, 1] as wide as a comparison's column."""
    size = (COMPARED_WIDTH, max(1, round(image.shape[0] * COMPARED_WIDTH / image.shape[1])))
    small = to_float(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    return torch.from_numpy(small).permute(2, 0, 1)[None]
