"""Photographs enhanced by one network after the other, with time and memory of each."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from enhancement.app.jobs import Job, named
from enhancement.app.networks import Loaded, Networks
from enhancement.errors import UserError, naming
from enhancement.files import replace_file
from enhancement.inference.pictures import encode_picture, read_picture
from enhancement.inference.strength import Frame
from enhancement.memory import PeakUsage

SHOWN = 1600  # pixels of the longer side of what the page shows
SHOWN_QUALITY = 92  # of those JPEG files


@dataclass(frozen=True)
class Enhanced:
    """A photograph as a network has enhanced it.

    Attributes:
        name: The photograph's.
        network: The network's.
        before, after: JPEG files of at most `SHOWN` pixels a side.
        whole: The output as PNG, in the size and depth of the photograph.
        seconds: That enhancing took, without reading and writing.
        memory: Bytes that enhancing took at most.
    """

    name: str
    network: str
    before: Path
    after: Path
    whole: Path
    seconds: float
    memory: int


@dataclass
class Batch:
    """Photographs to be enhanced by each of some networks.

    Attributes:
        paths: The photographs.
        networks: By name.
        strength: In [0, 1].
        folder: Where the outputs are written, those of each photograph in a folder of its own.
        results: What is done.
        faults: What went wrong, each once.
        current: The photograph and network at work, as text.
    """

    paths: list[Path]
    networks: list[str]
    strength: float
    folder: Path
    results: list[Enhanced] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    current: str = ""
    _begun: int = 0

    @property
    def total(self) -> int:
        """How many outputs there will be."""
        return len(self.paths) * len(self.networks)

    @property
    def share(self) -> float:
        """How much is done, in [0, 1]."""
        return max(0, self._begun - 1) / self.total

    def enhance(self, available: Networks, job: Job) -> None:
        """Enhance them all.

        Args:
            available: The networks of the page.
            job: May be cancelled before each output.

        Raises:
            CancelledError: The job was.
        """
        for i, path in enumerate(self.paths):
            here = self.folder / str(i)
            here.mkdir()
            for network in self.networks:
                job.check()
                self._begun += 1
                self.current = f"{self._begun} of {self.total}: {path.name} by {network}"
                try:
                    one = enhance_photograph(path, network, available, self.strength, here)
                    self.results.append(one)
                except UserError as error:
                    fault = named(str(error), path)
                    self.faults.extend([fault] * (fault not in self.faults))


def enhance_photograph(
    path: Path, network: str, networks: Networks, strength: float, folder: Path
) -> Enhanced:
    """Enhance an image file by one network.

    Args:
        path: The file.
        network: By name.
        networks: Those of the page.
        strength: In [0, 1].
        folder: Where the outputs of this photograph are written.

    Raises:
        UserError: Not an image, or too large for the memory.
    """
    loaded = networks[network]
    picture = read_picture(path, loaded.admit)
    with naming(str(path)):
        done, seconds, memory = measured(loaded, picture.pixels, strength)
    name = f"{path.stem}_{Path(network).stem}"
    for number in count(2):  # of two networks, say W.pth and W.onnx
        whole = folder / f"{name}.png"
        if not whole.exists():
            break
        name = f"{path.stem}_{Path(network).stem}_{number}"
    before, after = folder / "before.jpg", whole.with_suffix(".jpg")
    replace_file(whole, encode_picture(replace(picture, pixels=done), whole))
    if not before.exists():
        write_shown(picture.pixels, before)
    write_shown(done, after)
    return Enhanced(path.name, network, before, after, whole, seconds, memory)


def measured(loaded: Loaded, frame: Frame, strength: float) -> tuple[Frame, float, int]:
    """An enhanced frame, the seconds that it took, and the bytes of memory."""
    with PeakUsage(loaded.core.device) as usage:
        began = time.perf_counter()
        done = loaded(frame, strength)
        seconds = time.perf_counter() - began
    return done, seconds, usage.bytes


def write_shown(pixels: Frame, path: Path) -> None:
    """Write what the page shows of an image: 8 bits, at most `SHOWN` pixels a side."""
    shrunk = min(1.0, SHOWN / max(pixels.shape[:2]))
    if shrunk < 1:
        size = [max(1, round(n * shrunk)) for n in (pixels.shape[1], pixels.shape[0])]
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    if pixels.dtype == np.uint16:
        pixels = np.round(pixels / 257).astype(np.uint8)
    Image.fromarray(pixels).save(path, quality=SHOWN_QUALITY, subsampling=0)
