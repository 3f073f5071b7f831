"""Check a dataset: pairs, sizes, types, unreadable files, near-duplicates, brightness."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from enhancement.data.images import Array, decode_image, image_kind
from enhancement.data.near_duplicates import Hash, fingerprint, near_pairs, scenes_of
from enhancement.dataset_tools.image_sets import ImageSet
from enhancement.dataset_tools.report import Brightness, Leak, Report, SetReport
from enhancement.errors import UserError

BINS = 64  # of a histogram
Progress = Callable[[Iterable[Any], int], Iterable[Any]]


@dataclass
class _Seen:
    """What is remembered of one decoded image."""

    size: str
    kind: str
    digest: bytes
    levels: NDArray[np.float64]
    mean: float
    hash: Hash  # empty where it is not wanted


def _look_at(data: bytes, where: str, hashed: bool) -> _Seen:
    image = decode_image(data, where)
    levels, mean = grey_levels(image)
    return _Seen(
        size=f"{image.shape[1]}x{image.shape[0]}",
        kind=image_kind(data, where),
        digest=hashlib.sha256(data).digest(),
        levels=levels,
        mean=mean,
        hash=fingerprint(image) if hashed else np.empty(0, np.float32),
    )


def grey_levels(image: Array) -> tuple[NDArray[np.float64], float]:
    """Shares of an image's pixels at 256 grey levels, and its mean in [0, 255]."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if grey.dtype != np.uint8:
        grey = np.round(grey / 257).astype(np.uint8)
    levels = np.bincount(grey.ravel(), minlength=256) / grey.size
    return levels, float(levels @ np.arange(256))


def check(sets: list[ImageSet], progress: Progress = lambda found, _: found) -> Report:
    """Decode every image once and report on it.

    Args:
        sets: From image_sets.py.
        progress: Wraps the samples as they are done, with their number, to show how far it is.
    """
    jobs = [(chosen, sample) for chosen in sets for sample in chosen.samples]
    with ThreadPoolExecutor() as pool:
        looked = iter(list(progress(pool.map(_look_at_sample, jobs), len(jobs))))
    reports, hashes = [], []
    for chosen in sets:
        seen, faults = {}, list(chosen.faults)
        for sample, result in zip(chosen.samples, looked, strict=False):
            if isinstance(result, str):
                faults += [] if result in faults else [result]
            else:
                seen[sample] = result
        reports.append(_report(chosen, seen, faults))
        hashes.append({sample[-1]: found[-1].hash for sample, found in seen.items()})
    return Report(reports, _leaks([s.name for s in sets], hashes))


def _look_at_sample(job: tuple[ImageSet, tuple[str, ...]]) -> list[_Seen] | str:
    """What is remembered of a sample's images; or the fault, if one cannot be read."""
    chosen, sample = job
    try:
        return [
            _look_at(source.encoded(name), source.where(name), source is chosen.sources[-1])
            for source, name in zip(chosen.sources, sample, strict=True)
        ]
    except UserError as error:
        return str(error)


def _report(
    chosen: ImageSet, seen: dict[tuple[str, ...], list[_Seen]], faults: list[str]
) -> SetReport:
    report = SetReport(chosen.name, chosen.sides, len(chosen.samples), faults=faults)
    first: dict[tuple[bytes, ...], str] = {}
    for sample, found in seen.items():
        name = first.setdefault(tuple(image.digest for image in found), sample[-1])
        if name != sample[-1]:
            report.copies.append((sample[-1], name))
    for side, images in zip(chosen.sides, zip(*seen.values(), strict=True), strict=False):
        report.sizes[side] = dict(Counter(image.size for image in images).most_common())
        report.kinds[side] = dict(Counter(image.kind for image in images).most_common())
        report.brightness[side] = _brightness(images)
    scenes = Counter(scenes_of([found[-1].hash for found in seen.values()]))
    report.scenes, report.largest_scene = len(scenes), max(scenes.values(), default=0)
    return report


def _brightness(images: tuple[_Seen, ...]) -> Brightness:
    levels = np.mean([image.levels for image in images], axis=0)
    means = [image.mean for image in images]
    return Brightness(
        mean=float(np.mean(means)),
        darkest=min(means),
        brightest=max(means),
        black=float(levels[0]),
        white=float(levels[255]),
        histogram=levels.reshape(BINS, -1).sum(1).tolist(),
    )


def _leaks(sets: list[str], hashes: list[dict[str, Hash]]) -> list[Leak]:
    """Each image with its nearest one in another set; of two sets, the later one's are listed."""
    leaks = []
    for later in range(1, len(sets)):
        for earlier in range(later):
            a, b = list(hashes[later].items()), list(hashes[earlier].items())
            nearest: dict[int, tuple[int, int]] = {}
            for i, j, bits in near_pairs([h for _, h in a], [h for _, h in b]):
                nearest[i] = min(nearest.get(i, (bits, j)), (bits, j))
            leaks += [
                Leak(a[i][0], sets[later], b[j][0], sets[earlier], bits)
                for i, (bits, j) in sorted(nearest.items())
            ]
    return leaks
