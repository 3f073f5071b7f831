"""Dark images alone, for training without ground truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from enhancement.errors import UserError
from enhancement.registry import DATASET_REGISTRY

from .base_dataset import EnhancementDataset, Found
from .dataset_options import DatasetOptions
from .degradations import DEGRADATIONS, Degradation, build_degradation
from .images import Array, to_float
from .sources import open_source
from .transforms import Frame


@dataclass(frozen=True, kw_only=True)
class UnpairedOptions(DatasetOptions):
    """Option keys of `UnpairedDataset`.

    Attributes:
        dataroot_lq: Folder of dark images or videos, LMDB of images, or `package:NAME/folder`.
        degradation: Darkens images that are well lit, as `SynthesisDataset` does; `type` and
            arguments. The targets are withheld.
        dataroot_boxes: Folder of ExDark's annotation files, one for each image, by which
            `--detector` is scored.
    """

    dataroot_lq: str
    degradation: dict[str, Any] | None = None
    dataroot_boxes: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dataroot_mask:
            raise UserError("dataroot_mask: unpaired images have no masks; leave it out")


@DATASET_REGISTRY.register()
class UnpairedDataset(EnhancementDataset):
    """Images without ground truth: a sample has no `gt`.

    Each image's degradation follows from (seed, epoch, index); epoch is 0 outside training. See
    `UnpairedOptions` for the option keys.
    """

    Options: ClassVar[type[DatasetOptions]] = UnpairedOptions
    nested: ClassVar[dict[str, dict[str, type[Degradation]]]] = {"degradation": DEGRADATIONS}
    gives: ClassVar[tuple[str, ...]] = ("lq",)

    def __init__(self, opt: dict[str, Any]):
        super().__init__(opt)
        chosen = self.options.degradation
        self.degrade: Degradation | None = build_degradation(chosen) if chosen else None

    @classmethod
    def find(cls, options: Any) -> Found:
        source = open_source(options.dataroot_lq, options.frame_step)
        return [source], [(name,) for name in source.names], []

    def finish(self, images: list[Array], frame: Frame, rng: np.random.Generator) -> list[Array]:
        if self.degrade is None:
            return images
        return [self.degrade(to_float(images[0]), frame, rng)[0]]
