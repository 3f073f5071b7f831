"""The `datasets` of an option file: each set on its own, and images that sets must not share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import PlainSerializer, PlainValidator
from pydantic.json_schema import JsonSchemaValue

from enhancement.data.base_dataset import EnhancementDataset
from enhancement.data.blocks import DatasetBlock
from enhancement.data.layouts import layout_folders
from enhancement.data.mixed_dataset import PartKeys
from enhancement.data.paired_dataset import PairedOptions
from enhancement.data.selection import included
from enhancement.errors import UserError
from enhancement.paths import locate, missing_hint
from enhancement.units import counted

from .building import constructor_fault
from .dataset_keys import (
    FRACTIONS,
    MORE_SETS,
    SET,
    SETS,
    TRAINING_ONLY,
    CommonKeys,
    phase_of,
    set_faults,
)
from .signature import Fault, refused, shown

Sets = Mapping[str, DatasetBlock]

NOT_HELD_OUT = {*TRAINING_ONLY, *(f.name for f in fields(CommonKeys)), "cache", "seed"} - {"name"}


def _read_sets(given: Any) -> dict[str, DatasetBlock]:
    """Sets by key, checked against their classes but not against their files."""
    if not isinstance(given, dict):
        raise refused([((), f"expected a block, but got {shown(given)}")])
    faults = [
        ((key, *at), text) for key, block in given.items() for at, text in set_faults(key, block)
    ]
    if faults:
        raise refused(faults)
    return {key: dataset_block(key, options) for key, options in given.items()}


class _SetsSchema:
    """The JSON Schema of the sets: each a block of a dataset, or null."""

    def __get_pydantic_json_schema__(self, source: Any, handler: Any) -> JsonSchemaValue:
        block = {"anyOf": [SET.__get_pydantic_json_schema__(source, handler), {"type": "null"}]}
        return {
            "type": "object",
            "description": "The sets to train on, to choose checkpoints by and to test on.",
            "properties": dict.fromkeys(SETS, block),
            "patternProperties": {MORE_SETS: block},
            "additionalProperties": False,
        }


DatasetBlocks = Annotated[
    dict[str, DatasetBlock],
    PlainValidator(_read_sets),
    _SetsSchema(),
    PlainSerializer(lambda sets: {key: block.given for key, block in sets.items()}),
]


def dataset_block(key: str, options: dict[str, Any]) -> DatasetBlock:
    """A valid set, parsed; its name is its key unless it has one."""
    return DatasetBlock.of(key, {"name": key, **options, "phase": phase_of(key), "scale": 1})


def derive_sets(datasets: dict[str, Any]) -> dict[str, Any]:
    """The sets, and those that `val_fraction` and `test_fraction` hold out of `train`.

    Where the layout brings images to choose checkpoints by, nothing is held out for that. null
    takes a set away.
    """
    sets = {key: {"name": key, **given} for key, given in datasets.items() if given is not None}
    train = sets.get("train", {})
    for subset in ("val", "test"):
        if train.get(f"{subset}_fraction"):
            held_out = _without(train, NOT_HELD_OUT)
            if isinstance(train.get("parts"), dict):
                once = NOT_HELD_OUT | {f.name for f in fields(PartKeys)}
                held_out["parts"] = {k: _without(v, once) for k, v in train["parts"].items()}
            held_out["name"] = f"{train['name']}_{subset}"
            if subset == "val" and subset not in sets and _brings_val(train):
                del train["val_fraction"]
                own = _without(held_out, {*FRACTIONS, "include"})
                sets["val"] = {**own, "split": "val"}
            else:
                sets.setdefault(subset, {**held_out, "subset": subset})
                train["subset"] = "train"
    return sets


def _without(options: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {k: v for k, v in options.items() if k not in names}


def _brings_val(train: dict[str, Any]) -> bool:
    """Whether the layout of a training set, which nothing has checked, has a `val` on the disk."""
    layout, root = train.get("layout"), train.get("dataroot")
    of_train = (train.get("split") or PairedOptions.split) == "train"
    if of_train and isinstance(layout, str):
        with suppress(UserError, OSError):
            layout_folders(layout, root if isinstance(root, str) else None, "val")
            return True
    return False


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
    splits: dict[Path, list[tuple[str, list[float]]]] = {}
    for key, part in ((key, part) for key, block in sets.items() for part in block.parts):
        if folder := _folder_of_images(part.options):
            shares = [part.options.get(f) or 0 for f in FRACTIONS]
            splits.setdefault(folder, []).append((key, shares))
    for found in splits.values():
        first, fractions = next((one for one in found if any(one[1])), ("", None))
        for key, shares in found if fractions else ():
            if shares != fractions:
                text = (
                    f"val_fraction, test_fraction and test_fold must be those of datasets.{first} "
                    f"{fractions}, which holds the same images, but got {shares}"
                )
                yield (key,), text


def _folder_of_images(given: dict[str, Any]) -> Path | None:
    """Where a set's ground truths lie, or its dark images alone; None where nothing is there."""
    root = given.get("dataroot_gt") or given.get("dataroot_lq")
    if not root and given.get("layout"):
        split = given.get("split") or PairedOptions.split
        with suppress(UserError):  # reported with the set itself
            root = layout_folders(given["layout"], given.get("dataroot"), split)[1]
    return locate(root).resolve() if root else None


