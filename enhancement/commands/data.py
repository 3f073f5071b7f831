"""`enhance data`: check datasets, and make new ones."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from textwrap import indent
from typing import Any

import cv2
from tqdm import tqdm

from enhancement.data.images import write_image
from enhancement.data.low_light import LowLight
from enhancement.data.near_duplicates import BITS
from enhancement.dataset_tools.check import check
from enhancement.dataset_tools.histogram import histogram_plot
from enhancement.dataset_tools.image_sets import WHOLE, find_sets, sets_of_options
from enhancement.dataset_tools.lmdb import write_lmdb
from enhancement.dataset_tools.report import Report, SetReport
from enhancement.dataset_tools.split import split_set
from enhancement.dataset_tools.synthesize import find_blocks, folder_block, synthesize
from enhancement.errors import UserError
from enhancement.files import check_place
from enhancement.units import counted

RANGES = {f.name: f.default for f in fields(LowLight) if isinstance(f.default, tuple)}
HELP = "check a dataset; make an LMDB, dark images or a split"
EXAMPLES = """
enhance data check datasets/LOLv1 --histogram brightness.png
enhance data lmdb datasets/LOLv1/Train/input -o datasets/lol_input.lmdb
enhance data darken photos/ -o datasets/dark --exposure 0.05 0.2 --falloff 0.9
enhance data split datasets/KvasirSEG -o datasets/kvasir --val 0.1 --test 0.2
"""
SHOWN = 40  # lines of problems


@dataclass
class Action:
    """Something that can be done with a dataset.

    Attributes:
        help: In one line.
        add_arguments: To its parser.
        run: With the parsed arguments; returns the exit status.
        more: What its own --help adds.
    """

    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    more: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One parser for each action."""
    chosen = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, action in ACTIONS.items():
        lines = EXAMPLES.strip().splitlines()
        examples = "\n".join(line for line in lines if f" {name} " in line)
        child = chosen.add_parser(
            name,
            help=action.help,
            description="\n\n".join(filter(None, (action.help, action.more))),
            epilog="examples:\n" + indent(examples, "  "),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        action.add_arguments(child)
        child.set_defaults(act=action.run)


def run(arguments: argparse.Namespace) -> int:
    """Run the chosen action."""
    return int(arguments.act(arguments))


def _bar(items: Iterable[Any], total: int | None = None, unit: str = "image") -> Iterable[Any]:
    return tqdm(items, total=total, unit=unit, disable=not sys.stderr.isatty())


def _check_arguments(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("folder", nargs="?", metavar="DIR", help="images, pairs, or a known layout")
    which.add_argument("--opt", metavar="FILE", help="check the datasets of an option file")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument(
        "--histogram", type=Path, metavar="PNG", help="plot how bright the sets are"
    )


def _check(arguments: argparse.Namespace) -> int:
    if path := arguments.histogram:
        if not cv2.haveImageWriter(str(path)):
            raise UserError(f"--histogram {path}: expected the name of an image, such as x.png")
        check_place(path)
    sets = sets_of_options(arguments.opt) if arguments.opt else find_sets(arguments.folder)
    report = check(sets, _bar)
    if arguments.json:
        print(json.dumps(report.as_dict(), indent=2))
    else:
        _show(report)
    if arguments.histogram:
        write_image(arguments.histogram, histogram_plot(report))
        print(f"Written: {arguments.histogram}", file=sys.stderr)
    return 1 if report.problems else 0


def _counted(found: dict[str, int], limit: int = 3) -> str:
    """The most frequent entries, with their numbers where there are several."""
    if len(found) == 1:
        return next(iter(found))
    shown = [f"{key} ({count})" for key, count in list(found.items())[:limit]]
    rest = [f"{len(found) - limit} others"] if len(found) > limit else []
    return ", ".join(shown + rest)


def _show_set(found: SetReport) -> None:
    what = "pair" if len(found.sides) > 1 else "image"
    largest = f", up to {found.largest_scene} of one" if found.largest_scene > 1 else ""
    print(f"{found.name}: {counted(found.count, what)}, {counted(found.scenes, 'scene')}{largest}")
    for side, bright in found.brightness.items():
        print(
            f"  {side:<6} {_counted(found.kinds[side])}  {_counted(found.sizes[side])}\n"
            f"         mean grey {bright.mean:.1f} of 255 ({bright.darkest:.1f} to "
            f"{bright.brightest:.1f}), {bright.black:.1%} black, {bright.white:.1%} white"
        )


def _show(report: Report) -> None:
    for found in report.sets:
        _show_set(found)
    lines = [line for found in report.sets for line in found.faults]
    lines += [
        f"{image}: is a copy of {first} ({found.name})"
        for found in report.sets
        for image, first in found.copies
    ]
    lines += [
        f"{leak.image} ({leak.of}): shows the scene of {leak.nearest} ({leak.among}), "
        f"{leak.bits} of {BITS} bits differ"
        for leak in report.leaks
    ]
    for line in lines[:SHOWN]:
        print(line)
    if len(lines) > SHOWN:
        print(f"and {len(lines) - SHOWN} more; --json lists all")
    print(f"Problems: {report.problems}" if report.problems else "No problem found")


def _lmdb_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="folder of images")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="X.lmdb")


