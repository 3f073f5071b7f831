"""Well-exposed, clear images and a degradation of each, made on the fly."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from basicsr.utils.registry import DATASET_REGISTRY

from .base_dataset import DatasetOptions, EnhancementDataset, Found
from .haze import Haze
from .images import Array, to_float
from .low_light import LowLight
from .sources import open_source
from .transforms import Frame

DEGRADATIONS: dict[str, type] = {"Haze": Haze, "LowLight": LowLight}


@dataclass(frozen=True, kw_only=True)
class SynthesisOptions(DatasetOptions):
    """Option keys of `SynthesisDataset`.

    Attributes:
        dataroot_gt: Folder or LMDB of good images, or `package:NAME/folder`.
        degradation: `type: LowLight` or `type: Haze`, and that class's arguments.
    """

    dataroot_gt: str
    degradation: dict[str, Any] = field(default_factory=lambda: {"type": "LowLight"})

    def build(self) -> LowLight | Haze:
        """The degradation."""
        arguments = dict(self.degradation)
        return DEGRADATIONS[arguments.pop("type")](**arguments)


@DATASET_REGISTRY.register()
class SynthesisDataset(EnhancementDataset):
    """Each image's degradation is fixed by (seed, index, epoch); outside training epoch is 0."""

    Options: ClassVar[type[DatasetOptions]] = SynthesisOptions
    nested: ClassVar[dict[str, dict[str, type]]] = {"degradation": DEGRADATIONS}

    def __init__(self, opt: dict[str, Any]):
        super().__init__(opt)
        self.degrade = self.options.build()

    @classmethod
    def find(cls, options: Any) -> Found:
        source = open_source(options.dataroot_gt)
        return [source], [(name,) for name in source.names], []

    def finish(self, images: list[Array], frame: Frame, rng: np.random.Generator) -> list[Array]:
        gt = to_float(images[0])
        return [self.degrade(gt, frame, rng)[0], gt]

    def synthesise(self, index: int) -> tuple[str, Array, Array, dict[str, float]]:
        """A whole sample as the dataset gives it outside training.

        Returns:
            The image's name, lq and gt (H, W, 3) in [0, 1], and what the degradation drew.
        """
        sample = self.samples[index]
        gt = to_float(self._cache[index][0] if self._cache else self._read(sample)[0])
        rng = np.random.default_rng((self.options.seed, 0, index))
        lq, drawn = self.degrade(gt, Frame(0, 0, *gt.shape[:2]), rng)
        return sample[0], lq, gt, drawn
