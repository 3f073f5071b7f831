"""Weights and training states: written whole or not at all, read without running their code."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import random
import shutil
import subprocess
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from enhancement.archs.published import PublishedWeights
from enhancement.compat import ARCH_REGISTRY, build, lookup
from enhancement.errors import UserError
from enhancement.weights import tensor_files
from enhancement.weights.recognise import recognise

State = dict[str, Tensor]
WRAPPERS = ("params_ema", "params", "state_dict")
CHECKSUMS = "checksums.json"  # {file: the SHA-256 it has, or had before its last replacement}


def save(path: Path, content: dict[str, Any], previous: Path | None = None) -> None:
    """Write a file so that it is either the old one or the new one, never half of it.

    Its checksum goes into the folder's `checksums.json` first, beside that of the file it replaces,
    so that a kill at any point leaves a file whose checksum is known.

    Args:
        path: The file; `.safetensors` holds weights alone.
        content: Tensors and plain values.
        previous: Keeps the file that is replaced, in the same folder.

    Raises:
        UserError: The disk is full, or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            if path.suffix == tensor_files.SUFFIX:
                file.write(tensor_files.pack(content))
            else:
                torch.save(content, file)
        known = read_checksums(path.parent)
        before = whole_checksum(path)
        known[path.name] = [sha256(temporary), *before]
        if previous and before:
            known[previous.name] = [*before, *whole_checksum(previous)]
        replace_file(path.with_name(CHECKSUMS), json.dumps(known, indent=1).encode())
        flush_to_disk(temporary)
        if previous and before:
            keep_as(path, previous)
        temporary.replace(path)
        flush_to_disk(path.parent)
    except (OSError, RuntimeError) as error:
        temporary.unlink(missing_ok=True)
        raise UserError(f"{path}: cannot be written ({error}); the file before is whole") from error


