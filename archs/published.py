"""The weights that a network's authors publish: how they are recognised, and renamed to ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from enhancement.errors import UserError

State = dict[str, Tensor]
Shapes = Mapping[str, Tensor]  # a state dict of which only names and shapes are looked at
WRAPPER = "state_dict"
PARALLEL = "module."


def count_numbers(state: Shapes, pattern: str) -> int:
    """How many different values a pattern's first group has among the names."""
    return len({found[1] for name in state if (found := re.match(pattern, name))})


@dataclass(frozen=True)
class Published:
    """How a network's published files are recognised and read. Patterns are regular expressions.

    Attributes:
        marks: A file is the network's if each of these matches one of its names in full. Where
            several networks claim a file, the one with the most marks has it.
        arguments: The network's constructor arguments from the names and shapes.
        renames: Pattern to replacement, applied to each name in this order; none where the
            network's own names are the published ones.
        dropped: Names that match are left out: modules that the published forward never calls.
        refused: Why such a file cannot be used by itself; empty where it can.
        parts: Where a network is published in several files: a pattern that all names in one of
            them match in full, to what that file holds.
    """

    marks: tuple[str, ...]
    arguments: Callable[[Shapes], dict[str, Any]] = lambda state: {}
    renames: Mapping[str, str | Callable[[re.Match[str]], str]] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    refused: str = ""
    parts: Mapping[str, str] = field(default_factory=dict)

    def matches(self, state: Shapes) -> bool:
        """Whether a state dict bears every mark."""
        return all(any(re.fullmatch(mark, name) for name in state) for mark in self.marks)

    def part_of(self, state: Shapes) -> str | None:
        """Which of the network's several files a state dict is out of; None if it is of none."""
        for pattern, part in self.parts.items():
            if all(re.fullmatch(pattern, name) for name in state):
                return part
        return None

    def applies(self, state: Mapping[str, Any]) -> bool:
        """Whether a state dict bears published names that are renamed or, if none is, left out."""
        names, patterns = state.get(WRAPPER, state), tuple(self.renames) or self.dropped
        return any(re.search(pattern, name) for pattern in patterns for name in names)

    def rename(self, state: Mapping[str, Any]) -> State:
        """A published state dict under our names.

        Args:
            state: Tensors by published name; may lie under `state_dict`, and bear `module.`.

        Raises:
            UserError: Two of them have one name here, as where a folder holds a file twice.
        """
        renamed: State = {}
        for name, value in state.get(WRAPPER, state).items():
            name = name.removeprefix(PARALLEL)
            if any(re.search(pattern, name) for pattern in self.dropped):
                continue
            for pattern, replacement in self.renames.items():
                name = re.sub(pattern, replacement, name)
            if name in renamed:
                raise UserError(f"two tensors of the weights are {name}; expected one file a part")
            renamed[name] = value
        return renamed
