"""Networks rebuilt from a file of weights alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from enhancement.archs.contract import Network
from enhancement.errors import UserError
from enhancement.registry import ARCH_REGISTRY, build, lookup

from .recognise import recognise
from .state_dicts import load_weights, read_weights


def build_stored(network_g: Any, where: str | Path) -> nn.Module:
    """The network that a file of ours describes.

    Raises:
        UserError: It does not describe a network, or one of another version.
    """
    try:
        kind = lookup(ARCH_REGISTRY, network_g["type"])
        needless = kind.only_before_training if issubclass(kind, Network) else ()
        return build(ARCH_REGISTRY, {k: v for k, v in network_g.items() if k not in needless})
    except (UserError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise UserError(f"{where}: its network_g cannot be built ({error})") from error


def build_from_file(path: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """Rebuild a network from a weights file alone.

    Our own files name their network; published ones are recognised by their keys (recognise.py).

    Returns:
        The network, and the file's `meta` with `network_g` in it.

    Raises:
        UserError: The file neither names its network nor is recognised.
    """
    state, meta = read_weights(path)
    try:
        network_g = meta.get("network_g") or recognise(state)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    if network_g is None:
        raise UserError(
            f"{path}: neither names its network nor has the keys of a known one; "
            f"give an option file with --opt where the command takes one"
        )
    network = build_stored(network_g, path)
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
