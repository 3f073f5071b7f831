"""Samples of BasicSR's datasets as functions of (seed, epoch, index), so that a run can resume.

Those datasets draw their crops from the global random generators. Here the generators are seeded
for each sample and restored after it, so that neither the order of the samples, the number of
workers nor the model's own draws make any difference. What goes wrong in a sample is one line.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from enhancement.errors import UserError

# what BasicSR's datasets raise for images that are too small, unequal, damaged or gone
UNUSABLE = (ValueError, OSError, AttributeError, TypeError, cv2.error)


@contextmanager
def seeded(*key: int) -> Iterator[None]:
    """Seed Python's, NumPy's and PyTorch's generators by a key; restore them at the end.

    Only the generators of the CPU: a dataset does not draw on a GPU.
    """
    of_python, of_numpy, of_torch = np.random.SeedSequence(key).generate_state(3)
    states = random.getstate(), np.random.get_state(), torch.default_generator.get_state()
    random.seed(int(of_python))
    np.random.seed(of_numpy)
    torch.default_generator.manual_seed(int(of_torch))  # torch.manual_seed would seed GPUs too
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.default_generator.set_state(states[2])


class RepeatableDataset(Dataset[Any]):
    """A dataset whose samples depend on (seed, epoch, index) alone.

    Args:
        dataset: Draws from the global random generators.
        seed: At least 0.

    Raises:
        UserError: A sample cannot be used.
    """

    def __init__(self, dataset: Any, seed: int):
        self.dataset, self.seed = dataset, seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        with seeded(self.seed, getattr(index, "epoch", 0), int(index)):
            try:
                return self.dataset[index]
            except UNUSABLE as error:
                text = " ".join(" ".join(map(str, error.args)).split())
                raise UserError(
                    f"{self._where(index)}: cannot be used by {type(self.dataset).__name__} "
                    f"({type(error).__name__}: {text})"
                ) from error

    def _where(self, index: int) -> str:
        """The sample's file, where the dataset lists its files; else its number."""
        paths = getattr(self.dataset, "paths", None)
        found = paths[index] if isinstance(paths, list) else f"sample {index}"
        return str(found.get("lq_path", found) if isinstance(found, dict) else found)
