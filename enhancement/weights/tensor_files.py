"""Weights as safetensors: tensors by name, with what they are as JSON beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

SUFFIX = ".safetensors"
WEIGHTS = (".pth", SUFFIX)
META = "enhancement"  # key of our files' JSON


def pack(content: dict[str, Any]) -> bytes:
    """A file's bytes.

    Args:
        content: State dicts by entry ("params", "params_ema"), and `meta`, plain values. The tensor
            `name` of an entry becomes `entry.name`.
    """
    meta = json.dumps(content.get("meta") or {})
    tensors = {
        f"{entry}.{name}": value.clone(memory_format=torch.contiguous_format)
        for entry, state in content.items()
        if entry != "meta"
        for name, value in state.items()
    }
    return save(tensors, {"format": "pt", META: meta})


def unpack(path: str | Path) -> dict[str, Any]:
    """What `pack` was given; of files that are not ours, the tensors by name.

    Raises:
        OSError: No such file.
        ValueError: A damaged one.
    """
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    if META not in about:
        return tensors
    content: dict[str, Any] = {"meta": json.loads(about[META])}
    for name, value in tensors.items():
        entry, _, rest = name.partition(".")
        content.setdefault(entry, {})[rest] = value
    return content
