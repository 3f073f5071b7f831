"""Weights under their authors' names: renamed, and what is never used dropped."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

State = dict[str, Tensor]
WRAPPER = "state_dict"
PARALLEL = "module."


@dataclass(frozen=True)
class Published:
    """How published names become ours.

    Attributes:
        renames: Regular expression to replacement, applied to each name in this order.
        dropped: Names that hold modules which the published forward never calls.
    """

    renames: dict[str, str | Callable[[re.Match[str]], str]]
    dropped: tuple[str, ...] = ()

    def applies(self, state: State) -> bool:
        """Whether a state dict bears published names."""
        return any(re.search(p, name) for p in self.renames for name in state.get(WRAPPER, state))

    def rename(self, state: State) -> State:
        """A published state dict under our names, without a wrapper around it and `module.`."""
        inner = state.get(WRAPPER, state)
        renamed: State = {}
        for name, value in inner.items():  # type: ignore[union-attr]
            name = name.removeprefix(PARALLEL)
            if any(re.search(pattern, name) for pattern in self.dropped):
                continue
            for pattern, replacement in self.renames.items():
                name = re.sub(pattern, replacement, name)
            renamed[name] = value
        return renamed


class PublishedWeights(nn.Module):
    """A network that takes its authors' checkpoints."""

    published: ClassVar[Published]

    def from_published(self, state: State) -> State:
        """A published state dict as this network's own."""
        return self.published.rename(state)

    def load_published_state_dict(self, state: State) -> None:
        """Load a published checkpoint strictly.

        Args:
            state: Tensors by published name; may lie under `state_dict`, and bear `module.`.

        Raises:
            RuntimeError: A tensor is missing, unknown or of another shape.
        """
        self.load_state_dict(self.from_published(state), strict=True)
