"""The sets of images or pairs that a folder or an option file holds, by split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from enhancement.config.dataset_keys import SETS, phase_of
from enhancement.config.load import load_config
from enhancement.data.base_dataset import EnhancementDataset
from enhancement.data.layouts import LAYOUTS
from enhancement.data.masks import Masks
from enhancement.data.pairing import check_sizes, pair_by_name
from enhancement.data.selection import included
from enhancement.data.sources import Source, open_source
from enhancement.errors import UserError
from enhancement.paths import locate

MASKED = ("masks", "images")
WHOLE = "images"
_FOLDERS = [
    (split, Path(lq), Path(gt))
    for layout in LAYOUTS.values()
    for split, pairs in layout.splits.items()
    for lq, gt in pairs
]
SIDES = (*dict.fromkeys((lq.name, gt.name) for _, lq, gt in _FOLDERS), MASKED)
SPLITS = {lq.parent.name.lower(): split for split, lq, _ in _FOLDERS if lq.parent.name}


@dataclass
class ImageSet:
    """One split.

    Attributes:
        name: "train", "test", ...; "images" where there are no splits.
        sides: What each source holds: "lq" and "gt", with "masks" before them where there are some;
            "masks" and "images"; or "images".
        sources: One for each side; the last one's images tell scenes apart.
        samples: The names, one in each source, that make one sample.
        faults: A line for each image that is unpaired, of another size, or without a header.
        folder: The set's root, where it has one.
    """

    name: str
    sides: tuple[str, ...]
    sources: list[Source]
    samples: list[tuple[str, ...]]
    faults: list[str]
    folder: Path | None = None

    @property
    def scene_names(self) -> list[str]:
        """The names of the images that tell scenes apart."""
        return [sample[-1] for sample in self.samples]


def sides_of(folder: Path) -> tuple[str, str] | None:
    """The two subfolders that hold a folder's pairs, such as ("low", "high"); None without them."""
    return next(((a, b) for a, b in SIDES if (folder / a).is_dir() and (folder / b).is_dir()), None)


def _set(name: str, folder: Path) -> ImageSet:
    pair = sides_of(folder)
    if not pair:
        source = open_source(folder)
        return ImageSet(name, ("images",), [source], [(n,) for n in source.names], [], folder)
    a, b = (open_source(folder / side) for side in pair)
    pairs, faults = pair_by_name(a, b)
    faults += check_sizes(a, b, pairs)
    root = folder / MASKED[0]
    if pair == MASKED or not root.is_dir():
        sides = pair if pair == MASKED else ("lq", "gt")
        return ImageSet(name, sides, [a, b], [*pairs], faults, folder)
    masks = Masks(str(root), b, check=True)
    samples: list[tuple[str, ...]] = [(masks.of[gt], lq, gt) for lq, gt in pairs if gt in masks.of]
    sources = [masks.source, a, b]
    return ImageSet(name, (MASKED[0], "lq", "gt"), sources, samples, faults + masks.faults, folder)


def find_sets(root: str | Path) -> list[ImageSet]:
    """The sets in a folder: its splits, by the names that data/layouts.py knows, or all of it.

    Each is two folders of pairs ("low" and "high", "input" and "target", ...), which may have masks
    beside them, images with masks,
    or plain images; or an LMDB.

    Raises:
        UserError: There is no such folder, or no image in it.
    """
    folder = locate(root)
    parts = [part for part in sorted(folder.glob("*/")) if part.name.lower() in SPLITS]
    sets = [_set(SPLITS[part.name.lower()], part) for part in parts]
    return sorted(sets, key=lambda found: SETS.index(found.name)) or [_set(WHOLE, folder)]


def sets_of_options(path: str | Path) -> list[ImageSet]:
    """The sets of an option file's datasets; those that divide one folder by scene count as one.

    Raises:
        UserError: The file has faults, a folder is missing, or a dataset is not this project's.
    """
    datasets = load_config(path, training=False, files_of=set()).datasets
    found: dict[Any, ImageSet] = {}
    in_order = sorted(datasets.items(), key=lambda item: SETS.index(phase_of(item[0])))
    for key, block in ((key, part) for key, whole in in_order for part in whole.parts):
        kind: Any = block.kind
        if not issubclass(kind, EnhancementDataset):
            raise UserError(
                f"{path}: datasets.{key} is a {kind.__name__}; only this project's are checked"
            )
        options: Any = kind.Options.pick({**block.options, "on_error": "raise"})
        sources, samples, faults = kind.find(options)
        samples = included(samples, options.include, sources[-1])
        if options.masks():
            faults = faults + Masks(options.masks(), sources[-1], check=True).faults
        same = tuple(s.root for s in sources), tuple(samples), options.subset is None and key
        if same in found:
            found[same].name += f"+{key}"
        else:
            sides = kind.gives[-len(sources) :]
            found[same] = ImageSet(key, sides, sources, samples, faults)
    if not found:
        raise UserError(f"{path}: has no datasets")
    return list(found.values())
