"""Which samples of a dataset to take: those named, those of a subset."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from enhancement.errors import UserError, hint

from .clips import ClipSource
from .dataset_options import DatasetOptions
from .sources import Source
from .splits import split_by_scene

Sample = tuple[str, ...]

_divided: dict[Any, dict[str, list[int]]] = {}  # the subsets of a set share one division


def included(samples: list[Sample], wanted: list[str] | None, source: Source) -> list[Sample]:
    """The samples whose gt has one of the wanted names, with or without folder and extension.

    Args:
        samples: File names; the last of each is the gt's.
        wanted: The names; None takes every sample.
        source: The gt's, for the error.

    Raises:
        UserError: A name fits no sample, or several; there is none.
    """
    if wanted is None:
        return samples
    if not wanted:
        raise UserError(f"{source.root}: include: expected names, but got none; leave it out")
    known: dict[str, list[Sample]] = {}
    for sample in samples:
        path = PurePosixPath(sample[-1])
        for name in {str(path), path.name, path.stem, str(path.with_suffix(""))}:
            known.setdefault(name, []).append(sample)
    for name in wanted:
        if name not in known:
            raise UserError(f"{source.root}: no image '{name}'; {hint(name, known)}")
        if len(known[name]) > 1:
            both = " and ".join(sample[-1] for sample in known[name][:2])
            raise UserError(f"{source.root}: '{name}' names {both}; say which")
    return [known[name][0] for name in wanted]


def check_divisible(options: DatasetOptions, source: Source) -> None:
    """Refuse to hold frames of videos out of a set: neighbours are nearly alike.

    Raises:
        UserError: A share is to be held out, and the images are such frames.
    """
    if isinstance(source, ClipSource) and (options.val_fraction or options.test_fraction):
        raise UserError(
            f"{source.root}: val_fraction and test_fraction would divide a video's frames, "
            f"which are nearly alike; give `val` and `test` clips of their own"
        )


def subset_of(samples: list[Sample], options: DatasetOptions, source: Source) -> list[Sample]:
    """The samples of `options.subset`, divided by scene.

    Args:
        samples: File names; the last of each is the gt's.
        options: Names the subset and the shares held out.
        source: The gt's.

    Raises:
        UserError: The subset would be empty.
    """
    shares = {"test": options.test_fraction, "val": options.val_fraction}
    if options.subset is None or not any(shares.values()):
        return samples
    names = [sample[-1] for sample in samples]
    key = (source.root, tuple(names), tuple(shares.items()), options.test_fold)
    if key not in _divided:
        _divided[key] = split_by_scene(source, names, shares, options.test_fold)
    chosen = _divided[key][options.subset]
    if not chosen:
        raise UserError(
            f"{source.root}: {len(names)} images leave none for '{options.subset}' "
            f"(val_fraction {options.val_fraction}, test_fraction {options.test_fraction}, "
            f"test_fold {options.test_fold})"
        )
    return [samples[i] for i in chosen]
