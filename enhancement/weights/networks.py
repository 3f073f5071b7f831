"""Networks rebuilt from a file alone; what a file may have built is decided here."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from torch import nn

from enhancement.archs.contract import Network
from enhancement.errors import UserError, naming
from enhancement.registry import ARCH_REGISTRY, lookup

from .limits import ROOM, check_arguments, memory_limited, parts_limited
from .recognise import recognise
from .state_dicts import State, load_weights, read_weights

# BasicSR's that map an image to an image and take neither a path nor the name of a download
FROM_BASICSR = (
    "ECBSR",
    "EDSR",
    "RCAN",
    "RIDNet",
    "RRDBNet",
    "SRVGGNetCompact",
    "SwinIR",
)


def build_stored(network_g: Any, where: str | Path, room: int = 0) -> nn.Module:
    """The network that a file describes: one that maps images to images or masks, and no other.

    Built without arguments that matter before training alone (a download's name), in bounded memory
    and of a bounded number of parts.

    Args:
        network_g: Out of the file.
        where: The file, for the error.
        room: Bytes that its weights take.

    Raises:
        UserError: It does not describe such a network, or one of another version.
    """
    try:
        kind, arguments = _described(network_g)
        with parts_limited(), memory_limited(ROOM + 2 * room):
            return kind(**arguments)
    except Exception as error:  # constructors given anything raise anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{where}: its network_g cannot be built ({reason})") from error


def _described(network_g: Any) -> tuple[type[nn.Module], dict[str, Any]]:
    """The class and the arguments that a file's `network_g` names.

    Raises:
        UserError: There is no such class, or files may not have it built; an argument is no value.
    """
    if not isinstance(network_g, dict) or not isinstance(network_g.get("type"), str):
        raise UserError("it names no type")
    name = network_g["type"]
    kind = lookup(ARCH_REGISTRY, name)
    ours = inspect.isclass(kind) and issubclass(kind, Network)
    if not ours and name not in FROM_BASICSR:
        raise UserError(
            f"{name} is not among the networks that a file may have built; inherit "
            f"enhancement.archs.contract.Network"
        )
    needless = ("type", *(kind.only_before_training if ours else ()))
    arguments = {k: v for k, v in network_g.items() if k not in needless}
    check_arguments(arguments)
    return kind, arguments


def network_in(path: str | Path) -> tuple[dict[str, Any], State]:
    """The `network_g` block of a weights file, and its tensors.

    Our own files name their network; published ones are recognised by their keys (recognise.py).

    Raises:
        UserError: The file neither names its network nor is recognised.
    """
    state, meta = read_weights(path)
    with naming(str(path)):
        network_g = meta.get("network_g") or recognise(state)
    if network_g is None:
        raise UserError(
            f"{path}: neither names its network nor has the keys of a known one; "
            f"give an option file with --opt where the command takes one"
        )
    return network_g, state


def build_from_file(path: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """Rebuild a network from a weights file alone.

    Returns:
        The network, and the file's `meta` with `network_g` in it.

    Raises:
        UserError: The file neither names its network nor is recognised.
    """
    network_g, state = network_in(path)
    room = sum(value.numel() * value.element_size() for value in state.values())
    network = build_stored(network_g, path, room)
    return network, {**load_weights(network, path), "network_g": network_g}


def load_network(path: str | Path) -> nn.Module:
    """A network with its weights, ready to run: of ours, or published and recognised by its keys.

    Args:
        path: A weights file; or a folder, for networks that are published in several files.

    Returns:
        A module in evaluation mode on the CPU. It maps images (B, 3, H, W) in [0, 1] to the same
        shape, unclamped; sizes that it does not take are padded by `enhancement.inference.run`.

    Raises:
        UserError: No such file, one that holds more than tensors, or one of an unknown network.
    """
    return build_from_file(path)[0].eval()
