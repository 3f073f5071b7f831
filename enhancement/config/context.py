"""A run of a config: which process this is, on what device, in which folder."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from enhancement.data.blocks import DatasetBlock
from enhancement.device import resolve_num_gpu
from enhancement.paths import inside

from .datasets import selection_set, validates_on_test
from .schema import Config


@dataclass(frozen=True)
class RunContext:
    """What a model is built from: the options and this process's place among the others.

    Attributes:
        config: The checked option file.
        rank, world_size: This process, and how many there are.
    """

    config: Config
    rank: int = 0
    world_size: int = 1

    @property
    def folder(self) -> Path:
        """Where everything of the run is kept."""
        return inside(self.config.path.experiments, self.config.name, said="the run's name")

    @property
    def training_set(self) -> DatasetBlock:
        """Its cuts and degradations are drawn by the run's seed, unless it names its own."""
        block = self.config.datasets["train"]
        return replace(block, options={"seed": self.config.manual_seed, **block.options})

    @property
    def device_note(self) -> str:
        """A line that says what is computed on, and why."""
        return resolve_num_gpu(self.config.num_gpu)[1]

    @property
    def selects_on_test(self) -> bool:
        """Whether checkpoints are chosen on images of a test set."""
        sets = self.config.datasets
        by = selection_set(sets)
        held_out = by is not None and sets[by].options.get("subset")
        return (self.config.val.select_on_test and not held_out) or validates_on_test(sets)

    def as_basicsr(self) -> dict[str, Any]:
        """The options as BasicSR's own models read them: phases, folders, device and process."""
        options = deepcopy(self.config.resolved)
        options |= {
            "num_gpu": resolve_num_gpu(self.config.num_gpu)[0],
            "is_train": True,
            "dist": self.world_size > 1,
            "rank": self.rank,
            "world_size": self.world_size,
        }
        for key, block in self.config.datasets.items():
            options["datasets"][key] = deepcopy(block.options)
        options["path"] |= {
            "experiments_root": str(self.folder),
            "models": str(self.folder / "models"),
            "training_states": str(self.folder / "training_states"),
            "visualization": str(self.folder / "visualization"),
            "log": str(self.folder),
        }
        return options