def flush_to_disk(path: Path) -> None:
    """Have the system write a file or a folder's entries to the disk now."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_file(path: Path, content: bytes) -> None:
    """Write a small file whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        flush_to_disk(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def keep_as(path: Path, name: Path) -> None:
    """Give a file a second name, which it takes over from another one at once."""
    temporary = name.with_name(f".{name.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        try:
            os.link(path, temporary)
        except OSError:  # a file system without links
            shutil.copyfile(path, temporary)
        temporary.replace(name)
    finally:
        temporary.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """The checksum of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_checksums(folder: Path) -> dict[str, list[str]]:
    """The checksums of a folder's files; {} where there are none."""
    try:
        found = json.loads((folder / CHECKSUMS).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def whole_checksum(path: Path) -> list[str]:
    """The checksum of a file; [] where it is not there, or not what was written."""
    if not path.is_file():
        return []
    known, found = read_checksums(path.parent).get(path.name), sha256(path)
    return [found] if not known or found in known else []


def is_torchscript(path: str | Path) -> bool:
    """Whether a file is an archive of a network's code."""
    with suppress(OSError, zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())
    return False


def read(path: str | Path) -> dict[str, Any]:
    """Read a file of tensors and plain values; none of it is run as code.

    Raises:
        UserError: No such file, a damaged one, or one that would run code.
    """
    try:
        if Path(path).is_file() and not whole_checksum(Path(path)):
            raise UserError(
                f"{path}: is damaged: its checksum is not the one in {CHECKSUMS} beside it"
            )
        if Path(path).suffix == tensor_files.SUFFIX:
            content = tensor_files.unpack(path)
        elif is_torchscript(path):
            raise UserError(
                f"{path}: is a TorchScript file, a program, which is not run here; give the "
                f"weights or an ONNX file"
            )
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: holds more than tensors, or is damaged ({reason})") from error
    except (EOFError, LookupError) as error:
        raise UserError(f"{path}: is no weights file, or is cut off") from error
    except (OSError, RuntimeError, ValueError) as error:
        text = getattr(error, "strerror", None) or str(error) or type(error).__name__
        reason = text.splitlines()[0]
        raise UserError(f"{path}: cannot be read as weights ({reason})") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a dictionary of tensors, got {type(content).__name__}")
    return content


def read_weights(path: str | Path, key: str | None = None) -> tuple[State, dict[str, Any]]:
    """A network's state dict and what the file says of itself.

    Args:
        path: A file of ours, BasicSR's or any published one: a bare state dict, or one under
            `params_ema`, `params` or `state_dict` (in that order); `module.` prefixes are dropped.
        key: Take this entry instead.

    Returns:
        The state dict, and the `meta` of our own files ({} for others).
    """
    content = read(path)
    meta = content.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    if key and key not in content:
        raise UserError(f"{path}: has no entry '{key}'; it has: {', '.join(map(str, content))}")
    wrapper = key or next((name for name in WRAPPERS if name in content), None)
    state = content[wrapper] if wrapper else content
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise UserError(f"{path}: expected tensors by name; it has: {', '.join(map(str, content))}")
    return {name.removeprefix("module."): value for name, value in state.items()}, meta


def misfits(network: nn.Module, state: State, strict: bool = True) -> list[str]:
    """What keeps a state dict from fitting a network; empty where it fits.

    Args:
        network: May be on the meta device.
        state: Tensors by name.
        strict: Whether every name must be there on both sides.
    """
    own = network.state_dict()
    faults = []
    if strict:
        for title, names in (("lacks", own.keys() - state.keys()),
                             ("has", state.keys() - own.keys())):  # fmt: skip
            if names:
                what = "of the network's entries" if title == "lacks" else "unknown entries"
                shown = ", ".join(sorted(names)[:4]) + (", ..." if len(names) > 4 else "")
                faults.append(f"{title} {len(names)} {what} ({shown})")
    elif not own.keys() & state.keys():
        faults.append("shares no entry with the network")
    for name in own.keys() & state.keys():
        if own[name].shape != state[name].shape:
            faults.append(
                f"{name} has shape {tuple(state[name].shape)}, expected {tuple(own[name].shape)}"
            )
    return faults


def own_names(network: nn.Module, state: State) -> State:
    """The state under the network's own names, where it bears its authors' (archs/published.py)."""
    if isinstance(network, PublishedWeights) and network.published.applies(state):
        return network.from_published(state)
    return state


def weights_hash(network: nn.Module) -> str:
    """SHA-256 of a network's state: names, shapes and values."""
    digest = hashlib.sha256()
    for name, value in sorted(on_cpu(network).items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def load_weights(network: nn.Module, path: str | Path, key: str | None = None,
                 strict: bool = True) -> dict[str, Any]:  # fmt: skip
    """Load a weights file into a network; its `meta`.

    Raises:
        UserError: The file does not fit; says how.
    """
    state, meta = read_weights(path, key)
    state = own_names(network, state)
    faults = misfits(network, state, strict)
    if faults:
        raise UserError(f"{path}: does not fit {type(network).__name__}: {'; '.join(faults[:3])}")
    network.load_state_dict(state, strict=strict)
    return meta


def build_stored(network_g: Any, where: str | Path) -> nn.Module:
    """The network that a file of ours describes.

    Raises:
        UserError: It is no description, or one of another version.
    """
    try:
        needless = getattr(lookup(ARCH_REGISTRY, network_g["type"]), "only_before_training", ())
        return build(ARCH_REGISTRY, {k: v for k, v in network_g.items() if k not in needless})
    except (UserError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise UserError(f"{where}: its network_g cannot be built ({error})") from error


def build_from_file(path: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """Rebuild a network from a weights file alone; it and the file's `meta`.

    Our own files name their network; published ones are recognised by their keys (recognise.py).

    Raises:
        UserError: Neither.
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


def on_cpu(network: nn.Module) -> State:
    """A copy-free state dict on the CPU, without a wrapper's `module.` prefix."""
    state = network.state_dict()
    return {name.removeprefix("module."): value.detach().cpu() for name, value in state.items()}


def random_states() -> dict[str, Any]:
    """The states of every random generator, as tensors and plain values."""
    kind, keys, *rest = np.random.get_state()
    version, internal, gauss_next = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [str(kind), torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest],
        "python": [version, list(internal), gauss_next],
    }


def restore_random_states(states: dict[str, Any]) -> None:
    """Take over what `random_states` returned."""
    torch.set_rng_state(states["torch"])
    if len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])
    kind, keys, *rest = states["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    version, internal, gauss_next = states["python"]
    random.setstate((version, tuple(internal), gauss_next))


@lru_cache(maxsize=1)
def git_commit() -> str:
    """The checkout's commit, with "+" where files differ from it; "unknown" outside of one."""
    here = Path(__file__).parent

    def git(*command: str) -> str:
        done = subprocess.run(
            ["git", *command], cwd=here, capture_output=True, text=True, check=True, timeout=10
        )
        return done.stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "-s", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
