"""`enhance run`: enhance images, folders, video or a camera."""

from __future__ import annotations

import argparse
import re
import sys
import time
from pathlib import Path

import numpy as np
from torch import nn
from tqdm import tqdm

from enhancement.config.named_network import HELP as NETWORK_HELP
from enhancement.config.named_network import named_network, one_of
from enhancement.device import add_threads
from enhancement.distributed import add_launcher, place_of
from enhancement.errors import UserError
from enhancement.files import check_place, remove_temporaries
from enhancement.inference.engines import add_engine, convert_now, engine_name
from enhancement.inference.enhancer import load
from enhancement.inference.frames import FrameEnhancer
from enhancement.inference.image_files import enhance_images
from enhancement.inference.jobs import Job, plan, without_existing
from enhancement.inference.memory_limit import MemoryLimit
from enhancement.inference.pictures import FORMATS
from enhancement.inference.piping import PIPE, piped
from enhancement.inference.sharing import Part, Parts, share, worth_converting
from enhancement.inference.strength import check_strength
from enhancement.inference.video import enhance_camera, enhance_video
from enhancement.inference.video_sink import check_video_name
from enhancement.inference.video_source import Camera, VideoSource
from enhancement.units import counted
from enhancement.weights.shipped import DEFAULT, DEFAULT_FOR_VIDEO

CAMERA = re.compile("[0-9]{1,9}")
ABANDONED = 3600.0  # seconds after which a file half written is nobody's any more
HELP = "enhance an image, a folder, a video or a camera"
EXAMPLES = """
enhance run dark.jpg -o bright.jpg
enhance run photos/*.jpg -o enhanced --strength 0.7
enhance run photos -o enhanced --weights W.pth --resume --format png
enhance run "photos/**/*.tif" -o enhanced --weights W.pth --max_memory 4GB
enhance run operation.mp4 -o clear.mp4 --weights surgery --smoothing 0.8
enhance run 0 -o camera.mp4 --weights W.pth --seconds 60
enhance run photos -o enhanced --network LIME:gamma=0.7
torchrun --nproc_per_node 2 -m enhancement run photos -o enhanced --resume
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is enhanced, by which network, and how."""
    add = parser.add_argument
    said = "files, folders (with their subfolders), quoted patterns; - for standard input; or the "
    add("input", nargs="+", help=f"{said}number of a camera")
    said = "folder; for a single input also the new file, or - for standard output"
    add("-o", "--out", required=True, help=said)
    said = "name of weights that come with this package, .pth file (ours or published), .onnx file"
    add("--weights", help=f"{said}; default: {DEFAULT}; for video: {DEFAULT_FOR_VIDEO}")
    add("--network", metavar="NAME", help=NETWORK_HELP)
    add("--format", choices=sorted({name[1:] for name in FORMATS}), help="of the images written")
    add("--device", default="auto", help="auto (default), cpu, cuda or cuda:N")
    add_engine(parser)
    add("--precision", choices=("fp32", "bf16", "fp16"), default="fp32")
    add("--batch", type=int, default=1, help="images of one size computed together")
    add("--max_memory", metavar="4GB", help="limit, kept by tiling; default: most of what is free")
    blended = "share of the output in a blend with the input, in linear light; default: 1"
    add("--strength", type=float, default=1.0, metavar="0..1", help=blended)
    add("--self_ensemble", action="store_true", help="mean over 8 flips and rotations")
    steadiness = "how steady a video's brightness is kept (HDRNet)"
    add("--smoothing", type=float, default=0.0, metavar="0..1", help=steadiness)
    add("--compare", action="store_true", help="write input and output side by side as well")
    add("--resume", action="store_true", help="skip files that exist already")
    add("--seconds", type=float, help="how long to record a camera; default: until Ctrl-C")
    add_launcher(parser)
    add_threads(parser)


def run(arguments: argparse.Namespace) -> int:
    """Enhance; 1 if some of many files could not be."""
    with piped(arguments.input, arguments.out, arguments.format) as (given, out):
        return enhance(arguments, given, out)


