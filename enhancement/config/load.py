"""An option file becomes a `Config`: it is read, checked and parsed."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

from enhancement.errors import OptionError
from enhancement.weights.shipped import find_weights

from .datasets import derive_sets
from .dialect import is_dialect, translate
from .files import FORCED, OptionFile, Options
from .fit import section_faults
from .schema import DRAFT, Config
from .sections import LOSS_SUFFIX, LOSSES, losses_of
from .signature import Fault, KeyPath, faults_in, validate


def load_config(
    path: str | Path,
    force: list[str] | None = None,
    *,
    dataset: str | None = None,
    schedule: str | None = None,
    training: bool = True,
    files_of: set[str] | None = None,
    weights: str | None = None,
) -> Config:
    """Read an option file with all that it inherits and names, and check all of it.

    Args:
        path: The file.
        force: `a:b=value` settings that win over it.
        dataset, schedule: Names that take the place of the file's own.
        training: Whether it must be complete for training.
        files_of: Sets whose folders must exist; None means all of them.
        weights: A file, from the command line, that must fit the network.

    Raises:
        OptionError: With every fault, a line each.
        UserError: A file cannot be read at all.
    """
    file = OptionFile(path, {"dataset": dataset, "schedule": schedule})
    file.force(force or [])
    if weights is not None:
        file.set(["path", "pretrain_network_g"], str(find_weights(weights).absolute()), "--weights")
    if is_dialect(file.options):
        for note in translate(file.options):
            print(f"note: {note}")
    options = file.options
    if isinstance(sets := options.get("datasets"), dict):
        options["datasets"] = {key: block for key, block in sets.items() if block is not None}
    if not training and options.get("train") == {}:
        options["train"] = None
    lines = [
        f"{file.origin(at)}: {'.'.join(at)}: {line}"
        for at, text in faults_of(options, training, files_of)
        for line in _with_colons(file.origin(at), at, text).splitlines() or [""]
    ]
    if lines:
        raise OptionError(dict.fromkeys(lines))
    return parse_config(options)


def _with_colons(origin: str, at: KeyPath, text: str) -> str:
    """What is wrong with a key; the way to write one that was forced with dots."""
    if origin == FORCED and "." in at[-1] and text.startswith("unknown key"):
        return f"unknown key; colons part keys: {FORCED} {':'.join(at).replace('.', ':')}=..."
    return text


def parse_config(options: Options) -> Config:
    """Valid options as a `Config`, the sets that are held out of `train` among its datasets."""
    return validate(Config, {**options, "datasets": derive_sets(options["datasets"])})


def faults_of(
    options: Options, training: bool, files_of: set[str] | None = None
) -> Iterator[Fault]:
    """Everything that is wrong with merged options.

    Args:
        options: What the files say.
        training: Whether they must be complete for training.
        files_of: Sets whose folders must exist; None means all of them.
    """
    faults = [(_as_written(at), text) for at, text in faults_in(Config, options)]
    yield from faults
    if training:
        yield from _completeness_faults(options)
    draft = validate(DRAFT, _without(options, [at for at, _ in faults]))
    yield from section_faults(draft, training, files_of)


def _completeness_faults(options: Options) -> Iterator[Fault]:
    """What a file must have to be trained from."""
    train, datasets = options.get("train"), options.get("datasets")
    if train is None:
        yield ("train",), "missing; expected a block"
    elif isinstance(train, dict) and not losses_of(train):
        yield ("train",), f"no loss; expected a key such as pixel{LOSS_SUFFIX}"
    if isinstance(datasets, dict) and "train" not in datasets:
        yield ("datasets", "train"), "missing; expected the training set"


def _as_written(at: KeyPath) -> KeyPath:
    """The key of a loss as the file has it, `train.pixel_opt`."""
    if at[:2] == ("train", LOSSES) and len(at) > 2:
        return ("train", f"{at[2]}{LOSS_SUFFIX}", *at[3:])
    return at


def _without(options: Options, faulty: list[KeyPath]) -> dict[str, Any]:
    """Options without the sections' keys that hold faults; a set or a named class goes whole."""
    rest = deepcopy(options)
    for at in faulty:
        section = rest.get(at[0])
        if len(at) == 1 or at[0] == "network_g":
            rest.pop(at[0], None)
        elif isinstance(section, dict):
            section.pop(at[1], None)
    return rest
