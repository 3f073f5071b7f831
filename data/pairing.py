"""Pairs by file name, never by the order of two sorted lists."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from enhancement.errors import UserError

from .sources import Source

# LOL-v2-real calls the pair low00001.png and normal00001.png
ROLE = re.compile(r"^(low|lq|input|dark|normal|high|gt|target)(?=[\d_-])[_-]?", re.IGNORECASE)


def check_template(text: str) -> None:
    """Refuse what names no file after another.

    Raises:
        UserError: It does not hold {} once, or holds further braces.
    """
    if not re.fullmatch(r"[^{}]*\{\}[^{}]*", text):
        raise UserError(f"must hold {{}} once, but is {text!r}")


def pair_key(name: str, strip_role: bool = True) -> str:
    """What the names of a pair have in common: all but the extension, the case and the role."""
    path = PurePosixPath(name)
    stem = ROLE.sub("", path.stem) if strip_role else path.stem
    return (path.parent / stem).as_posix().lower()


def _by_key(
    source: Source, names: list[str], strip_role: bool, template: str = "{}"
) -> dict[str, str]:
    """The names by their pair key."""
    keyed: dict[str, str] = {}
    for name in names:
        other = keyed.setdefault(pair_key(_untemplated(name, template), strip_role), name)
        if other != name:
            raise UserError(
                f"{source.where(name)}: has the same pair name as {other}; rename one of them"
            )
    return keyed


def _untemplated(name: str, template: str) -> str:
    """The gt's name that an lq's was made from; the name itself if it is not of that form."""
    before, after = template.split("{}")
    path = PurePosixPath(name)
    inside = path.stem.removeprefix(before).removesuffix(after)
    return str(path.with_stem(inside)) if template.format(inside) == path.stem else name


def pair_by_name(
    lq: Source, gt: Source, template: str = "{}"
) -> tuple[list[tuple[str, str]], list[str]]:
    """Pair two sources: by equal names first, then by names that differ in their role.

    Args:
        lq, gt: The sources.
        template: How an lq file is named after its gt: "{}x4" for a.png and ax4.png.

    Returns:
        The (lq, gt) names of every pair, sorted; and a line for each unpaired image.

    Raises:
        UserError: Two files of one folder claim the same pair.
    """
    pairs: list[tuple[str, str]] = []
    lq_left, gt_left = lq.names, gt.names
    for strip_role in (False, True):
        lqs = _by_key(lq, lq_left, strip_role, template)
        gts = _by_key(gt, gt_left, strip_role)
        pairs += [(lqs[key], gts[key]) for key in lqs.keys() & gts.keys()]
        lq_left = [lqs[key] for key in lqs.keys() - gts.keys()]
        gt_left = [gts[key] for key in gts.keys() - lqs.keys()]
    unpaired = [(lq.where(name), gt.root) for name in lq_left]
    unpaired += [(gt.where(name), lq.root) for name in gt_left]
    faults = [f"{where}: has no partner of that name in {root}" for where, root in sorted(unpaired)]
    return sorted(pairs), faults


def check_sizes(lq: Source, gt: Source, pairs: list[tuple[str, str]]) -> list[str]:
    """A line for each pair whose images differ in size, or of which a header cannot be read."""
    faults = []
    for lq_name, gt_name in pairs:
        try:
            a, b = lq.size(lq_name), gt.size(gt_name)
        except UserError as error:
            faults.append(str(error))
            continue
        if a != b:
            faults.append(
                f"{lq.where(lq_name)}: is {a[1]}x{a[0]}, "
                f"but its partner {gt.where(gt_name)} is {b[1]}x{b[0]}"
            )
    return faults
