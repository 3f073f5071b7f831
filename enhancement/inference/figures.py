"""The facts of every network at its default size."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn

from enhancement.archs.contract import FAMILIES, contract_of
from enhancement.inference.catalogue import SIDE
from enhancement.inference.complexity import multiply_adds, parameter_count
from enhancement.registry import ARCH_REGISTRY, is_ours, lookup, registered
from enhancement.weights.shipped import shipped_weights
from enhancement.weights.state_dicts import read_weights

PROJECTS = {
    "BasicSR's (with `upscale: 1`)": "basicsr.",
    "spandrel's (with `upscale: 1` or `scale: 1`)": "spandrel",
}


def every_network() -> list[dict[str, Any]]:
    """The facts of each of our networks, by family and name."""
    kinds = {name: kind for name, kind in ARCH_REGISTRY if is_ours(kind)}
    weights = weights_by_network()
    return [
        {
            "name": name,
            "family": kinds[name].family,
            **figures_of(kinds[name]),
            "weights": weights.get(name, []),
            "paper": paper_of(kinds[name]),
        }
        for name in sorted(kinds, key=lambda name: (FAMILIES.index(kinds[name].family), name))
    ]


def others() -> dict[str, list[str]]:
    """The names of other projects' networks, by project."""
    names = registered(ARCH_REGISTRY)
    modules = {name: lookup(ARCH_REGISTRY, name).__module__ for name in names}
    return {
        title: [name for name in names if modules[name].startswith(package)]
        for title, package in PROJECTS.items()
    }


def figures_of(kind: type[nn.Module]) -> dict[str, int]:
    """Parameters, multiply-adds and size multiple, without memory for weights if possible."""
    try:
        with torch.device("meta"):
            network = kind()
        count = multiply_adds(network, SIDE, SIDE)
    except RuntimeError:
        network = kind()
        count = multiply_adds(network, SIDE, SIDE)
    return {
        "parameters": parameter_count(network),
        "multiply_adds_256": count,
        "size_multiple": contract_of(network).size_multiple,
    }


def paper_of(kind: type[nn.Module]) -> str:
    """The first paragraph of a network's file: its paper's title, mostly with authors and year."""
    text = (inspect.getmodule(kind).__doc__ or "").strip().split("\n\n")[0]
    return " ".join(text.split())


def weights_by_network() -> dict[str, list[str]]:
    """The names of the weights that come with this package, by the type of their network."""
    found: dict[str, list[str]] = {}
    for name, path in shipped_weights().items():
        kind = read_weights(path)[1].get("network_g", {}).get("type", "?")
        found.setdefault(kind, []).append(name)
    return found
