"""Pairs by file name, never by the order of two sorted lists."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from enhancement.errors import UserError

from .sources import Source

# LOL-v2-real calls the pair low00001.png and normal00001.png
ROLE = re.compile(r"^(low|lq|input|dark|normal|high|gt|target)(?=[\d_-])[_-]?", re.IGNORECASE)


def pair_key(name: str, strip_role: bool = True) -> str:
    """What both files of a pair share: the name without extension and without its role."""
    path = PurePosixPath(name)
    stem = ROLE.sub("", path.stem) if strip_role else path.stem
    return (path.parent / stem).as_posix().lower()


def _by_key(
    source: Source, names: list[str], strip_role: bool, template: str = "{}"
) -> dict[str, str]:
    keyed: dict[str, str] = {}
    for name in names:
        other = keyed.setdefault(pair_key(_untemplated(name, template), strip_role), name)
        if other != name:
            raise UserError(
                f"{source.where(name)}: has the same pair name as {other}; rename one of them"
            )
    return keyed


def _untemplated(name: str, template: str) -> str:
    """The gt's name inside an lq's; the name itself where it does not follow the template."""
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
        template: What an lq file is called after its gt: "{}x4" for a.png and ax4.png.

    Returns:
        The (lq, gt) names of every pair, sorted; and a line for each image without a partner.

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
    lonely = [(lq.where(name), gt) for name in lq_left] + [(gt.where(name), lq) for name in gt_left]
    faults = [f"{where}: has no partner of that name in {s.root}" for where, s in sorted(
        lonely, key=lambda item: item[0])]  # fmt: skip
    return sorted(pairs), faults


def check_sizes(lq: Source, gt: Source, pairs: list[tuple[str, str]]) -> list[str]:
    """One line for each pair whose images differ in size or whose header cannot be read."""
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
