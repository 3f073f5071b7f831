"""Several datasets as one, such as real pairs beside synthesised ones."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar

from annotated_types import Gt, Le

from enhancement.errors import UserError
from enhancement.registry import DATASET_REGISTRY, lookup

from .base_dataset import EnhancementDataset
from .dataset_options import DatasetOptions
from .sampler import SampleIndex


@dataclass(frozen=True, kw_only=True)
class PartKeys:
    """What a part of a mixture may give beside its own dataset's keys.

    Attributes:
        repeat: How many times an epoch takes each of its images, cropped and degraded anew.
    """

    repeat: Annotated[int, Gt(0), Le(1000)] = 1


@dataclass(frozen=True, kw_only=True)
class MixedOptions(DatasetOptions):
    """Option keys of `MixedDataset`.

    A key that every dataset knows counts for each part that does not give it.

    Attributes:
        parts: Blocks of datasets, under any names.
    """

    parts: dict[str, dict[str, Any]]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.parts:
            raise UserError("parts: expected at least one dataset")


@DATASET_REGISTRY.register()
class MixedDataset(EnhancementDataset):
    """The images of several datasets, mixed.

    See `MixedOptions` for the option keys.
    """

    Options: ClassVar[type[DatasetOptions]] = MixedOptions

    def __init__(self, opt: dict[str, Any]):
        self.opt = opt
        self.options: Any = self.Options.pick(opt)
        self.datasets, self._places = [], []
        for part in self.parts(opt).values():
            dataset = lookup(DATASET_REGISTRY, part["type"])(part)
            repeat = part.get("repeat") or 1
            self._places += [
                (dataset, index, repeat, turn)
                for turn in range(repeat)
                for index in range(len(dataset))
            ]
            self.datasets.append(dataset)
        self.skipped = [text for dataset in self.datasets for text in dataset.skipped]
        self.masks = self.datasets[0].masks if all(d.masks for d in self.datasets) else None

    @classmethod
    def parts(cls, opt: dict[str, Any]) -> dict[str, dict[str, Any]]:
        shared = {f.name for f in fields(DatasetOptions)}
        inherited = {k: v for k, v in opt.items() if k in shared}
        return {name: {**inherited, **part} for name, part in opt["parts"].items()}

    @property
    def names(self) -> list[str]:
        parts = zip(self.opt["parts"], self.datasets, strict=True)
        return [f"{part}/{name}" for part, dataset in parts for name in dataset.names]

    def folders(self) -> list[Path]:
        return [folder for dataset in self.datasets for folder in dataset.folders()]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> dict[str, Any]:
        dataset, inner, repeat, turn = self._places[index]
        epoch = getattr(index, "epoch", 0) * repeat + turn
        sample: dict[str, Any] = dataset[SampleIndex(inner, epoch, getattr(index, "gt_size", None))]
        return sample
