"""Divide a dataset into training, validation and test folders, by scene."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from enhancement.data.sources import FolderSource
from enhancement.data.splits import split_by_scene
from enhancement.dataset_tools.image_sets import ImageSet
from enhancement.errors import UserError, shortened
from enhancement.files import copy_file, new_folder, write_text, writing
from enhancement.paths import inside

Progress = Callable[[Any], Iterable[Any]]
Job = tuple[str, tuple[str, ...]]  # a subset's name, and the names of a sample's files


def split_set(
    chosen: ImageSet, output: Path, shares: dict[str, float], link: bool, progress: Progress = iter
) -> dict[str, int]:
    """Divide a set by scene into OUTPUT/{train,val,test}, pairs and masks together.

    Args:
        chosen: From image_sets.py.
        output: A new folder. Each subset keeps the names of the set's own folders ("low", "high"),
            and split.csv says where each image went.
        shares: Subset name to its share; "train" takes the rest.
        link: Make symbolic links instead of copies.
        progress: Wraps the list of samples, to show how far it is.

    Returns:
        Subset name to its number of samples.

    Raises:
        UserError: The set has faults, leaves nothing for a subset, or cannot be written.
    """
    _refuse(chosen, shares)
    new_folder(output)
    wanted = {subset: share for subset, share in shares.items() if share}
    subsets = split_by_scene(chosen.sources[-1], chosen.scene_names, wanted)
    empty = [subset for subset, indices in subsets.items() if not indices]
    if empty:
        raise UserError(
            f"{chosen.sources[-1].root}: {len(chosen.samples)} images leave none for '{empty[0]}'"
        )
    jobs = [(subset, chosen.samples[i]) for subset, found in subsets.items() for i in found]
    with writing(output):
        for subset, sample in progress(jobs):
            _place(chosen, sample, output / subset, link)
        write_text(output / "split.csv", _as_csv(chosen.sides, jobs))
    return {subset: len(indices) for subset, indices in subsets.items()}


def _refuse(chosen: ImageSet, shares: dict[str, float]) -> None:
    """Raise a UserError for a set or for shares by which nothing can be divided."""
    if not all(isinstance(source, FolderSource) for source in chosen.sources):
        raise UserError(
            f"{chosen.sources[0].root}: an LMDB or videos cannot be divided; name a folder"
        )
    if chosen.faults:
        raise UserError("\n".join(shortened(chosen.faults)))
    total = sum(shares.values())
    if not 0 < total < 1 or min(shares.values()) < 0:
        raise UserError(
            "--val and --test: expected shares from 0 that leave something to train on, but got "
            f"{shares['val']} and {shares['test']}"
        )


def _place(chosen: ImageSet, sample: tuple[str, ...], folder: Path, link: bool) -> None:
    """Copy or link a sample's files below a subset's folder."""
    for source, name in zip(chosen.sources, sample, strict=True):
        side = Path(source.root).name if len(chosen.sources) > 1 else ""
        target = inside(folder / side, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if link:
            target.symlink_to(Path(source.where(name)).resolve())
        else:
            copy_file(Path(source.where(name)), target)


def _as_csv(sides: tuple[str, ...], jobs: list[Job]) -> str:
    """Where each image went."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["subset", *sides])
    writer.writerows([subset, *sample] for subset, sample in jobs)
    return text.getvalue()
