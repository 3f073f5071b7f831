"""Near-duplicates by perceptual hash: the one notion of "the same scene" in this toolkit.

The hash is pHash (imagehash) of 16x16 bits: whether each of an image's low cosine frequencies is
above their median. On LOL-v1's targets retakes of one scene differ in at most 46 of the 256 bits,
and different scenes in at least 96; endoscopic frames of different places, alike in their black
borders, differ in at least 54 (Kvasir-SEG, WCEBleedGen). docs/data.md has the figures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from .images import Array, to_float
from .sources import Source

SAME_SCENE = 48  # at most so many of BITS differ
SIDE = 16
BITS = SIDE * SIDE
AT_ONCE = 2048

Hash = NDArray[np.float32]


def fingerprint(image: Array) -> Hash:
    """The hash of RGB (H, W, 3), uint8 or uint16: (BITS,) of -1 and 1."""
    if image.dtype != np.uint8:
        image = np.round(to_float(image) * 255).astype(np.uint8)
    bits = imagehash.phash(Image.fromarray(image), hash_size=SIDE).hash
    return np.where(bits.ravel(), 1, -1).astype(np.float32)


def near_pairs(a: Sequence[Hash], b: Sequence[Hash]) -> Iterator[tuple[int, int, int]]:
    """The near-duplicates in two lists of hashes: (index in a, index in b, bits that differ)."""
    for start, differ in _differences(a, b):
        for i, j in zip(*np.nonzero(differ <= SAME_SCENE), strict=True):
            yield start + int(i), int(j), int(differ[i, j])


def _differences(a: Sequence[Hash], b: Sequence[Hash]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """How many bits each of `a` differs in from each of `b`, some rows at once, from a row on."""
    if not len(a) or not len(b):
        return
    others = np.asarray(b).T
    for start in range(0, len(a), AT_ONCE):
        yield start, (BITS - np.asarray(a[start : start + AT_ONCE]) @ others) / 2


def scenes_of(hashes: Sequence[Hash]) -> list[int]:
    """A scene number for each hash; near-duplicates, and theirs in turn, share a number."""
    everyone = first = np.arange(len(hashes))  # of each one's scene, as far as it is known
    for start, differ in _differences(hashes, hashes):
        rows, columns = np.nonzero(differ <= SAME_SCENE)
        edges = np.concatenate((rows + start, everyone)), np.concatenate((columns, first))
        near = coo_array((np.ones(len(edges[0]), bool), edges), shape=(len(hashes), len(hashes)))
        labels = connected_components(near, directed=False)[1]
        first = np.unique(labels, return_index=True)[1][labels]
    return np.unique(first, return_inverse=True)[1].tolist()


def scenes(source: Source, names: Sequence[str]) -> list[int]:
    """A scene number for each image."""
    with ThreadPoolExecutor() as pool:
        return scenes_of(list(pool.map(lambda name: fingerprint(source.read(name)), names)))
