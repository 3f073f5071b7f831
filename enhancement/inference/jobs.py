"""What is to be enhanced, and where it goes."""

from __future__ import annotations

import glob
import mimetypes
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path

from enhancement.data.clips import VIDEO_EXTENSIONS
from enhancement.data.image_headers import HEIF, reads_heif
from enhancement.errors import UserError
from enhancement.files import check_place, files_below, require_file
from enhancement.inference.pictures import FORMATS
from enhancement.inference.video_sink import ENCODERS, check_video_name

WILDCARDS = "*?["
READABLE = (*FORMATS, ".avif", ".gif", *(HEIF if reads_heif() else ()))
# kinds that Python's table of types does not call image or video
NOT_READ = (".3gp", ".asf", ".dav", ".dcm", ".h264", ".h265", ".mxf", ".tga", ".vob", ".y4m")
RAW = (".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".raw", ".rw2")
READ = f"images ({', '.join(READABLE)}) or videos ({', '.join(VIDEO_EXTENSIONS)})"
WRITTEN = f"images ({', '.join(FORMATS)}) or videos ({', '.join(ENCODERS)})"


@dataclass(frozen=True)
class Job:
    """One file to be enhanced, and the files that are written.

    Attributes:
        source: The input.
        target: The output.
        comparison: An image or video of both side by side, or None.
    """

    source: Path
    target: Path
    comparison: Path | None = None

    @property
    def is_video(self) -> bool:
        """Whether it is a video rather than an image."""
        return self.source.suffix.lower() in VIDEO_EXTENSIONS

    @property
    def outputs(self) -> list[Path]:
        """All files that are written."""
        return [self.target, *([self.comparison] if self.comparison else [])]


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes:
        jobs: The files to be enhanced, sorted by name.
        left_out: A line for each picture or video that cannot be read.
    """

    jobs: list[Job]
    left_out: list[str]


def plan(
    given: Sequence[str], out: str, image_format: str | None = None, compare: bool = False
) -> Plan:
    """The files to be enhanced, and those that are left out.

    Args:
        given: Files, folders (with all their subfolders) and patterns with wildcards.
        out: A folder; for a single file also the new file.
        image_format: Suffix of the new images, without the dot; None keeps the old one, or takes
            PNG for a kind that is not written.
        compare: Write an image of input and output next to each new image.

    Raises:
        UserError: Nothing there; an output would overwrite an input or another output, or cannot
            be written.
    """
    target, single = Path(out), len(given) == 1 and Path(given[0]).is_file()
    found = [(root, path) for name in given for root, path in _sources(name, target)]
    readable = [(root, path) for root, path in found if _is_readable(path)]
    reasons = {path: _why_left_out(path) for _, path in found if not _is_readable(path)}
    left_out = [f"{path}: {reason}" for path, reason in reasons.items() if reason]
    if not readable:
        raise UserError(left_out[0] if left_out else _nothing(given, single))
    if _is_file_name(out):
        if not single:
            raise UserError(f"--out {out}: expected a folder for the files of {' '.join(given)}")
        if image_format and target.suffix.lower() != f".{image_format}":
            raise UserError(f"--format {image_format}: but --out is {target.name}; leave out one")
        jobs = [Job(readable[0][1], target)]
    else:
        jobs = [Job(p, _target(target / p.relative_to(root), image_format)) for root, p in readable]
    if compare:
        jobs = [replace(job, comparison=_comparison(job)) for job in jobs]
    _check(jobs)
    return Plan(jobs, left_out)


def _is_file_name(out: str) -> bool:
    """Whether an output's name is a file's; one that ends in "/" is a folder's.

    Raises:
        UserError: It has an ending that no file written here has.
    """
    path, suffix = Path(out), Path(out).suffix.lower()
    if path.is_dir() or out.endswith("/") or not suffix:
        return False
    if suffix not in {*FORMATS, *ENCODERS} and not path.is_file():
        raise UserError(
            f"--out {out}: no {suffix} files are written; expected {WRITTEN}, or a folder, "
            f"whose name may end in /"
        )
    return suffix in {*FORMATS, *ENCODERS}


def _sources(given: str, out: Path) -> list[tuple[Path, Path]]:
    """Every file of an input, each after the folder below which its place is kept."""
    path = Path(given)
    if path.is_dir():
        if out.resolve() == path.resolve() or out.resolve() in path.resolve().parents:
            raise UserError(f"--out {out}: is or holds the input {path}; choose another folder")
        files = files_below(path)
        return _not_below(out, [(path, p) for p in files])
    if path.is_file():
        return [(path.parent, path)]
    if path.exists():
        require_file(path)
    if any(c in given for c in WILDCARDS):
        return _not_below(out, _matches(path))
    raise UserError(f"{given}: no such file or folder")


def _not_below(out: Path, found: list[tuple[Path, Path]]) -> list[tuple[Path, Path]]:
    """Without earlier outputs, where their folder lies among the inputs."""
    place = out.resolve()
    return [
        (root, path)
        for root, path in found
        if place not in path.resolve().parents or root.resolve() not in place.parents
    ]


def _matches(pattern: Path) -> list[tuple[Path, Path]]:
    """The files of a pattern; a name that exists as it stands, such as `[2024]`, is no wildcard."""
    root, parts = Path(pattern.anchor), pattern.parts[bool(pattern.anchor) :]
    while (root / parts[0]).exists():
        root, parts = root / parts[0], parts[1:]
    fixed = takewhile(lambda part: not set(part) & set(WILDCARDS), parts)
    names = glob.glob(str(Path(*parts)), root_dir=root, recursive=True)  # noqa: PTH207
    return [(root.joinpath(*fixed), root / name) for name in sorted(names)]


def _nothing(given: Sequence[str], single: bool) -> str:
    """Why there is nothing to enhance."""
    there = "" if single else "nothing to enhance there; "
    return f"{' '.join(given)}: {there}expected {READ}"


def without_existing(job: Job) -> Job:
    """The same job without a comparison that exists already."""
    exists = job.comparison and job.comparison.exists()
    return replace(job, comparison=None) if exists else job


def _is_readable(path: Path) -> bool:
    known = path.suffix.lower() in {*READABLE, *VIDEO_EXTENSIONS}
    return known and path.is_file() and not path.name.startswith(".")


def _why_left_out(path: Path) -> str | None:
    """Why a picture or video is not read; None for other files, folders and hidden files."""
    suffix = path.suffix.lower()
    if path.name.startswith("."):
        return None
    if path.is_symlink() and path.is_dir():
        return "is a link to a folder; name it as an input of its own"
    if not path.is_file():
        return None
    if suffix in HEIF:
        return "HEIC is read where pillow-heif is installed: pip install pillow-heif"
    if suffix in RAW:
        return "is a camera's raw file; develop it and save it as TIFF or PNG"
    known = (mimetypes.guess_type(path.name)[0] or "").startswith(("image/", "video/"))
    if known or suffix in NOT_READ:
        return f"{suffix} is not read; expected {READ}"
    return None


def _target(same: Path, image_format: str | None) -> Path:
    suffix = same.suffix.lower()
    if suffix in VIDEO_EXTENSIONS:
        return same if suffix in ENCODERS else same.with_suffix(".mp4")
    if suffix in FORMATS and not image_format:
        return same
    return same.with_suffix(f".{image_format or 'png'}")


def _comparison(job: Job) -> Path:
    suffix = job.target.suffix if job.is_video else ".png"
    return job.target.with_name(f"{job.target.name}_comparison{suffix}")


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
                both = f"{makers[path]} and {job.source}"
                raise UserError(f"{output}: both {both} would be written there")
            makers[path] = job.source
            check_place(output, folders)
        if job.is_video:
            check_video_name(job.target)
        elif job.target.suffix.lower() not in FORMATS:
            raise UserError(
                f"{job.target}: expected an image's name, ending in {', '.join(FORMATS)}"
            )
