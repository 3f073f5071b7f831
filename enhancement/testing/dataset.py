"""Which dataset is scored on, and where its images lie."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from enhancement.config.datasets import dataset_block, derive_sets
from enhancement.config.files import OptionFile, named_files
from enhancement.config.schema import Config
from enhancement.data.blocks import DatasetBlock
from enhancement.errors import UserError, hint
from enhancement.paths import DATA_VARIABLE


def chosen_dataset(arguments: argparse.Namespace, config: Config | None) -> DatasetBlock:
    """The dataset: one of the option file's sets, or a file under options/datasets.

    Raises:
        UserError: No such dataset; lists them.
    """
    name = arguments.dataset
    own = [b for b in config.datasets.values() if b.phase == "test"] if config else []
    own += [config.datasets["val"]] if config and "val" in config.datasets else []
    for block in own:
        if name is None or name in (block.key, block.name):
            return with_root(block, arguments.data_root)
    if name is None:
        raise UserError("the option file has no test set; name one with --dataset")
    known = named_files("datasets")
    if name.lower() not in known:
        names = {*known, *(block.name for block in own)}
        raise UserError(f"--dataset: unknown dataset '{name}'; {hint(name, names)}")
    file = OptionFile(known[name.lower()])
    file.force([s for s in arguments.force_yml if s.startswith("datasets:")])
    options = derive_sets(file.options["datasets"]).get("test")
    if options is None:
        raise UserError(f"--dataset {name}: has no test set")
    return with_root(dataset_block("test", options), arguments.data_root)


def with_root(block: DatasetBlock, root: Path | None) -> DatasetBlock:
    """The dataset with its images under another root."""
    options = block.options
    if root is None:
        return block
    if "dataroot_lq" in options and block.gives_truth:
        raise UserError(
            "--data_root: this dataset has two roots; override them with --force_yml "
            "datasets:test:dataroot_lq=... datasets:test:dataroot_gt=..."
        )
    if "layout" in options:
        return replace(block, options={**options, "dataroot": str(root)})
    if block.parts != [block]:
        raise UserError(
            f"--data_root: {block.name} is made of several sets, each with a root of its own; set "
            f"{DATA_VARIABLE} to the folder that holds them"
        )
    moved = {}
    main = "dataroot_gt" if block.gives_truth else "dataroot_lq"
    for key in (main, "dataroot_mask", "dataroot_boxes"):
        if options.get(key):
            inside = Path(*Path(options[key]).parts[2:])  # datasets/KvasirSEG/images: "images"
            moved[key] = str(root / inside)
    if not Path(moved[main]).is_dir() and len(moved) == 1:
        moved[main] = str(root)
    return replace(block, options={**options, **moved})
