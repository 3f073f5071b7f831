"""A part of a network, loaded by itself."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from enhancement.errors import UserError

from .state_dicts import State, misfits, own_names, read_weights


def part_state(path: str | Path, name: str, part: nn.Module) -> State:
    """A part's weights from a checkpoint of the part, or of a network that has such a part."""
    state, _ = read_weights(path)
    inside = {k.removeprefix(f"{name}."): v for k, v in state.items() if k.startswith(f"{name}.")}
    return own_names(part, inside or state)


def load_part(part: nn.Module, path: str | Path, name: str) -> None:
    """Load a part strictly.

    Raises:
        UserError: The file does not fit it.
    """
    state = part_state(path, name, part)
    faults = misfits(part, state)
    if faults:
        raise UserError(f"{path}: does not fit {name}: {'; '.join(faults[:3])}")
    part.load_state_dict(state)
