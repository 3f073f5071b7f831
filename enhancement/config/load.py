"""An option file becomes a `Config`: it is read, checked and parsed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from enhancement.data.blocks import gives_truth
from enhancement.errors import OptionError, hint
from enhancement.registry import ARCH_REGISTRY, DATASET_REGISTRY, MODEL_REGISTRY, lookup
from enhancement.scoring.protocols import NO_REFERENCE, SEGMENTATION, protocols_for

from .blocks import Block
from .datasets import dataset_block, derive_sets, file_faults, lacks_masks, validates_on_test
from .dialect import is_dialect, translate
from .files import OptionFile, Options
from .fit import (
    block,
    loss_faults,
    model_faults,
    network_faults,
    path_faults,
    registered_as,
)
from .needs import Needs
from .schema import LOSS_SUFFIX, LOSSES, Config, losses_of
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
        file.set(["path", "pretrain_network_g"], str(Path(weights).absolute()), "--weights")
    if is_dialect(file.options):
        for note in translate(file.options):
            print(f"note: {note}")
    options = file.options
    if not training and options.get("train") == {}:
        options["train"] = None
    lines = [
        f"{file.origin(at)}: {'.'.join(at)}: {line}"
        for at, text in faults_of(options, training, files_of)
        for line in text.splitlines() or [""]
    ]
    if lines:
        raise OptionError(dict.fromkeys(lines))
    return parse_config(options)


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
    faulty: set[KeyPath] = set()
    for at, text in faults_in(Config, options):
        faulty.add(at)
        yield _as_written(at), text
    model = registered_as(MODEL_REGISTRY, options.get("model_type"))
    needs = Needs.of(model)
    if training:
        yield from _completeness_faults(options)
    yield from model_faults(options, model)
    yield from loss_faults(options, needs)
    yield from _set_faults(options, needs, training, files_of, faulty)
    yield from _selection_faults(options, needs)
    yield from path_faults(options, training)
    network = block(options, "network_g")
    if network and not any(at[0] == "network_g" for at in faulty):
        found = Block(lookup(ARCH_REGISTRY, network["type"]), network)
        yield from network_faults(options, found, needs, training, files_of is None)


def _as_written(at: KeyPath) -> KeyPath:
    """The key of a loss as the file has it, `train.pixel_opt`."""
    if at[:2] == ("train", LOSSES) and len(at) > 2:
        return ("train", f"{at[2]}{LOSS_SUFFIX}", *at[3:])
    return at


def _completeness_faults(options: Options) -> Iterator[Fault]:
    """What a file must have to be trained from."""
    train, datasets = options.get("train"), options.get("datasets")
    if train is None:
        yield ("train",), "missing; expected a block"
    elif isinstance(train, dict) and not losses_of(train):
        yield ("train",), f"no loss; expected a key such as pixel{LOSS_SUFFIX}"
    if isinstance(datasets, dict) and "train" not in datasets:
        yield ("datasets", "train"), "missing; expected the training set"


def _set_faults(
    options: Options, needs: Needs, training: bool, files_of: set[str] | None, faulty: set[KeyPath]
) -> Iterator[Fault]:
    """The files of the sets whose keys and types are valid, and what models ask of sets."""
    invalid = {at[1] for at in faulty if at[0] == "datasets" and len(at) > 1}
    given = block(options, "datasets")
    sets = {key: dataset_block(key, given[key]) for key in given if key not in invalid}
    for at, text in file_faults(sets, files_of):
        yield ("datasets", *at), text
    trained_on = sets.get("train")
    if needs.truth and training and trained_on and not trained_on.gives_truth:
        text = (
            f"{trained_on.kind.__name__} gives no ground truth, which {options.get('model_type')} "
            f"trains with; expected a dataset of pairs, or `model_type: ZeroReferenceModel`"
        )
        yield ("datasets", "train", "type"), text
    if needs.masks and training:
        for key in (key for key, found in sets.items() if lacks_masks(found)):
            text = f"has no masks, which {options.get('model_type')} needs; set dataroot_mask"
            yield ("datasets", key), text
    if block(options, "val").get("select_on_test") is not True and validates_on_test(sets):
        text = (
            "is a test set, and checkpoints are chosen on it; leave it out and set "
            "datasets.train.val_fraction, or say val.select_on_test: true"
        )
        yield ("datasets", "val"), text


def _selection_faults(options: Options, needs: Needs) -> Iterator[Fault]:
    """`val.select_by` is a metric that validation scores."""
    val, model = block(options, "val"), options.get("model_type")
    chosen = val.get("select_by", "psnr")
    protocol = protocols_for("image").get(str(val.get("protocol", "basicsr")))
    if protocol is None or not isinstance(chosen, str):
        return  # reported already
    sets = block(options, "datasets")
    val_set = sets.get("val") or (
        sets.get("train") if block(sets, "train").get("val_fraction") else 0
    )
    dataset = registered_as(DATASET_REGISTRY, block(val_set).get("type"))
    if needs.gives == "image" and dataset and not gives_truth(dataset):
        protocol = NO_REFERENCE
    images, masks = protocol.names, SEGMENTATION.names
    if needs.gives == "mask" and chosen not in masks:
        text = f"{model} scores masks; expected {' or '.join(masks)}"
    elif needs.gives == "image" and chosen in masks and not needs.masks:
        text = f"{model} has no masks to score; expected {' or '.join(images)}"
    elif needs.gives == "image" and chosen not in (*images, *masks):
        text = f"protocol {protocol.name} has no {chosen}; {hint(chosen, images)}"
    else:
        return
    yield ("val", "select_by"), text
