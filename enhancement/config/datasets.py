"""The `datasets` of an option file: each set on its own, and images that sets must not share."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator

from enhancement.compat import option_keys
from enhancement.data.base_dataset import EnhancementDataset
from enhancement.data.blocks import DatasetBlock, Loading
from enhancement.data.selection import included
from enhancement.errors import UserError, hint
from enhancement.paths import locate, missing_hint
from enhancement.registry import DATASET_REGISTRY

from .blocks import Registered, buildable, find_class
from .signature import Fault, argument_faults, refused

SETS = ("train", "val", "test")
DATASET_KEY = re.compile(r"train|val(_\w+)?|test(_\w+)?")
FROM_BASICSR = {"io_backend", "dataroot_gt", "dataroot_lq", "mean", "std", "filename_tmpl"}
IMPLIED = {"phase", "scale", "name", "type"}
TRAINING_ONLY = {"gt_size", "use_hflip", "use_rot"}
PROGRESSIVE = ("gt_sizes", "mini_batch_sizes", "iters")
FRACTIONS = ("val_fraction", "test_fraction")


# of BasicSR's files; batches here run on across epochs and workers prefetch
NO_EFFECT = {"dataset_enlarge_ratio", "prefetch_mode", "num_prefetch_queue"}


@dataclass(frozen=True, kw_only=True)
class CommonKeys(Loading):
    """Keys of every set, BasicSR's without effect among them."""

    name: str = ""
    dataset_enlarge_ratio: Any = None
    prefetch_mode: Any = None
    num_prefetch_queue: Any = None


COMMON = {f.name for f in fields(CommonKeys)}
NOT_HELD_OUT = {*TRAINING_ONLY, *COMMON - {"name"}, "cache", "seed"}


def phase_of(key: str) -> str:
    """The phase of a set: "train", "val" or "test"."""
    return key.split("_")[0]


def _read_sets(given: Any) -> dict[str, DatasetBlock]:
    """Sets by key, checked against their classes but not against their files."""
    if not isinstance(given, dict):
        raise refused([((), f"expected a block, but got {given!r}")])
    faults = [fault for key, options in given.items() for fault in _set_faults(key, options)]
    if faults:
        raise refused(faults)
    return {key: dataset_block(key, options) for key, options in given.items()}


DatasetBlocks = Annotated[
    dict[str, DatasetBlock],
    PlainValidator(_read_sets),
    PlainSerializer(lambda sets: {key: block.given for key, block in sets.items()}),
]


def dataset_block(key: str, options: dict[str, Any]) -> DatasetBlock:
    """A valid set, parsed; its name is its key unless it has one."""
    return DatasetBlock.of(key, {"name": key, **options, "phase": phase_of(key), "scale": 1})


def derive_sets(datasets: dict[str, Any]) -> dict[str, Any]:
    """The sets, and those that `val_fraction` and `test_fraction` hold out of `train`."""
    sets = {key: {"name": key, **options} for key, options in datasets.items()}
    train = sets.get("train", {})
    for subset in ("val", "test"):
        if train.get(f"{subset}_fraction"):
            held_out = {k: v for k, v in train.items() if k not in NOT_HELD_OUT}
            held_out |= {"name": f"{train['name']}_{subset}", "subset": subset}
            sets.setdefault(subset, held_out)
            train["subset"] = "train"
    return sets


def _set_faults(key: str, given: Any) -> Iterator[Fault]:
    """What is wrong with the keys and types of a set."""
    if not DATASET_KEY.fullmatch(key):
        yield (key,), f"unknown set; {hint(key, SETS)}"
        return
    kind, faults = find_class(DATASET_REGISTRY, given)
    if kind is not None:
        ours = issubclass(kind, EnhancementDataset)
        own = {k: v for k, v in given.items() if k != "type"}
        faults = _own_faults(kind, own) if ours else _foreign_faults(kind, key, own)
        faults += _loading_faults(ours, key, given)
    yield from (((key, *at), text) for at, text in faults)


def _own_faults(kind: Any, own: dict[str, Any]) -> list[Fault]:
    faults = argument_faults(kind.Options, own, CommonKeys)
    for name, types in kind.nested.items():
        if own.get(name) is not None:
            inner = Registered(types, buildable).faults(own[name])
            faults += [((name, *at), text) for at, text in inner]
    return faults


