"""What a check found in a dataset."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Brightness:
    """Grey levels (BT.601, in [0, 255]) of one side of a set.

    Attributes:
        mean: Of all images' means.
        darkest, brightest: The lowest and the highest mean of an image.
        black, white: Shares of pixels below 1 and above 254.
        histogram: Shares of pixels in equal bins, averaged over images.
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
        largest_scene: The number of samples of the largest one.
        faults: A line for each image that is unpaired, of another size than its partner or
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
    """An image of one set that shows a scene of another set.

    Attributes:
        image, of: Its name and set.
        nearest, among: The nearest image's name and set.
        bits: How many bits of the two hashes differ.
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
        """The number of faults, copies and leaks."""
        return len(self.leaks) + sum(len(s.faults) + len(s.copies) for s in self.sets)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"problems": self.problems, **asdict(self)}
