"""State dicts: out of files of any origin, held against a network, loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from enhancement.archs.contract import contract_of
from enhancement.errors import UserError
from enhancement.terminal import printable

from .meta import checked_meta
from .shipped import find_weights
from .storage import read

State = dict[str, Tensor]
WRAPPERS = ("params_ema", "params", "state_dict")
WEIGHTS_FILES = (".pth", ".pt", ".pkl", ".ckpt", ".tar", ".safetensors")
MOST_FILES = 4  # of one network
MOST_ENTRIES = 100_000  # of a state dict
DEEPEST = 16  # levels of nested state dicts


def read_weights(path: str | Path, key: str | None = None) -> tuple[State, dict[str, Any]]:
    """A network's state dict and what the file says of itself.

    Args:
        path: A file of ours, BasicSR's or any published one: a bare state dict, or one under
            `params_ema`, `params` or `state_dict` (in that order); `module.` prefixes are dropped.
            Or a folder of such files, for networks that are published in several: each name then
            begins with its file's, as in `Decom_9200/net1_conv0.weight`. Or the name of weights
            that come with this package.
        key: Take this entry instead.

    Returns:
        The state dict, and the `meta` of our own files ({} for others).

    Raises:
        UserError: No such file, or it holds other things than dense, finite tensors by name.
    """
    path = find_weights(path)
    if path.is_dir():
        return _read_folder(path, key), {}
    content = read(path)
    meta = content.get("meta")
    meta = checked_meta(meta, path) if isinstance(meta, dict) else {}
    if key and key not in content:
        raise UserError(f"{path}: has no entry '{key}'; it has: {', '.join(map(str, content))}")
    wrapper = key or next((name for name in WRAPPERS if name in content), None)
    entries = list(islice(_entries(content[wrapper] if wrapper else content), MOST_ENTRIES))
    state = dict(entries)
    if not 0 < len(entries) < MOST_ENTRIES or not all(map(_is_dense, state.values())):
        raise UserError(f"{path}: expected tensors by name; it has: {_some(map(str, content))}")
    spoilt = [name for name, value in state.items() if not _is_finite(value)]
    if spoilt:
        raise UserError(
            f"{path}: {len(spoilt)} of its {len(state)} tensors hold NaN or infinite numbers "
            f"({_some(spoilt)}); take a file from before the training diverged"
        )
    return {name.removeprefix("module."): value for name, value in state.items()}, meta


def _is_finite(value: Tensor) -> bool:
    """Whether a dense tensor holds no NaN and no infinity."""
    if value.is_floating_point() and value.element_size() == 1:
        value = value.half()  # those of 8 bits have no isfinite
    return not value.is_floating_point() or bool(value.isfinite().all())


def _entries(content: Any, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """The tensors of nested dictionaries, `{"model": {"bias": b}}` as ("model.bias", b)."""
    if not isinstance(content, Mapping) or depth == DEEPEST:
        yield prefix, content
        return
    for name, value in content.items():
        yield from _entries(value, f"{prefix}.{name}" if prefix else str(name), depth + 1)


def _is_dense(value: Any) -> bool:
    """Whether a value is a tensor of real numbers, all in memory; no sparse or quantised one."""
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
        and not value.is_complex()
        and value.numel() * value.element_size() <= value.untyped_storage().nbytes()
    )


def _read_folder(folder: Path, key: str | None) -> State:
    """The tensors of every weights file in a folder, by `file/name`."""
    files = sorted(p for p in folder.iterdir() if p.suffix in WEIGHTS_FILES and p.is_file())
    if not 0 < len(files) <= MOST_FILES:
        raise UserError(
            f"{folder}: expected the files of one published network, at most {MOST_FILES}, but "
            f"it holds {len(files)} files of weights; give one of them"
        )
    states = {path: read_weights(path, key)[0] for path in files}
    if len(states) == 1:
        return next(iter(states.values()))
    return {f"{path.stem}/{n}": v for path, state in states.items() for n, v in state.items()}


def mismatches(network: nn.Module, state: State, strict: bool = True) -> list[str]:
    """What keeps a state dict from fitting a network; empty where it fits.

    Args:
        network: May be on the meta device.
        state: Tensors by name.
        strict: Whether every name must be there on both sides.
    """
    own = network.state_dict()
    faults = []
    if strict:
        missing, unknown = own.keys() - state.keys(), state.keys() - own.keys()
        if missing:
            faults.append(f"lacks {len(missing)} of the network's entries ({_some(missing)})")
        if unknown:
            faults.append(f"has {len(unknown)} unknown entries ({_some(unknown)})")
    elif not own.keys() & state.keys():
        faults.append("shares no entry with the network")
    for name in own:
        if name in state and own[name].shape != state[name].shape:
            faults.append(
                f"{name} has shape {tuple(state[name].shape)}, expected {tuple(own[name].shape)}"
            )
    return faults


def _some(names: Iterable[str]) -> str:
    """The first names, on one line whatever they hold."""
    names = [printable(name).replace("\n", "\\n") for name in sorted(names)]
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")


def own_names(network: nn.Module, state: State) -> State:
    """The state under the network's own names, whether it bears those or its authors'."""
    return contract_of(network).own_names(state)


def weights_hash(network: nn.Module) -> str:
    """SHA-256 of a network's state: names, shapes and values."""
    digest = hashlib.sha256()
    for name, value in sorted(on_cpu(network).items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def load_weights(
    network: nn.Module, path: str | Path, key: str | None = None, strict: bool = True
) -> dict[str, Any]:
    """Load a weights file into a network; its `meta`.

    Raises:
        UserError: The file does not fit; says how.
    """
    state, meta = read_weights(path, key)
    state = own_names(network, state)
    faults = mismatches(network, state, strict)
    if faults:
        raise UserError(f"{path}: does not fit {type(network).__name__}: {'; '.join(faults[:3])}")
    network.load_state_dict(state, strict=strict)
    return meta


def on_cpu(network: nn.Module) -> State:
    """A copy-free state dict on the CPU, without a wrapper's `module.` prefix."""
    state = network.state_dict()
    return {name.removeprefix("module."): value.detach().cpu() for name, value in state.items()}
