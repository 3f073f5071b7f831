"""Hold images out of a training set by scene: near-duplicates stay on one side."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from scipy.sparse.csgraph import connected_components

from .images import Array, to_float
from .sources import Source

# On LOL-v1 retakes of one scene correlate above 0.97, different scenes below 0.82.
SAME_SCENE = 0.93
THUMBNAIL = 16


def thumbnail(image: Array) -> Array:
    """A picture as a unit vector: its grey 16x16 copy without the mean."""
    grey = cv2.cvtColor(to_float(image), cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA).ravel()
    small -= small.mean()
    return small / max(float(np.linalg.norm(small)), 1e-9)


def scenes(source: Source, names: Sequence[str]) -> list[int]:
    """A scene number for each name: pictures whose thumbnails correlate share one."""
    with ThreadPoolExecutor() as pool:
        vectors = np.array(list(pool.map(lambda name: thumbnail(source.read(name)), names)))
    same = vectors @ vectors.T >= SAME_SCENE
    return connected_components(same, directed=False)[1].tolist()


def split_by_scene(
    source: Source, names: Sequence[str], fractions: dict[str, float]
) -> dict[str, list[int]]:
    """Divide images into subsets, whole scenes at a time.

    Scenes are ranked by a hash of their file names and taken until a share is full: no random
    state is used, so every process and every machine divides alike.

    Args:
        source: Where the (gt) images are.
        names: The images.
        fractions: Subset name to its share; "train" takes the rest.

    Returns:
        Subset name to the indices of its images, ascending.
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
