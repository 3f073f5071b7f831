"""A part of a network, loaded by itself."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from enhancement.errors import UserError

from .state_dicts import State, mismatches, own_names, read_weights


def part_state(path: str | Path, name: str, network: nn.Module) -> State:
    """The weights of a network's part, from a checkpoint of the part or of such a network."""
    state = own_names(network, read_weights(path)[0])
    inside = {k.removeprefix(f"{name}."): v for k, v in state.items() if k.startswith(f"{name}.")}
    return own_names(network.get_submodule(name), inside or state)


def load_part(network: nn.Module, path: str | Path, name: str) -> None:
    """Load a network's part strictly.

    Raises:
        UserError: The file does not fit it.
    """
    part, state = network.get_submodule(name), part_state(path, name, network)
    faults = mismatches(part, state)
    if faults:
        raise UserError(f"{path}: does not fit {name}: {'; '.join(faults[:3])}")
    part.load_state_dict(state)
