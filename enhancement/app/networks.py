"""What the page offers to enhance with, and the networks that are loaded."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock

import numpy as np

from enhancement.archs.contract import Network
from enhancement.config.named_network import named_network
from enhancement.data.image_headers import Header, check_memory
from enhancement.errors import UserError, hint
from enhancement.inference.enhancer import load
from enhancement.inference.frames import Frame, FrameEnhancer
from enhancement.inference.memory_limit import MemoryLimit
from enhancement.inference.onnx_network import ONNX, open_network
from enhancement.inference.strength import blend
from enhancement.inference.tiles import PROBE
from enhancement.registry import ARCH_REGISTRY, lookup
from enhancement.weights.networks import network_in
from enhancement.weights.shipped import PURPOSES, shipped_weights
from enhancement.weights.tensor_files import WEIGHTS

KEPT = 4  # networks that stay loaded


@dataclass(frozen=True)
class Choice:
    """Something to enhance with.

    Attributes:
        name: Under which it is chosen; its file's, where it has one.
        about: What it is for, or which network it is.
        path: Its weights; None for a classic.
    """

    name: str
    about: str
    path: Path | None = None

    @property
    def label(self) -> str:
        """What the page calls it."""
        return f"{self.name}: {self.about}"


def shipped_choices() -> list[Choice]:
    """The weights that come with this package."""
    known = shipped_weights()
    return [Choice(name, about, known[name]) for name, about in PURPOSES.items() if name in known]


def classic_choices() -> list[Choice]:
    """The networks without weights."""
    return [
        Choice(name, _first_sentence(kind))
        for name, kind in sorted(ARCH_REGISTRY)
        if issubclass(kind, Network) and kind.family == "classics"
    ]


def _first_sentence(kind: type) -> str:
    line = inspect.cleandoc(kind.__doc__ or "").split("\n")[0].rstrip(".")
    return line[:1].lower() + line[1:]


def file_choices(folder: Path) -> tuple[list[Choice], list[str]]:
    """The files of weights in a folder, ours and published, and a line for each left out.

    Raises:
        UserError: It is no folder, or cannot be read.
    """
    try:
        files = sorted(p for p in folder.iterdir() if p.suffix.lower() in (*WEIGHTS, ONNX))
    except OSError as error:
        raise UserError(f"--folder {folder}: cannot be read ({error.strerror})") from error
    found, left_out = [], []
    for path in files:
        try:
            found.append(Choice(path.name, _network_name(path), path))
        except UserError as error:
            left_out.append(str(error))
    return found, left_out


def _network_name(path: Path) -> str:
    """The class of the network whose weights a file holds.

    Raises:
        UserError: It holds none that enhances.
    """
    if path.suffix.lower() == ONNX:
        open_network(path)
        return "an ONNX graph"
    name = str(network_in(path)[0].get("type"))
    if getattr(lookup(ARCH_REGISTRY, name), "gives", "image") != "image":
        raise UserError(f"{path}: {name} gives masks, not images; it enhances nothing")
    return name


class Loaded:
    """A network ready to enhance, for one caller at a time.

    Args:
        core: What enhances frames.
        limit: Of the memory, if there is one to be kept.
    """

    def __init__(self, core: FrameEnhancer, limit: MemoryLimit | None = None) -> None:
        self.core, self.limit, self._lock = core, limit, Lock()

    @property
    def admit(self) -> Callable[[Header, str], None]:
        """Refuses an image by its header where the memory does not suffice."""
        return self.limit.admit_image if self.limit else check_memory

    def __call__(self, frame: Frame, strength: float = 1.0) -> Frame:
        """Enhance a frame (H, W, 3), uint8, uint16 or float32; the same size and type.

        Raises:
            UserError: As by `FrameEnhancer`.
        """
        with self._lock:
            return blend(frame, self.core(frame), strength)


class Networks:
    """What the page offers; the networks used last stay loaded.

    Args:
        groups: What there is to choose from, by heading.
        device: As for `enhancement.load`.
        max_memory: As for `enhancement.load`.
    """

    def __init__(
        self, groups: dict[str, list[Choice]], device: str = "auto", max_memory: str | None = None
    ) -> None:
        self.groups, self.device, self.max_memory = groups, device, max_memory
        self.choices = {one.name: one for group in groups.values() for one in group}
        self._lock, self._kept = Lock(), lru_cache(KEPT)(self.load)

    def __getitem__(self, name: str) -> Loaded:
        """A network that may be loaded already.

        Raises:
            UserError: The page does not offer it, or it cannot be loaded.
        """
        with self._lock:
            return self._kept(name)

    def load(self, name: str, smoothing: float = 0.0) -> Loaded:
        """A network of the caller's own, as `smoothing` must have.

        Raises:
            UserError: The page does not offer it; it cannot be loaded, or smooths nothing.
        """
        if name not in self.choices:
            raise UserError(f"{name}: not among the networks here; {hint(name, self.choices)}")
        path = self.choices[name].path
        core = load(
            path or named_network(name).network,
            device=self.device,
            max_memory=self.max_memory,
            smoothing=smoothing,
        ).core
        core(np.zeros((PROBE, PROBE, 3), np.uint8))  # or the first one would wait for its kernels
        core.reset()
        limited = self.max_memory and core.device.type == "cpu"
        return Loaded(core, MemoryLimit(core) if limited else None)
