"""What is to be enhanced, and where it goes."""

from __future__ import annotations

import glob
from dataclasses import dataclass, replace
from pathlib import Path

from enhancement.errors import UserError
from enhancement.files import check_place, files_below, require_file
from enhancement.inference.pictures import FORMATS
from enhancement.inference.video_sink import ENCODERS, check_video_name

WILDCARDS = "*?["


@dataclass(frozen=True)
class Job:
    """One file to be enhanced, and the files that are written.

    Attributes:
        source: The input.
        target: The output.
        comparison: An image of both side by side, or None.
    """

    source: Path
    target: Path
    comparison: Path | None = None

    @property
    def is_video(self) -> bool:
        """Whether it is a video rather than an image."""
        return self.source.suffix.lower() in ENCODERS

    @property
    def outputs(self) -> list[Path]:
        """All files that are written."""
        return [self.target, *([self.comparison] if self.comparison else [])]


def plan(
    given: str, out: Path, image_format: str | None = None, compare: bool = False
) -> list[Job]:
    """The files to be enhanced, sorted by name.

    Args:
        given: A file, a folder (with all its subfolders) or a pattern with wildcards.
        out: A folder; for a single file also the new file.
        image_format: Suffix of the new images, without the dot; None keeps the old one.
        compare: Write an image of input and output next to each new image.

    Raises:
        UserError: Nothing there; an output would overwrite an input or another output, or cannot
            be written.
    """
    path = Path(given)
    root, sources = _sources(given, out)
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


def _sources(given: str, out: Path) -> tuple[Path, list[Path]]:
    """The folder whose structure is kept, and the input files below it."""
    path = Path(given)
    if path.is_dir():
        root, sources = path, [p for p in files_below(path) if _is_readable(p)]
        if out.resolve() == path.resolve() or out.resolve() in path.resolve().parents:
            raise UserError(f"--out {out}: is or holds the input {path}; choose another folder")
        sources = [p for p in sources if out.resolve() not in p.resolve().parents]
    elif path.is_file():
        if not _is_readable(path):
            raise UserError(f"{path}: expected {_kinds()}")
        root, sources = path.parent, [path]
    elif any(c in given for c in WILDCARDS):
        root = Path(given[: min(given.index(c) for c in WILDCARDS if c in given)] + "x").parent
        found = (Path(name) for name in glob.glob(given, recursive=True))  # noqa: PTH207
        sources = sorted(p for p in found if _is_readable(p))
    elif path.exists():
        require_file(path)
    else:
        raise UserError(f"{given}: no such file or folder")
    if not sources:
        raise UserError(f"{given}: nothing to enhance there; expected {_kinds()}")
    return root, sources


def without_existing(job: Job) -> Job:
    """The same job without a comparison that exists already."""
    exists = job.comparison and job.comparison.exists()
    return replace(job, comparison=None) if exists else job


def _is_readable(path: Path) -> bool:
    known = path.suffix.lower() in {*FORMATS, *ENCODERS}
    return known and path.is_file() and not path.name.startswith(".")


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
            raise UserError(
                f"{job.target}: expected an image's name, ending in {', '.join(FORMATS)}"
            )
