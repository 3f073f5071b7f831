"""Look a dataset over: pairs, sizes, types, unreadable files, near-duplicates, brightness."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from enhancement.data.images import Array, decode_image, image_kind
from enhancement.data.near_duplicates import Hash, fingerprint, near_pairs, scenes_of
from enhancement.dataset_tools.image_sets import ImageSet
from enhancement.errors import UserError

BINS = 64
Progress = Callable[[Iterable[Any], int], Iterable[Any]]


@dataclass
class Brightness:
    """Grey levels (BT.601, in [0, 255]) of one side of a set.

    Attributes:
        mean: Of all images' means.
        darkest, brightest: The extreme means.
        black, white: Shares of pixels below 1 and above 254.
        histogram: Shares of pixels in BINS equal bins, averaged over images.
    """

    mean: float
    darkest: float
    brightest: float
    black: float
    white: float
    histogram: list[float]


@dataclass
class SetReport:
    """What was found in one set.

    Attributes:
        name: The split.
        sides: Such as ("lq", "gt").
        count: Of samples (pairs, or single images).
        sizes, kinds: How often each occurs, "600x400" and "PNG 8-bit RGB", for each side.
        brightness: For each side.
        scenes: How many there are; near-duplicates are one.
        largest_scene: How many samples the largest one has.
        faults: A line for each image that is lonely, of another size than its partner or
            unreadable.
        copies: Samples that are the same files, byte for byte, as another one of this set.
    """

    name: str
    sides: tuple[str, ...]
    count: int
    sizes: dict[str, dict[str, int]] = field(default_factory=dict)
    kinds: dict[str, dict[str, int]] = field(default_factory=dict)
    brightness: dict[str, Brightness] = field(default_factory=dict)
    scenes: int = 0
    largest_scene: int = 0
    faults: list[str] = field(default_factory=list)
    copies: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Leak:
    """An image of one set that shows a scene of another one's.

    Attributes:
        image, of: Its name and set.
        nearest, among: The nearest image's name and set.
        bits: How many of the hash's differ.
    """

    image: str
    of: str
    nearest: str
    among: str
    bits: int


@dataclass
class Report:
    """What was found in all sets."""

    sets: list[SetReport]
    leaks: list[Leak]

    @property
    def problems(self) -> int:
        """How many faults, copies and leaks there are."""
        return len(self.leaks) + sum(len(s.faults) + len(s.copies) for s in self.sets)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"problems": self.problems, **asdict(self)}


@dataclass
class _Seen:
    """What is kept of one decoded image."""

    size: str
    kind: str
    digest: bytes
    levels: NDArray[np.float64]
    mean: float
    hash: Hash  # empty where it is not wanted


def _look(data: bytes, where: str, hashed: bool) -> _Seen:
    image = decode_image(data, where)
    levels, mean = grey_levels(image)
    mark = fingerprint(image) if hashed else np.empty(0, np.float32)
    size = f"{image.shape[1]}x{image.shape[0]}"
    return _Seen(size, image_kind(data, where), hashlib.sha256(data).digest(), levels, mean, mark)


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
        sets: From enhancement/image_sets.py.
        progress: Wraps the samples as they are done, with their number, to show how far it is.
    """
    jobs = [(chosen, sample) for chosen in sets for sample in chosen.samples]

    def look(job: tuple[ImageSet, tuple[str, ...]]) -> list[_Seen] | str:
        chosen, sample = job
        try:
            return [
                _look(source.encoded(name), source.where(name), source is chosen.sources[-1])
                for source, name in zip(chosen.sources, sample, strict=True)
            ]
        except UserError as error:
            return str(error)

    with ThreadPoolExecutor() as pool:
        looked = iter(list(progress(pool.map(look, jobs), len(jobs))))
    reports, hashed = [], []
    for chosen in sets:
        seen, faults = {}, list(chosen.faults)
        for sample, result in zip(chosen.samples, looked, strict=False):
            if isinstance(result, str):
                faults += [] if result in faults else [result]
            else:
                seen[sample] = result
        reports.append(_report(chosen, seen, faults))
        hashed.append({sample[-1]: found[-1].hash for sample, found in seen.items()})
    return Report(reports, _leaks([s.name for s in sets], hashed))


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
        float(np.mean(means)), min(means), max(means), float(levels[0]), float(levels[255]),
        levels.reshape(BINS, -1).sum(1).tolist(),
    )  # fmt: skip


def _leaks(sets: list[str], hashed: list[dict[str, Hash]]) -> list[Leak]:
    """Each image with its nearest in another set; of two sets the later one's images are listed."""
    leaks = []
    for later in range(1, len(sets)):
        for earlier in range(later):
            a, b = list(hashed[later].items()), list(hashed[earlier].items())
            nearest: dict[int, tuple[int, int]] = {}
            for i, j, bits in near_pairs([h for _, h in a], [h for _, h in b]):
                nearest[i] = min(nearest.get(i, (bits, j)), (bits, j))
            leaks += [
                Leak(a[i][0], sets[later], b[j][0], sets[earlier], bits)
                for i, (bits, j) in sorted(nearest.items())
            ]
    return leaks