def _lmdb(arguments: argparse.Namespace) -> int:
    count = write_lmdb(arguments.folder, arguments.output, _bar)
    print(f"Written: {arguments.output}, {count} images")
    return 0


def _darken_arguments(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("folder", nargs="?", metavar="DIR", help="bright images, or an LMDB")
    which.add_argument("--opt", metavar="FILE", help="an option file with a SynthesisDataset")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT")
    parser.add_argument("--count", type=int, metavar="N", help="write at most N images")
    parser.add_argument("--seed", type=int, metavar="N", help="of what is drawn; default: 0")
    for name, (low, high) in RANGES.items():
        range_ = f"one value, or the lowest and the highest; default: {low:g} {high:g}"
        parser.add_argument(f"--{name}", type=float, nargs="+", metavar="X", help=range_)


def _darken(arguments: argparse.Namespace) -> int:
    given = {name: getattr(arguments, name) for name in ("seed", *RANGES)}
    given = {name: values for name, values in given.items() if values is not None}
    seed = arguments.seed or 0
    if seed < 0:
        raise UserError(f"--seed: expected a number from 0, but got {seed}")
    for name, values in given.items():
        if name in RANGES and len(values) > 2:
            raise UserError(f"--{name}: expected one or two values, but got {len(values)}")
    if arguments.opt:
        if given:
            raise UserError(
                f"--{next(iter(given))} does not go with --opt; set it in {arguments.opt}"
            )
        blocks = find_blocks(arguments.opt)
    else:
        ranges = {name: (v[0], v[-1]) for name, v in given.items() if name in RANGES}
        blocks = {"": folder_block(arguments.folder, ranges, seed)}
    synthesize(blocks, arguments.output, arguments.count)
    return 0


def _split_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="images, or two folders of pairs or masks")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT")
    parser.add_argument("--val", type=float, default=0.1, metavar="SHARE", help="default: 0.1")
    parser.add_argument("--test", type=float, default=0.1, metavar="SHARE", help="default: 0.1")
    parser.add_argument("--link", action="store_true", help="symbolic links instead of copies")


def _split(arguments: argparse.Namespace) -> int:
    sets = find_sets(arguments.folder)
    if sets[0].name != WHOLE:
        names = ", ".join(str(found.folder) for found in sets)
        raise UserError(f"{arguments.folder}: is divided already; name one of {names}")
    shares = {"test": arguments.test, "val": arguments.val}
    counts = split_set(sets[0], arguments.output, shares, arguments.link, _bar)
    print(f"Written: {arguments.output}: " + ", ".join(f"{k} {n}" for k, n in counts.items()))
    return 0


CHECK = """\
Exit status 1 where there is a problem: an image that is unreadable, without a partner or of
another size than its partner; a sample that is there twice; a scene in two splits."""
ACTIONS = {
    "check": Action(
        "look for faults, near-duplicates and odd types", _check_arguments, _check, CHECK
    ),
    "lmdb": Action("write an LMDB in BasicSR's form", _lmdb_arguments, _lmdb),
    "darken": Action(
        "write dark images to train on, with their originals", _darken_arguments, _darken
    ),
    "split": Action("divide into train, val and test by scene", _split_arguments, _split),
}
