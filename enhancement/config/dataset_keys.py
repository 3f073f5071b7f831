"""What a block of a dataset may say: keys, types, and blocks inside it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal

from annotated_types import Gt

from enhancement.data.base_dataset import EnhancementDataset
from enhancement.data.blocks import Loading, Side
from enhancement.data.mixed_dataset import MixedDataset, PartKeys
from enhancement.data.pairing import check_template
from enhancement.errors import UserError, hint
from enhancement.registry import DATASET_REGISTRY

from .blocks import Block, Buildable, Registered, find_class
from .signature import Fault, held_to, shown

SETS = ("train", "val", "test")
MORE_SETS = r"^(val|test)_\w+$"
SET_KEY = re.compile(rf"train|val|test|{MORE_SETS}")
PROGRESSIVE = ("gt_sizes", "mini_batch_sizes", "iters")
FRACTIONS = ("val_fraction", "test_fraction", "test_fold")
TRAINING_ONLY = ("gt_size", "use_hflip", "use_rot")
LONGEST_FOLDER = 200  # bytes, so that a label and an extension can follow

# of BasicSR's files; batches here run on across epochs and workers prefetch
NO_EFFECT = {"dataset_enlarge_ratio", "prefetch_mode", "num_prefetch_queue"}


def _check_folder_name(name: str) -> None:
    if not re.fullmatch(r"[\w.+-]+", name) or not name.strip("."):
        raise UserError(f"names a folder: letters, digits and . _ + -; got {shown(name)}")
    if len(name.encode()) > LONGEST_FOLDER:
        raise UserError(f"names a folder: expected at most {LONGEST_FOLDER} bytes")


Deviation = Annotated[float, Gt(0)]
FolderName = Annotated[str, held_to(_check_folder_name)]


@dataclass(frozen=True, kw_only=True)
class CommonKeys(Loading):
    """Keys of every set, BasicSR's without effect among them.

    Attributes:
        name: What scores and folders call the set; by default its key.
        dataset_enlarge_ratio, prefetch_mode, num_prefetch_queue: No effect: batches run on across
            epochs, and workers read ahead.
    """

    name: FolderName = ""
    dataset_enlarge_ratio: Any = None
    prefetch_mode: Any = None
    num_prefetch_queue: Any = None


@dataclass(frozen=True, kw_only=True)
class Storage:
    """`io_backend` of BasicSR's datasets."""

    type: Literal["disk", "lmdb"]


@dataclass(frozen=True, kw_only=True)
class PairedImageKeys:
    """Keys of BasicSR's PairedImageDataset; those of training have no default there.

    Attributes:
        dataroot_lq, dataroot_gt: Two folders or LMDBs.
        io_backend: How they are read.
        filename_tmpl: How an lq file is named after its gt, without extensions: "{}" alike.
        meta_info_file: A file that lists the images to take.
        mean, std: By which images are normalised, for each channel.
        phase: Follows from the key of the set.
        scale: Images are not enlarged.
        gt_size: Side of the crops.
        use_hflip: Mirror at random.
        use_rot: Rotate at random.
    """

    dataroot_lq: str
    dataroot_gt: str
    io_backend: Storage
    filename_tmpl: Annotated[str, held_to(check_template)] = "{}"
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


class Datasets(Registered):
    """Blocks of datasets.

    Args:
        more: The keys of where they stand.
    """

    def __init__(self, more: type) -> None:
        super().__init__(DATASET_REGISTRY)
        self.more = more

    def unfit(self, kind: Any) -> str | None:
        """A dataset whose keys are unknown here gives no pairs."""
        if issubclass(kind, EnhancementDataset) or kind.__name__ in FOREIGN:
            return None
        return f"{kind.__name__} gives no pairs of images; {hint('', FOREIGN)}"

    def takers(self, kind: Any) -> tuple[Any, ...]:
        """The dataclass of a class's own keys, and that of where it stands."""
        ours = issubclass(kind, EnhancementDataset)
        return kind.Options if ours else FOREIGN[kind.__name__], self.more

    def types(self, kind: Any) -> dict[str, Any]:
        """Of the keys that hold blocks."""
        return _inner(kind)


class Parts(Datasets):
    """Blocks of datasets that are parts of a mixture."""

    def unfit(self, kind: Any) -> str | None:
        """A dataset of another project, or a mixture itself."""
        if issubclass(kind, EnhancementDataset) and kind is not MixedDataset:
            return None
        return f"{kind.__name__} cannot be a part of a mixture"

    def check(self, kind: Any, given: dict[str, Any]) -> list[Fault]:
        """What is wrong with a part; which images are held out is said of the whole."""
        text = "a mixture is split as one; set it beside its `parts`"
        splits = [((key,), text) for key in (*FRACTIONS, "subset") if key in given]
        return [*super().check(kind, given), *splits]


@cache
def _inner(kind: type) -> dict[str, Any]:
    """The keys of a dataset class that hold blocks, with their types."""
    inner: dict[str, Any] = {
        name: Annotated[Block, Buildable(types)] | None
        for name, types in getattr(kind, "nested", {}).items()
    }
    if kind is MixedDataset:
        inner["parts"] = dict[str, Annotated[Block, PART]]
    return inner


SET = Datasets(CommonKeys)
PART = Parts(PartKeys)


def set_faults(key: str, given: Any) -> Iterator[Fault]:
    """What is wrong with the keys and values of a set."""
    if not SET_KEY.fullmatch(key):
        yield (), f"unknown set; {hint(key, SETS)}"
        return
    yield from SET.faults(given)
    kind, _ = find_class(DATASET_REGISTRY, given)
    if kind is None:
        return
    phase = phase_of(key)
    for name in TRAINING_ONLY if key == "train" and given["type"] in FOREIGN else ():
        if given.get(name) is None:
            yield (name,), f"missing; {given['type']} reads it"
    for name in ("batch_size_per_gpu", "num_worker_per_gpu"):
        if key != "train" and name in given:
            yield (name,), "has no effect: images are tested one at a time"
    lists = {name: given[name] for name in PROGRESSIVE if isinstance(given.get(name), list)}
    if lists and not (key == "train" and issubclass(kind, EnhancementDataset)):
        yield (next(iter(lists)),), "works for this project's training sets alone"
    elif lists and ("iters" not in lists or len({len(v) for v in lists.values()}) > 1):
        got = ", ".join(f"{name} {shown(value)}" for name, value in lists.items())
        yield (), f"progressive patches need lists of one length with iters, got {got}"
    if given.get("phase", phase) != phase:
        yield ("phase",), f"expected '{phase}', but got {shown(given['phase'])}"
