"""Converted graphs on disk, so that a network is converted once and not once a run."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from importlib.metadata import version
from inspect import getsourcefile
from pathlib import Path
from sys import modules

import torch
from torch import nn

from enhancement import colour
from enhancement.archs import contract
from enhancement.files import replace_file
from enhancement.inference.conversion import OPSET
from enhancement.paths import cache_folder
from enhancement.weights.state_dicts import weights_hash

LIMIT = 1 << 30  # bytes; beyond, the graphs that have not been used for longest are deleted
DIGEST = 32  # bytes of a SHA-256 in front of each graph, which a damaged file does not match
PLAIN = (bool, int, float, str, tuple, type(None))


def fingerprint(network: nn.Module) -> str:
    """SHA-256 of all that a converted graph depends on.

    Weights and buffers, options, the networks' source code, the versions of the libraries, and the
    processor's instructions that the graph is optimised for.
    """
    digest = hashlib.sha256(weights_hash(network).encode())
    sources = {*Path(contract.__file__).parent.rglob("*.py"), Path(colour.__file__)}
    for name, module in network.named_modules():
        kind = type(module)
        options = {k: v for k, v in sorted(vars(module).items()) if isinstance(v, PLAIN)}
        digest.update(f"{name} {kind.__module__}.{kind.__qualname__} {options}".encode())
        for constant in module._non_persistent_buffers_set:
            digest.update(str(module._buffers[constant]).encode())
        if not kind.__module__.startswith("torch.") and kind.__module__ in modules:
            with suppress(TypeError):
                sources.add(Path(getsourcefile(kind) or os.devnull))
    for source in sorted(sources):
        with suppress(OSError):
            digest.update(source.read_bytes())
    libraries = [f"{name} {version(name)}" for name in ("torch", "onnx", "onnxruntime")]
    where = f"{libraries} {OPSET} {torch.backends.cpu.get_cpu_capability()}"
    return hashlib.sha256(digest.digest() + where.encode()).hexdigest()


def read_graph(key: str) -> bytes | None:
    """A graph in the cache; None where there is none, or it is damaged."""
    path = _path(key)
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, graph = content[:DIGEST], content[DIGEST:]
    if hashlib.sha256(graph).digest() != digest:
        return None
    with suppress(OSError):  # another user's cache
        os.utime(path)
    return graph


def write_graph(key: str, graph: bytes) -> None:
    """Keep a graph where that is possible; a cache that cannot be written does no harm."""
    path = _path(key)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, hashlib.sha256(graph).digest() + graph)
        _delete_oldest(path.parent)


def _path(key: str) -> Path:
    return cache_folder() / "graphs" / f"{key}.onnx"


def _delete_oldest(folder: Path) -> None:
    """Keep the most recently used graphs, at most `LIMIT` bytes of them."""
    total = 0
    for path in sorted(folder.glob("*.onnx"), key=lambda p: p.stat().st_mtime, reverse=True):
        total += path.stat().st_size
        if total > LIMIT:
            path.unlink()
