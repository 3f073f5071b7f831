"""Hold images out of a training set by scene, so that near-duplicates stay together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import chain

from .near_duplicates import scenes
from .sources import Source

SMALLEST_SHARE = 1e-6  # of folds


def split_by_scene(
    source: Source, names: Sequence[str], fractions: dict[str, float], test_fold: int = 0
) -> dict[str, list[int]]:
    """Divide images into subsets, whole scenes at a time.

    Scenes are ranked by a hash of their file names and taken until a share is full. Nothing is
    random, so every process and every machine divides alike.

    Args:
        source: Where the (gt) images are.
        names: The images.
        fractions: The share of each subset; "train" takes the rest.
        test_fold: Which of the consecutive shares is "test". With a share of one half or less, the
            folds from 0 to `folds_of(fractions["test"]) - 1` test every image once; the last one
            takes what the others leave.

    Returns:
        The indices of each subset's images, ascending.
    """
    groups: dict[int, list[int]] = {}
    for index, scene in enumerate(scenes(source, names)):
        groups.setdefault(scene, []).append(index)

    def rank(group: list[int]) -> str:
        return hashlib.sha256(min(names[i] for i in group).encode()).hexdigest()

    ordered = sorted(groups.values(), key=rank)

    def take(wanted: int) -> list[list[int]]:
        """The next scenes, until there are so many images."""
        taken: list[list[int]] = []
        while ordered and sum(map(len, taken)) < wanted:
            taken.append(ordered.pop(0))
        return taken

    share, count = fractions.get("test", 0.0), len(names)
    tested_by_others = take(round(test_fold * share * count))
    before = sum(map(len, tested_by_others))
    is_last = test_fold > 0 and test_fold == folds_of(share) - 1
    subsets: dict[str, list[list[int]]] = {}
    if "test" in fractions:
        end = count if is_last else round((test_fold + 1) * share * count)
        subsets["test"] = take(end - before)
    ordered += tested_by_others
    for name, fraction in fractions.items():
        if name != "test":
            subsets[name] = take(round(fraction * count))
    subsets["train"] = ordered
    return {name: sorted(chain.from_iterable(scenes)) for name, scenes in subsets.items()}


def folds_of(test_fraction: float) -> int:
    """How many folds of this share there are, at least 1."""
    return max(1, round(1 / test_fraction)) if test_fraction > SMALLEST_SHARE else 1
