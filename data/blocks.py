"""A dataset block of an option file, parsed."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, fields
from typing import Annotated, Any

from annotated_types import Ge, Gt

from enhancement.paths import locate
from enhancement.registry import DATASET_REGISTRY, lookup

from .base_dataset import EnhancementDataset

Positive = Annotated[int, Gt(0)]


@dataclass(frozen=True, kw_only=True)
class Loading:
    """Keys of every dataset block that the loader reads, not the dataset."""

    batch_size_per_gpu: Positive = 1
    num_worker_per_gpu: Annotated[int, Ge(0)] = 0
    pin_memory: bool | None = None
    use_shuffle: bool = True
    gt_sizes: list[Positive] | None = None
    mini_batch_sizes: list[Positive] | None = None
    iters: list[Positive] | None = None


@dataclass(frozen=True)
class DatasetBlock:
    key: str
    kind: type
    options: dict[str, Any]
    loading: Loading

    @classmethod
    def of(cls, key, options):
        names = {f.name for f in fields(Loading)}
        loading = Loading(**{k: v for k, v in options.items() if k in names})
        return cls(key, lookup(DATASET_REGISTRY, options["type"]), options, loading)

    @property
    def name(self) -> str:
        return str(self.options["name"])

    @property
    def given(self):
        return {k: v for k, v in self.options.items() if k not in ("phase", "scale")}

    @property
    def phase(self) -> str:
        return str(self.options["phase"])

    def build(self) -> Any:
        options = deepcopy(self.options)
        if not issubclass(self.kind, EnhancementDataset):
            options |= {k: str(locate(v)) for k, v in options.items() if k.startswith("dataroot")}
        return self.kind(options)
