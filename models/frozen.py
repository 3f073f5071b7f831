"""Parts of a network that keep their weights while the rest is trained."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

from torch import nn

from enhancement.errors import UserError
from enhancement.weights import checkpoint


def part_state(path: str | Path, name: str, part: nn.Module) -> checkpoint.State:
    """A part's weights from a checkpoint of the part, or of a network that has such a part."""
    state, _ = checkpoint.read_weights(path)
    inside = {k.removeprefix(f"{name}."): v for k, v in state.items() if k.startswith(f"{name}.")}
    return checkpoint.own_names(part, inside or state)


def load_part(part: nn.Module, path: str | Path, name: str) -> None:
    """Load a part strictly.

    Raises:
        UserError: The file does not fit it.
    """
    state = part_state(path, name, part)
    faults = checkpoint.misfits(part, state)
    if faults:
        raise UserError(f"{path}: does not fit {name}: {'; '.join(faults[:3])}")
    part.load_state_dict(state)


def average_of(network: nn.Module, frozen: list[str]) -> nn.Module:
    """A copy that will hold the weights' average, in evaluation mode; it shares frozen parts."""
    shared = {id(part): part for part in map(network.get_submodule, frozen)}
    return deepcopy(network, shared).eval().requires_grad_(False)
