"""The `datasets` of an option file: each set on its own, and images that sets must not share."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from annotated_types import Gt
from pydantic import PlainSerializer, PlainValidator

from enhancement.data.base_dataset import EnhancementDataset
from enhancement.data.blocks import DatasetBlock, Loading, Side
from enhancement.data.mixed_dataset import MixedDataset, PartKeys
from enhancement.data.selection import included
from enhancement.errors import UserError, hint
from enhancement.paths import locate, missing_hint
from enhancement.registry import DATASET_REGISTRY

from .blocks import Registered, buildable, find_class
from .building import constructor_fault
from .signature import Fault, argument_faults, held_to, refused, shown

Sets = Mapping[str, DatasetBlock]

SETS = ("train", "val", "test")
SET_KEY = re.compile(r"train|(val|test)(_\w+)?")
PROGRESSIVE = ("gt_sizes", "mini_batch_sizes", "iters")
FRACTIONS = ("val_fraction", "test_fraction")
TRAINING_ONLY = ("gt_size", "use_hflip", "use_rot")
LONGEST_FOLDER = 200  # bytes, so that a label and an extension can follow

# of BasicSR's files; batches here run on across epochs and workers prefetch
NO_EFFECT = {"dataset_enlarge_ratio", "prefetch_mode", "num_prefetch_queue"}


def _check_folder_name(name: str) -> None:
    if not re.fullmatch(r"[\w.+-]+", name) or not name.strip("."):
        raise UserError(f"names a folder: letters, digits and . _ + -; got {shown(name)}")
    if len(name.encode()) > LONGEST_FOLDER:
        raise UserError(f"names a folder: expected at most {LONGEST_FOLDER} bytes")


def _check_template(text: str) -> None:
    if not re.fullmatch(r"[^{}]*\{\}[^{}]*", text):
        raise UserError(f"must hold {{}} once, but is {shown(text)}")


Deviation = Annotated[float, Gt(0)]
FolderName = Annotated[str, held_to(_check_folder_name)]


@dataclass(frozen=True, kw_only=True)
class CommonKeys(Loading):
    """Keys of every set, BasicSR's without effect among them."""

    name: FolderName = ""
    dataset_enlarge_ratio: Any = None
    prefetch_mode: Any = None
    num_prefetch_queue: Any = None


NOT_HELD_OUT = {*TRAINING_ONLY, *(f.name for f in fields(CommonKeys)), "cache", "seed"} - {"name"}


@dataclass(frozen=True, kw_only=True)
class Storage:
    """`io_backend` of BasicSR's datasets."""

    type: Literal["disk", "lmdb"]


@dataclass(frozen=True, kw_only=True)
class PairedImageKeys:
    """Keys of BasicSR's PairedImageDataset; those of training have no default there."""

    dataroot_lq: str
    dataroot_gt: str
    io_backend: Storage
    filename_tmpl: Annotated[str, held_to(_check_template)] = "{}"
    meta_info_file: str | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[Deviation, Deviation, Deviation] | None = None
    phase: Literal["train", "val", "test"] = "train"
    scale: Literal[1] = 1
    gt_size: Side | None = None
    use_hflip: bool | None = None
    use_rot: bool | None = None


FOREIGN = {"PairedImageDataset": PairedImageKeys}


def phase_of(key: str) -> str:
    """The phase of a set: "train", "val" or "test"."""
    return key.split("_")[0]


def _read_sets(given: Any) -> dict[str, DatasetBlock]:
    """Sets by key, checked against their classes but not against their files."""
    if not isinstance(given, dict):
        raise refused([((), f"expected a block, but got {shown(given)}")])
    faults = [
        ((key, *at), text) for key, block in given.items() for at, text in _set_faults(key, block)
    ]
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
    """What is wrong with the keys and values of a set."""
    if not SET_KEY.fullmatch(key):
        yield (), f"unknown set; {hint(key, SETS)}"
        return
    kind, faults = find_class(DATASET_REGISTRY, given)
    yield from faults
    if kind is None:
        return
    own = {k: v for k, v in given.items() if k != "type"}
    if issubclass(kind, EnhancementDataset):
        yield from _own_faults(kind, own, CommonKeys)
        parts = own.get("parts")
        for name, part in parts.items() if isinstance(parts, dict) else ():
            yield from ((("parts", name, *at), text) for at, text in _part_faults(part))
    elif given["type"] in FOREIGN:
        yield from argument_faults(FOREIGN[given["type"]], own, CommonKeys)
        for name in TRAINING_ONLY:
            if key == "train" and own.get(name) is None:
                yield (name,), f"missing; {given['type']} reads it"
    else:
        yield ("type",), f"{given['type']} gives no pairs of images; {hint('', FOREIGN)}"
    yield from _loading_faults(issubclass(kind, EnhancementDataset), key, own)


