"""`--network`: a network without weights, by its name and its arguments."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from torch import nn

from enhancement.archs.contract import contract_of
from enhancement.errors import UserError, naming
from enhancement.registry import ARCH_REGISTRY, lookup

from .blocks import Block, Buildable
from .building import build_on_meta
from .plain_yaml import parse_yaml

FLAG = "--network"
HELP = "a network without weights: NAME or NAME:key=value:key=value (`enhance archs`: classics)"


@dataclass(frozen=True)
class NamedNetwork:
    """What `--network` names, checked.

    Attributes:
        block: The class and its arguments.
        network: In evaluation mode, on the CPU.
    """

    block: Block
    network: nn.Module

    @property
    def settings(self) -> str:
        """Its arguments as part of a folder's name."""
        given = self.block.arguments.items()
        texts = [f"{k}={json.dumps(v, separators=(',', ':'))}" for k, v in sorted(given)]
        return "_".join(texts).replace('"', "") or "default"


def network_block(text: str, said_by: str) -> Block:
    """The network that `NAME:key=value` names, its arguments checked; values are YAML.

    Raises:
        UserError: No such network or argument; begins with `said_by`.
    """
    name, *settings = text.split(":")
    options: dict[str, Any] = {"type": name}
    for setting in settings:
        key, equals, value = setting.partition("=")
        key = key.strip()
        if not equals or not key or key in options:
            raise UserError(f"{said_by}: expected NAME:key=value, each key once, but got '{text}'")
        options[key] = parse_yaml(value, f"{said_by}: {name}.{key}")
    with naming(said_by):
        block = Block(lookup(ARCH_REGISTRY, name), options)
    for at, said in Buildable(ARCH_REGISTRY).check(block.kind, block.arguments):
        raise UserError(f"{said_by}: {'.'.join((name, *at))}: {said}")
    return block


def named_network(text: str) -> NamedNetwork:
    """The network without weights that `NAME:key=value` names.

    Raises:
        UserError: No such network or argument, or it has weights, which a file must give.
    """
    block = network_block(text, FLAG)
    if build_on_meta(block.build).state_dict():
        raise UserError(f"{block.type} has weights; give --weights FILE")
    network: nn.Module = block.build()
    return NamedNetwork(block, network.eval())


def one_of(weights: Any, network: str | None) -> None:
    """Refuse `--weights` and `--network` together, and neither.

    Raises:
        UserError: Both were given, or none.
    """
    if (weights is None) == (network is None):
        found = "neither" if weights is None else "both"
        raise UserError(f"expected --weights FILE or {FLAG} NAME, but got {found}")


def nothing_to_train(network: nn.Module) -> str | None:
    """Why a network cannot be trained: it has no parameters; None where it has some."""
    if any(True for _ in network.parameters()):
        return None
    name = contract_of(network).title
    return f"{name} has no parameters; there is nothing to train: run it by {FLAG} {name}"