def _foreign_faults(kind: Any, key: str, own: dict[str, Any]) -> list[Fault]:
    """Check a set against the keys that one of BasicSR's datasets reads."""
    read, required = option_keys(kind)
    valid = read | FROM_BASICSR | IMPLIED | COMMON
    faults = argument_faults(CommonKeys, {k: v for k, v in own.items() if k in COMMON})
    faults += [((name,), f"unknown key; {hint(name, valid)}") for name in own if name not in valid]
    for name, value in own.items():
        if name.startswith("dataroot") and name in valid and not isinstance(value, str):
            faults.append(((name,), f"expected a folder's path, but got {value!r}"))
    needless = IMPLIED if key == "train" else IMPLIED | TRAINING_ONLY
    missing = sorted(required - own.keys() - needless)
    return faults + [((name,), f"missing; {kind.__name__} reads it") for name in missing]


def _loading_faults(ours: bool, key: str, given: dict[str, Any]) -> list[Fault]:
    faults: list[Fault] = []
    for name in ("batch_size_per_gpu", "num_worker_per_gpu"):
        if key != "train" and name in given:
            faults.append(((name,), "has no effect: images are tested one at a time"))
    lists = {name: given[name] for name in PROGRESSIVE if isinstance(given.get(name), list)}
    if lists and not (ours and key == "train"):
        text = "works for this project's training sets alone"
        faults.append(((next(iter(lists)),), text))
    elif lists and ("iters" not in lists or len({len(v) for v in lists.values()}) > 1):
        shown = ", ".join(f"{name} {value}" for name, value in lists.items())
        faults.append(((), f"progressive patches need lists of one length with iters, got {shown}"))
    if given.get("phase", phase_of(key)) != phase_of(key):
        faults.append((("phase",), f"expected '{phase_of(key)}', but got {given['phase']!r}"))
    return faults


def file_faults(
    sets: Mapping[str, DatasetBlock], files_of: Collection[str] | None
) -> Iterator[Fault]:
    """Folders that are not there, images without a partner, and sets that leak into each other.

    Args:
        sets: The sets whose keys and types are valid.
        files_of: Sets whose folders must exist; None means all of them.
    """
    for key, block in sets.items():
        if files_of is None or key in files_of:
            yield from (((key, *at), text) for at, text in _missing_files(block))
    yield from _unequal_fractions(sets)


def _missing_files(block: DatasetBlock) -> Iterator[Fault]:
    if issubclass(block.kind, EnhancementDataset):
        yield from (((), text) for text in block.kind.check(block.options))
        return
    for name, root in block.options.items():
        if name.startswith("dataroot") and not locate(root).exists():
            yield (name,), f"{locate(root)}: no such folder; {missing_hint(root)}"


def _unequal_fractions(sets: Mapping[str, DatasetBlock]) -> Iterator[Fault]:
    """Sets of the same images must be split alike, or held-out ones leak into training."""
    splits: dict[Any, tuple[str, list[float]]] = {}
    for key, block in sets.items():
        given = block.options
        if any(given.get(f) for f in FRACTIONS):
            root = given.get("dataroot_gt") or given.get("dataroot_lq")
            images = (root, *(given.get(k) for k in ("dataroot", "layout", "split")))
            own = [given.get(f) or 0 for f in FRACTIONS]
            first, fractions = splits.setdefault(images, (key, own))
            if own != fractions:
                text = (
                    f"val_fraction and test_fraction must be those of datasets.{first} "
                    f"{fractions}, which holds the same images, but got {own}"
                )
                yield (key,), text


def lacks_masks(block: DatasetBlock) -> bool:
    """Whether a set has no masks."""
    if not issubclass(block.kind, EnhancementDataset):
        return True
    try:
        return not block.kind.Options.pick(block.options).masks()
    except UserError:  # reported with the set itself
        return False


def _gt_files(block: DatasetBlock) -> set[str]:
    """The ground-truth files of one of this project's sets; empty where they are unknown."""
    if block.options.get("subset") or not issubclass(block.kind, EnhancementDataset):
        return set()
    try:
        options: Any = block.kind.Options.pick(block.options)
        sources, found, _ = block.kind.find(options)
        samples = included(found, options.include, sources[-1])
    except (UserError, OSError):
        return set()
    return {sources[-1].where(sample[-1]) for sample in samples}


def validates_on_test(sets: Mapping[str, DatasetBlock]) -> bool:
    """Whether the set that checkpoints are chosen on holds images of a test set."""
    if "val" not in sets:
        return False
    val = sets["val"]
    if "test" in (val.options.get("split"), val.options.get("subset")):
        return True
    chosen_on = _gt_files(val)
    return any(chosen_on & _gt_files(block) for block in sets.values() if block.phase == "test")