def enhance(arguments: argparse.Namespace, given: list[str], out: str) -> int:
    """Enhance inputs and write them to an output, both by names of files or folders."""
    place = place_of(arguments.launcher)
    if place.world_size > 1 and (PIPE in arguments.input or arguments.out == PIPE):
        raise UserError(f"'{PIPE}' stands for one image; run it in one process")
    jobs, left_out = planned(arguments, given, out)
    enhancers = make_enhancers(arguments, jobs, quiet=place.rank > 0)
    if not jobs:
        if place.world_size > 1:
            raise UserError(f"camera {given[0]}: only one process can read a camera")
        return record(Camera(int(given[0]), arguments.seconds), Path(out), enhancers[True])
    if worth_converting(jobs):
        for enhancer in enhancers.values():
            convert_now(enhancer.network)
    for folder in {job.target.parent for job in jobs}:
        remove_temporaries(folder, ABANDONED)
    folder = Path(out).parent if jobs[0].target == Path(out) else Path(out)
    parts = Parts(folder, place) if place.world_size > 1 else None
    part = done_by(arguments, share(jobs, place), enhancers, quiet=place.rank > 0)
    if place.rank == 0:
        part.faults, part.total = left_out + part.faults, part.total + len(left_out)
    if part.faults and len(jobs) + len(left_out) == 1:
        raise UserError(part.faults[0])
    if not parts:
        return say(part, arguments.out)
    return say_of_many(part, parts, out)


def done_by(
    arguments: argparse.Namespace,
    jobs: list[Job],
    enhancers: dict[bool, FrameEnhancer],
    quiet: bool,
) -> Part:
    """Enhance files, with `--resume` those that are not there yet; what was done."""
    began = time.perf_counter()
    wanted = jobs
    if arguments.resume:
        missing = [job for job in jobs if not all(path.exists() for path in job.outputs)]
        wanted = [without_existing(job) for job in missing]
    faults = []
    for is_video, enhancer in enhancers.items():
        limited = arguments.max_memory and enhancer.device.type == "cpu"
        limit = MemoryLimit(enhancer) if limited else None
        files = [job for job in wanted if job.is_video == is_video]
        if is_video:
            faults += [fault for job in files for fault in video(job, enhancer, limit, quiet)]
        else:
            faults += images(arguments, files, enhancer, limit, quiet)
    return Part(
        done=len(wanted) - len(faults),
        total=len(jobs),
        existing=len(jobs) - len(wanted),
        seconds=time.perf_counter() - began,
        engine=" and ".join(sorted({engine_name(one.network) for one in enhancers.values()})),
        faults=faults,
    )


def say(part: Part, out: str, processes: str = "") -> int:
    """Print what was done, and what could not be; 1 if there is such."""
    skipped = f"; {part.existing} there already" if part.existing else ""
    print(
        f"{part.done} of {part.total} files in {part.seconds:.1f} s by {part.engine}{processes}"
        f"{skipped}: {out}",
        file=sys.stderr if out == PIPE else sys.stdout,
    )
    if part.faults:
        print(f"{len(part.faults)} could not be enhanced:", file=sys.stderr)
    for fault in part.faults:
        print(f"  {fault}", file=sys.stderr)
    return 1 if part.faults else 0


def say_of_many(part: Part, parts: Parts, out: str) -> int:
    """Print what this process has done; the last one prints the sum, and has its exit status.

    A launcher ends the other processes as soon as one of them has another status than 0.
    """
    say(part, out, f", rank {parts.place.rank} of {parts.place.world_size}")
    parts.leave(part)
    whole = parts.sum()
    if whole is None:
        return 0
    print("All processes:")
    return say(whole, out, f" in {parts.place.world_size} processes")


