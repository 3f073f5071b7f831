"""The figures of our networks at their default size, remembered on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import torch
from torch import nn

from enhancement.archs import contract
from enhancement.files import replace_file
from enhancement.inference.complexity import multiply_adds, parameter_count
from enhancement.inference.graph_cache import cache_folder

SIDE = 256  # of the image that multiply-adds are given for
Figures = dict[str, int]


def figures_of(kinds: Mapping[str, type[nn.Module]]) -> dict[str, Figures]:
    """Parameters, multiply-adds and size multiple of networks of ours, by name.

    They are counted once for each state of the networks' source code; a cache that cannot be read
    or written does no harm.
    """
    path, key = cache_folder() / "figures.json", _source_hash()
    known: dict[str, Figures] = {}
    with suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads(path.read_text())
        known = content["figures"] if content["key"] == key else {}
    missing = kinds.keys() - known.keys()
    if missing:
        known |= {name: _figures(kinds[name]) for name in sorted(missing)}
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, json.dumps({"key": key, "figures": known}, indent=1).encode())
    return {name: known[name] for name in kinds}


def _figures(kind: type[nn.Module]) -> Figures:
    """The figures of one network, counted without memory for its weights if possible."""
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
        "size_multiple": contract.contract_of(network).size_multiple,
    }


def _source_hash() -> str:
    """SHA-256 of all that the figures depend on: the networks' source code, and how it is run."""
    digest = hashlib.sha256(f"{torch.__version__} {SIDE}".encode())
    for source in sorted(Path(contract.__file__).parent.rglob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()