def lacks_masks(block: DatasetBlock) -> bool:
    """Whether a set, or a part of it, has no masks."""
    if not issubclass(block.kind, EnhancementDataset):
        return True
    with suppress(UserError):  # reported with the set itself
        return not all(_own_options(part).masks() for part in block.parts)
    return False


def _own_options(part: DatasetBlock) -> Any:
    """The options of one of this project's datasets, as it reads them."""
    return cast(Any, part.kind).Options.pick(part.options)


def _gt_files(block: DatasetBlock) -> set[str]:
    """The ground-truth files of one of this project's sets; without those that are unknown."""
    files: set[str] = set()
    for part in block.parts:
        if part.options.get("subset") or not issubclass(part.kind, EnhancementDataset):
            continue
        with suppress(UserError, OSError):
            options = _own_options(part)
            sources, found, _ = part.kind.find(options)
            samples = included(found, options.include, sources[-1])
            files |= {sources[-1].where(sample[-1]) for sample in samples}
    return files


def selection_set(sets: Mapping[str, Any]) -> str | None:
    """The key of the set that checkpoints are chosen by: `val`, or else the first of its kind."""
    return "val" if "val" in sets else next((k for k in sets if phase_of(k) == "val"), None)


def shared_names(sets: Sets) -> Iterator[Fault]:
    """Sets of one kind that share a name, under which their scores and pictures would mix."""
    known: dict[tuple[str, str], str] = {}
    for key, block in sets.items():
        first = known.setdefault((block.phase, block.name), key)
        if first != key:
            text = f"{shown(block.name)} is datasets.{first}'s name too; choose another"
            yield (key, "name"), text


def learned_images(sets: Sets) -> Iterator[Fault]:
    """Sets that hold images which are trained on; what is held out of a set is no such image."""
    if "train" not in sets or any(sets["train"].options.get(share) for share in FRACTIONS):
        return
    learned = _gt_files(sets["train"])
    for key, block in sets.items():
        if key != "train" and (same := len(learned & _gt_files(block))):
            text = (
                f"holds {counted(same, 'image')} that datasets.train trains on; name others, or "
                f"hold some out by datasets.train.{phase_of(key)}_fraction"
            )
            yield (key,), text


def validates_on_test(sets: Sets) -> bool:
    """Whether the set that checkpoints are chosen on holds images of a test set."""
    chosen_by = selection_set(sets)
    if chosen_by is None:
        return False
    val = sets[chosen_by]
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