def planned(
    arguments: argparse.Namespace, given: list[str], out: str
) -> tuple[list[Job], list[str]]:
    """The files to be enhanced, none for a camera; and a line for each that is left out.

    Raises:
        UserError: An option does not fit the input, or an output cannot be written.
    """
    camera = len(given) == 1 and CAMERA.fullmatch(given[0]) and not Path(given[0]).exists()
    if camera:
        check_video_name(Path(out))
        check_place(Path(out))
        jobs, left_out = [], []
    else:
        found = plan(given, out, arguments.format, arguments.compare)
        jobs, left_out = found.jobs, found.left_out
    check_strength(arguments.strength)
    if arguments.seconds is not None and not arguments.seconds > 0:
        raise UserError(f"--seconds: expected a number above 0, but got {arguments.seconds}")
    if arguments.seconds is not None and not camera:
        raise UserError("--seconds: is for a camera, and there is none; leave it out")
    if arguments.batch < 1:
        raise UserError(f"--batch: expected at least 1, but got {arguments.batch}")
    if arguments.compare and (camera or arguments.out == PIPE):
        raise UserError("--compare: is for files, not for a camera or a pipe; leave it out")
    if arguments.resume and camera:
        raise UserError("--resume: is for files, not for a camera; leave it out")
    if arguments.smoothing and not camera and not all(job.is_video for job in jobs):
        raise UserError("--smoothing is for video, but there are images; leave it out")
    if arguments.smoothing and arguments.engine == "onnx":
        raise UserError("--smoothing needs PyTorch's bilateral grid; leave out --engine onnx")
    return jobs, left_out


def make_enhancers(
    arguments: argparse.Namespace, jobs: list[Job], quiet: bool
) -> dict[bool, FrameEnhancer]:
    """What enhances pictures (False) and video (True), as far as there are such jobs.

    A camera, which is video, has no jobs.
    """
    kinds = sorted({job.is_video for job in jobs}) or [True]
    if arguments.network:
        one_of(arguments.weights, arguments.network)
        network = named_network(arguments.network).network
        return dict.fromkeys(kinds, make_enhancer(arguments, network))
    if arguments.weights:
        return dict.fromkeys(kinds, make_enhancer(arguments, arguments.weights))
    names = {kind: DEFAULT_FOR_VIDEO if kind else DEFAULT for kind in kinds}
    if not quiet:
        said = " and ".join(names.values())
        print(f"Weights: {said}, which come with this package", file=sys.stderr)
    return {kind: make_enhancer(arguments, name) for kind, name in names.items()}


def make_enhancer(arguments: argparse.Namespace, weights: str | nn.Module) -> FrameEnhancer:
    """A network set up as the options say."""
    return load(
        weights,
        device=arguments.device,
        engine=arguments.engine,
        precision=arguments.precision,
        max_memory=arguments.max_memory,
        strength=arguments.strength,
        smoothing=arguments.smoothing,
        ensemble=arguments.self_ensemble,
    ).core


def images(
    arguments: argparse.Namespace,
    jobs: list[Job],
    enhancer: FrameEnhancer,
    limit: MemoryLimit | None,
    quiet: bool,
) -> list[str]:
    """Enhance the image files; what went wrong."""
    if not jobs:
        return []
    with bar("Images", len(jobs), "image", quiet) as shown:
        return enhance_images(jobs, enhancer, arguments.batch, shown.update, limit)


def video(job: Job, enhancer: FrameEnhancer, limit: MemoryLimit | None, quiet: bool) -> list[str]:
    """Enhance one video file; what went wrong."""
    enhancer.reset()
    try:
        source = VideoSource(job.source)
        if limit:
            limit.admit_video(source)
        began = time.perf_counter()
        with bar(job.source.name, source.frames_expected, "frame", quiet) as shown:
            lost = enhance_video(source, job.target, enhancer, shown.update, job.comparison)
        rate = source.frames_read / (time.perf_counter() - began)
        print(f"{job.target}: {counted(source.frames_read, 'frame')}, {rate:.1f} a second")
        if lost:
            ending = job.target.suffix
            print(f"{job.target}: {ending} does not take {', '.join(lost)}", file=sys.stderr)
    except UserError as error:
        return [str(error)]
    return []


def record(camera: Camera, out: Path, enhancer: FrameEnhancer) -> int:
    """Record a camera."""
    enhancer(np.zeros((camera.height, camera.width, 3), np.uint8))  # or the first would wait for it
    enhancer.reset()
    print("Recording; Ctrl-C ends it", file=sys.stderr)
    with bar(f"camera {camera.index}", None, "frame") as shown:
        enhance_camera(camera, out, enhancer, shown.update)
    print(f"Written: {out}")
    return 0


def bar(what: str, total: int | None, unit: str, quiet: bool = False) -> tqdm:
    """A progress bar, on a terminal."""
    hidden = quiet or not sys.stderr.isatty()
    return tqdm(desc=what, total=total or None, unit=unit, disable=hidden)
