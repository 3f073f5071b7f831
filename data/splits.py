"""Hold images out of a training set by scene, so that near-duplicates stay together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from .near_duplicates import scenes
from .sources import Source


def split_by_scene(
    source: Source, names: Sequence[str], fractions: dict[str, float]
) -> dict[str, list[int]]:
    """Divide images into subsets, whole scenes at a time.

    Scenes are ranked by a hash of their file names and taken until a share is full. Nothing is
    random, so every process and every machine divides alike.

    Args:
        source: Where the (gt) images are.
        names: The images.
        fractions: The share of each subset; "train" takes the rest.

    Returns:
        The indices of each subset's images, ascending.
    """
    groups: dict[int, list[int]] = {}
    for index, scene in enumerate(scenes(source, names)):
        groups.setdefault(scene, []).append(index)

    def rank(group: list[int]) -> str:
        return hashlib.sha256(min(names[i] for i in group).encode()).hexdigest()

    ordered = sorted(groups.values(), key=rank)
    subsets: dict[str, list[int]] = {subset: [] for subset in (*fractions, "train")}
    for subset, fraction in fractions.items():
        wanted = round(fraction * len(names))
        while ordered and len(subsets[subset]) < wanted:
            subsets[subset].extend(ordered.pop(0))
    subsets["train"] = [index for group in ordered for index in group]
    return {subset: sorted(indices) for subset, indices in subsets.items()}