def _own_faults(kind: type[EnhancementDataset], own: dict[str, Any], more: type) -> Iterator[Fault]:
    """What is wrong with the keys of one of this project's datasets, and with blocks in it."""
    yield from argument_faults(kind.Options, own, more)
    for name, types in kind.nested.items():
        if own.get(name) is not None:
            inner = Registered(types, buildable).faults(own[name])
            yield from (((name, *at), text) for at, text in inner)


def _part_faults(given: Any) -> Iterator[Fault]:
    """What is wrong with a part of a mixture."""
    kind, faults = find_class(DATASET_REGISTRY, given)
    yield from faults
    if kind is None:
        return
    if not issubclass(kind, EnhancementDataset) or kind is MixedDataset:
        yield ("type",), f"{kind.__name__} cannot be a part of a mixture"
        return
    own = {k: v for k, v in given.items() if k not in ("type", "phase")}
    yield from _own_faults(kind, own, PartKeys)


def _loading_faults(ours: bool, key: str, own: dict[str, Any]) -> Iterator[Fault]:
    for name in ("batch_size_per_gpu", "num_worker_per_gpu"):
        if key != "train" and name in own:
            yield (name,), "has no effect: images are tested one at a time"
    lists = {name: own[name] for name in PROGRESSIVE if isinstance(own.get(name), list)}
    if lists and not (ours and key == "train"):
        yield (next(iter(lists)),), "works for this project's training sets alone"
    elif lists and ("iters" not in lists or len({len(v) for v in lists.values()}) > 1):
        got = ", ".join(f"{name} {shown(value)}" for name, value in lists.items())
        yield (), f"progressive patches need lists of one length with iters, got {got}"
    if own.get("phase", phase_of(key)) != phase_of(key):
        yield ("phase",), f"expected '{phase_of(key)}', but got {shown(own['phase'])}"


def missing_files(block: DatasetBlock) -> Iterator[Fault]:
    """What is wrong with the files of a set: folders that are not there, images without partner."""
    if issubclass(block.kind, EnhancementDataset):
        for part in block.parts:
            at = () if part is block else ("parts", part.key)
            yield from ((at, text) for text in cast(Any, part.kind).check(part.options))
        return
    missing = False
    for name, path in block.options.items():
        folder = name.startswith("dataroot") and not locate(path).is_dir()
        if folder or (name == "meta_info_file" and path and not Path(path).is_file()):
            kind, missing = "folder" if folder else "file", True
            yield (name,), f"{locate(path)}: no such {kind}; {missing_hint(path)}"
    if not missing and (fault := constructor_fault(block.build)):
        yield (), fault


def unequal_fractions(sets: Sets) -> Iterator[Fault]:
    """Sets of the same images must be split alike, or held-out ones leak into training."""
    splits: dict[Any, tuple[str, list[float]]] = {}
    for key, part in ((key, part) for key, block in sets.items() for part in block.parts):
        given = part.options
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
    return any(_lacks_masks(part.kind, part.options) for part in block.parts)


def _lacks_masks(kind: Any, options: dict[str, Any]) -> bool:
    if not issubclass(kind, EnhancementDataset):
        return True
    try:
        return not kind.Options.pick(options).masks()
    except UserError:  # reported with the set itself
        return False


def _gt_files(block: DatasetBlock) -> set[str]:
    """The ground-truth files of one of this project's sets; empty where they are unknown."""
    found = (_gt_files_of(part.kind, part.options) for part in block.parts)
    return {file for files in found for file in files}


def _gt_files_of(kind: Any, given: dict[str, Any]) -> set[str]:
    if given.get("subset") or not issubclass(kind, EnhancementDataset):
        return set()
    try:
        options: Any = kind.Options.pick(given)
        sources, found, _ = kind.find(options)
        samples = included(found, options.include, sources[-1])
    except (UserError, OSError):
        return set()
    return {sources[-1].where(sample[-1]) for sample in samples}


def validates_on_test(sets: Sets) -> bool:
    """Whether the set that checkpoints are chosen on holds images of a test set."""
    if "val" not in sets:
        return False
    val = sets["val"]
    if "test" in (val.options.get("split"), val.options.get("subset")):
        return True
    chosen_on = _gt_files(val)
    return any(chosen_on & _gt_files(block) for block in sets.values() if block.phase == "test")


def largest_batch(block: DatasetBlock) -> int:
    """Bytes of a training set's largest batch of lq and gt, where its crops have a known size."""
    sizes = []
    for stage in block.loading.stages:
        size = stage.gt_size or block.options.get("gt_size") or block.options.get("resize") or 0
        height, width = (size, size) if isinstance(size, int) else size
        sizes.append(stage.batch_size * height * width)
    return max(sizes) * 2 * 3 * 4
