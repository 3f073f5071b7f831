"""Pairs by file name, never by the order of two sorted lists."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from enhancement.errors import UserError

from .sources import Source

# LOL-v2-real calls the pair low00001.png and normal00001.png
ROLE = re.compile(r"^(low|lq|input|dark|normal|high|gt|target)(?=[\d_-])[_-]?", re.IGNORECASE)


def pair_key(name: str) -> str:
    """What both files of a pair share: the name without extension and without its role."""
    path = PurePosixPath(name)
    return (path.parent / ROLE.sub("", path.stem)).as_posix().lower()


def _by_key(source: Source) -> dict[str, str]:
    keyed: dict[str, str] = {}
    for name in source.names:
        other = keyed.setdefault(pair_key(name), name)
        if other != name:
            raise UserError(
                f"{source.where(name)}: has the same pair name as {other}; rename one of them"
            )
    return keyed


def pair_by_name(lq: Source, gt: Source) -> list[tuple[str, str]]:
    """The (lq, gt) names of every pair, sorted by name.

    Raises:
        UserError: An image lacks its partner (the first is named, the rest counted), or two files
            of one folder claim the same pair.
    """
    lqs, gts = _by_key(lq), _by_key(gt)
    lonely = [(lq, lqs[k], gt) for k in lqs.keys() - gts.keys()]
    lonely += [(gt, gts[k], lq) for k in gts.keys() - lqs.keys()]
    if lonely:
        source, name, other = min(lonely, key=lambda item: item[1])
        more = f" (and {len(lonely) - 1} more without a partner)" if len(lonely) > 1 else ""
        raise UserError(f"{source.where(name)}: has no partner of that name in {other.root}{more}")
    return [(lqs[key], gts[key]) for key in sorted(lqs)]


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
