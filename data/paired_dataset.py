"""Pairs of a low-quality image and its ground truth, from folders or LMDBs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from enhancement.errors import UserError, naming
from enhancement.paths import locate
from enhancement.registry import DATASET_REGISTRY

from .base_dataset import EnhancementDataset, Found
from .dataset_options import DatasetOptions
from .images import Array
from .layouts import LAYOUTS, layout_folders
from .pairing import check_sizes, check_template, pair_by_name
from .sources import open_source
from .transforms import Frame


@dataclass(frozen=True, kw_only=True)
class PairedOptions(DatasetOptions):
    """Either `layout` with `split` (and `dataroot`), or `dataroot_lq` and `dataroot_gt`.

    Attributes:
        layout: A known dataset (data/layouts.py).
        dataroot: Where that dataset lies; None takes the layout's usual place.
        split: Its published split.
        dataroot_lq, dataroot_gt: Two folders or LMDBs.
        filename_tmpl: How an lq file is named after its gt, without extensions: "{}" alike.
    """

    layout: Literal[tuple(LAYOUTS)] | None = None  # type: ignore[valid-type]
    dataroot: str | None = None
    split: Literal["train", "val", "test"] = "train"
    dataroot_lq: str | None = None
    dataroot_gt: str | None = None
    filename_tmpl: str = "{}"

    def __post_init__(self) -> None:
        super().__post_init__()
        with naming("filename_tmpl"):
            check_template(self.filename_tmpl)

    def masks(self) -> str | None:
        """`dataroot_mask`, or else a layout's `masks` folder next to its gt's, if there is one."""
        if self.dataroot_mask or not self.layout:
            return self.dataroot_mask
        neighbour = f"{self.folders()[1].rsplit('/', 1)[0]}/masks"
        return neighbour if locate(neighbour).is_dir() else None

    def folders(self) -> tuple[str, str]:
        """The (lq, gt) folders.

        Raises:
            UserError: Both ways or neither were given, or the folders do not exist.
        """
        if self.layout and not (self.dataroot_lq or self.dataroot_gt):
            return layout_folders(self.layout, self.dataroot, self.split)
        if self.layout or self.dataroot or not (self.dataroot_lq and self.dataroot_gt):
            raise UserError(
                "give either layout (with dataroot and split), or both dataroot_lq and dataroot_gt"
            )
        return self.dataroot_lq, self.dataroot_gt


@DATASET_REGISTRY.register()
class PairedDataset(EnhancementDataset):
    """Pairs of images (or frames of videos), found by their names.

    See `PairedOptions` for the option keys.
    """

    Options: ClassVar[type[DatasetOptions]] = PairedOptions

    @classmethod
    def find(cls, options: Any) -> Found:
        lq, gt = (open_source(root, options.frame_step) for root in options.folders())
        pairs, unpaired = pair_by_name(lq, gt, options.filename_tmpl)
        mismatched = check_sizes(lq, gt, pairs) if options.on_error == "raise" else []
        return [lq, gt], list(pairs), unpaired + mismatched

    def finish(self, images: list[Array], frame: Frame, rng: np.random.Generator) -> list[Array]:
        return images
