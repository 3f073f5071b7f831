"""Good images, each with a degradation of it made on the fly."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from enhancement.registry import DATASET_REGISTRY

from .base_dataset import EnhancementDataset, Found
from .dataset_options import DatasetOptions
from .degradations import DEGRADATIONS, Degradation, build_degradation
from .images import Array, to_float
from .low_light import LowLight
from .sources import open_source
from .transforms import Frame


@dataclass(frozen=True, kw_only=True)
class SynthesisOptions(DatasetOptions):
    """Option keys of `SynthesisDataset`.

    Attributes:
        dataroot_gt: Folder or LMDB of good images, or `package:NAME/folder`.
        degradation: `type`, a name in data/degradations.py, and that class's arguments.
    """

    dataroot_gt: str
    degradation: dict[str, Any] = field(default_factory=lambda: {"type": LowLight.__name__})

    def build(self) -> Degradation:
        """The degradation; errors as those of `build_degradation`."""
        return build_degradation(self.degradation)


@DATASET_REGISTRY.register()
class SynthesisDataset(EnhancementDataset):
    """Good images, and what a degradation makes of them on the fly.

    Each image's degradation follows from (seed, epoch, index); epoch is 0 outside training. See
    `SynthesisOptions` for the option keys.
    """

    Options: ClassVar[type[DatasetOptions]] = SynthesisOptions
    nested: ClassVar[dict[str, dict[str, type[Degradation]]]] = {"degradation": DEGRADATIONS}

    def __init__(self, opt: dict[str, Any]):
        super().__init__(opt)
        self.degrade: Degradation = self.options.build()

    @classmethod
    def find(cls, options: Any) -> Found:
        source = open_source(options.dataroot_gt, options.frame_step)
        return [source], [(name,) for name in source.names], []

    def finish(self, images: list[Array], frame: Frame, rng: np.random.Generator) -> list[Array]:
        gt = to_float(images[0])
        return [self.degrade(gt, frame, rng)[0], gt]

    def synthesise(self, index: int) -> tuple[str, Array, Array, dict[str, float]]:
        """A whole sample as the dataset gives it outside training.

        Returns:
            The image's name, lq and gt (H, W, 3) in [0, 1], and the values that were drawn.
        """
        gt = to_float(self.images(index)[0])
        rng = np.random.default_rng((self.options.seed, 0, index))
        lq, drawn = self.degrade(gt, Frame(0, 0, *gt.shape[:2]), rng)
        return self.samples[index][0], lq, gt, drawn
