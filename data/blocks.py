"""A dataset block of an option file, parsed: which class, its options, how it is loaded."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, fields
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, Lt

from enhancement.paths import locate
from enhancement.registry import DATASET_REGISTRY, lookup

from .base_dataset import EnhancementDataset
from .dataset_options import LONGEST_SIDE
from .sampler import Stage

Positive = Annotated[int, Gt(0)]
Side = Annotated[int, Gt(0), Le(LONGEST_SIDE)]


@dataclass(frozen=True, kw_only=True)
class Loading:
    """Keys of every dataset block that the loader reads, not the dataset.

    `gt_sizes`, `mini_batch_sizes` and `iters` make patches progressive: for `iters[i]` iterations,
    batches of `mini_batch_sizes[i]` crops of `gt_sizes[i]`; the last entries stay in force.

    Attributes:
        batch_size_per_gpu: Samples in a batch of one process.
        num_worker_per_gpu: Processes that read images for each training process; with 0 it reads
            them itself.
        pin_memory: Page-locked batches, for faster copies to a GPU; None: if there is a GPU.
        use_shuffle: A new order in each epoch.
        gt_sizes: Side of the crops in each stage.
        mini_batch_sizes: Samples in a batch of one process, in each stage.
        iters: Iterations of each stage.
    """

    batch_size_per_gpu: Positive = 1
    num_worker_per_gpu: Annotated[int, Ge(0), Lt(256)] = 0
    pin_memory: bool | None = None
    use_shuffle: bool = True
    gt_sizes: list[Side] | None = None
    mini_batch_sizes: list[Positive] | None = None
    iters: list[Positive] | None = None

    @property
    def stages(self) -> list[Stage]:
        """The stages of training: progressive where `iters` is given, else a single one."""
        if not self.iters:
            return [Stage(self.batch_size_per_gpu)]
        batches = self.mini_batch_sizes or [self.batch_size_per_gpu] * len(self.iters)
        sizes = self.gt_sizes or len(self.iters) * [None]
        return [Stage(b, s, n) for b, s, n in zip(batches, sizes, self.iters, strict=True)]


def gives_truth(dataset: Any) -> bool:
    """Whether a dataset class, ours or BasicSR's, gives a ground truth for each image."""
    return "gt" in getattr(dataset, "gives", ("lq", "gt"))


@dataclass(frozen=True)
class DatasetBlock:
    """One block under `datasets`.

    Attributes:
        key: What the block is called there: "train", "val", "test_2".
        kind: The registered dataset class.
        options: Every key of the block as given, `type`, `name`, `phase` and `scale` included.
        loading: What the loader reads of them.
    """

    key: str
    kind: type
    options: dict[str, Any]
    loading: Loading

    @classmethod
    def of(cls, key: str, options: dict[str, Any]) -> DatasetBlock:
        """Parse a block whose types have been checked.

        Raises:
            UserError: No dataset class is registered as its `type`.
        """
        names = {f.name for f in fields(Loading)}
        given = {k: v for k, v in options.items() if k in names}
        kind = lookup(DATASET_REGISTRY, str(options.get("type")))
        return cls(key, kind, options, Loading(**given))

    @property
    def name(self) -> str:
        """The name under which the set is reported."""
        return str(self.options.get("name") or self.key)

    @property
    def phase(self) -> str:
        """What the set is for: "train", "val" or "test"."""
        return str(self.options.get("phase") or self.key.partition("_")[0])

    @property
    def gives_truth(self) -> bool:
        """Whether its dataset gives a ground truth for each image."""
        return all(gives_truth(part.kind) for part in self.parts)

    @property
    def parts(self) -> list[DatasetBlock]:
        """The sets that this one mixes; itself, if it is of one piece."""
        mixed = self.kind.parts(self.options) if issubclass(self.kind, EnhancementDataset) else {}
        return [
            DatasetBlock(name, lookup(DATASET_REGISTRY, options["type"]), options, self.loading)
            for name, options in mixed.items()
        ] or [self]

    @property
    def given(self) -> dict[str, Any]:
        """The options as an option file gives them, without what follows from their place."""
        return {k: v for k, v in self.options.items() if k not in ("phase", "scale")}

    def build(self) -> Any:
        """The dataset, made from a copy of the options.

        Raises:
            UserError: Its files are not as they should be.
        """
        options = {**deepcopy(self.options), "name": self.name, "phase": self.phase}
        if not issubclass(self.kind, EnhancementDataset):  # which locates its folders itself
            roots = {key for key in options if key.startswith("dataroot")}
            options |= {key: str(locate(options[key])) for key in roots}
        return self.kind(options)
