"""What can be wrong with the `datasets` of an option file; a part of option_check.py."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from enhancement.compat import option_keys
from enhancement.config.schema import KeyPath, Loading, check_call, parameters
from enhancement.data.base_dataset import EnhancementDataset, included
from enhancement.errors import UserError, hint
from enhancement.paths import locate, missing_hint
from enhancement.registry import DATASET_REGISTRY, lookup

if TYPE_CHECKING:
    from enhancement.config.check import Checker

SETS = ("train", "val", "test")
DATASET_KEY = re.compile(r"train|val(_\w+)?|test(_\w+)?")
FROM_BASICSR = {"io_backend", "dataroot_gt", "dataroot_lq", "mean", "std", "filename_tmpl"}
GIVEN = {"phase", "scale", "name", "type"}
ONLY_TRAINING = {"gt_size", "use_hflip", "use_rot"}
# of BasicSR's files; batches here run on across epochs and workers prefetch
NO_EFFECT = {"dataset_enlarge_ratio", "prefetch_mode", "num_prefetch_queue"}
PROGRESSIVE = ("gt_sizes", "mini_batch_sizes", "iters")
FRACTIONS = ("val_fraction", "test_fraction")


def phase_of(key: str) -> str:
    """The phase of a dataset block: "train", "val" or "test"."""
    return key.split("_")[0]


def check_datasets(checker: Checker, training: bool) -> None:
    """Report every fault of the dataset blocks."""
    datasets = checker.block("datasets")
    for key, block in datasets.items():
        if not DATASET_KEY.fullmatch(str(key)):
            checker.report(("datasets", str(key)), f"unknown set; {hint(str(key), SETS)}")
        elif not isinstance(block, dict):
            checker.report(("datasets", key), f"expected a block, but got {block!r}")
        else:
            _check_dataset(checker, key, block)
    if training and "datasets" in checker.opt and "train" not in datasets:
        checker.report(("datasets", "train"), "missing; expected the training set")
    _check_fractions(checker, datasets)
    if checker.block("val").get("select_on_test") is not True and validates_on_test(datasets):
        checker.report(
            ("datasets", "val"),
            "is a test set, and checkpoints are chosen on it; leave it out and set "
            "datasets.train.val_fraction, or say val.select_on_test: true",
        )


def _check_dataset(checker: Checker, key: str, block: dict[str, Any]) -> None:
    at: KeyPath = ("datasets", key)
    kind = checker.typed(block, at, lambda n: lookup(DATASET_REGISTRY, n))
    if kind is None:
        return
    loading = set(parameters(Loading))
    check_call(Loading, {k: v for k, v in block.items() if k in loading}, at, checker.report)
    own = {k: v for k, v in block.items() if k not in loading and k not in NO_EFFECT}
    for useless in {"batch_size_per_gpu", "num_worker_per_gpu"} & block.keys():
        if key != "train":
            checker.report((*at, useless), "has no effect: images are tested one at a time")
    _check_progressive(checker, at, block, issubclass(kind, EnhancementDataset))
    if block.get("phase", phase_of(key)) != phase_of(key):
        checker.report((*at, "phase"), f"expected '{phase_of(key)}', but got '{block['phase']}'")
    files = checker.files_of is None or key in checker.files_of
    if not issubclass(kind, EnhancementDataset):
        _check_foreign(checker, kind, own, at, files)
        return
    check_call(kind.Options, own, at, checker.report, also=loading | NO_EFFECT)
    for nested, types in getattr(kind, "nested", {}).items():
        checker.nested(block.get(nested), (*at, nested), types)
    if files:
        sound = {k: v for k, v in own.items() if (*at, k) not in checker.faulty}
        if checker.missing(kind.Options, sound):
            return
        with checker.errors_of(*at):
            for fault in kind.check({**sound, "phase": phase_of(key)}):
                checker.report(at, fault)


def _check_progressive(checker: Checker, at: KeyPath, block: dict[str, Any], ours: bool) -> None:
    lists = {key: block[key] for key in PROGRESSIVE if isinstance(block.get(key), list)}
    if lists and not (ours and at[1] == "train"):
        checker.report((*at, next(iter(lists))), "is for training sets of ours alone")
    elif lists and ("iters" not in lists or len({len(v) for v in lists.values()}) > 1):
        shown = ", ".join(f"{key} {value}" for key, value in lists.items())
        checker.report(at, f"progressive patches need lists of one length with iters, got {shown}")


def _check_foreign(
    checker: Checker, kind: type, own: dict[str, Any], at: KeyPath, files: bool
) -> None:
    """Hold a block against the keys that one of BasicSR's datasets reads."""
    read, required = option_keys(kind)
    valid = read | FROM_BASICSR | GIVEN
    for key, value in own.items():
        if key not in valid:
            checker.report((*at, key), f"unknown key; {hint(key, valid)}")
        elif key.startswith("dataroot") and files and not locate(value).exists():
            checker.report((*at, key), f"{locate(value)}: no such folder; {missing_hint(value)}")
    needless = GIVEN if at[1] == "train" else GIVEN | ONLY_TRAINING
    for key in sorted(required - own.keys() - needless):
        checker.report((*at, key), f"missing; {kind.__name__} reads it")


def _check_fractions(checker: Checker, datasets: dict[str, Any]) -> None:
    """Sets that share images must be divided alike, or the held-out ones leak into training."""
    shares: dict[Any, tuple[str, Any]] = {}
    for key, block in datasets.items():
        if not isinstance(block, dict) or not any(block.get(f) for f in FRACTIONS):
            continue
        roots = tuple(str(block.get(k)) for k in ("dataroot", "dataroot_gt", "layout", "split"))
        mine = tuple(block.get(f) or 0 for f in FRACTIONS)
        first, theirs = shares.setdefault(roots, (key, mine))
        if mine != theirs:
            checker.report(
                ("datasets", key),
                f"val_fraction and test_fraction must be those of datasets.{first} "
                f"{list(theirs)}, which holds the same images, but got {list(mine)}",
            )


def _files(block: Any) -> set[str]:
    """The ground-truth files of a block of ours; empty where they cannot be told."""
    if not isinstance(block, dict) or block.get("subset"):
        return set()
    try:
        kind = lookup(DATASET_REGISTRY, str(block.get("type")))
        if not issubclass(kind, EnhancementDataset):
            return set()
        options: Any = kind.Options.pick(block)
        sources, found, _ = kind.find(options)
        samples = included(found, options.include, sources[-1])
    except (UserError, TypeError, ValueError, AttributeError, KeyError, OSError):
        return set()
    return {sources[-1].where(sample[-1]) for sample in samples}


def validates_on_test(datasets: dict[str, Any]) -> bool:
    """Whether the set that checkpoints are chosen on holds images of a test set."""
    val = datasets.get("val")
    if not isinstance(val, dict):
        return False
    if val.get("split") == "test" or val.get("subset") == "test":
        return True
    tests = [block for key, block in datasets.items() if phase_of(str(key)) == "test"]
    chosen_on = _files(val)
    return any(chosen_on & _files(block) for block in tests)
