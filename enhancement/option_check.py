"""Everything that can be wrong with an option file, found at once and before anything is built."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from enhancement import checkpoint
from enhancement.compat import (
    ARCH_REGISTRY,
    DATASET_REGISTRY,
    LOSS_REGISTRY,
    METRIC_REGISTRY,
    MODEL_REGISTRY,
    lookup,
    option_keys,
    scheduler_types,
)
from enhancement.data.base_dataset import EnhancementDataset
from enhancement.data.sources import locate, missing_hint
from enhancement.errors import UserError, hint
from enhancement.models.enhancement_model import LOSS_SUFFIX, loss_options
from enhancement.schema import (
    KeyPath,
    Loading,
    Logger,
    Metric,
    PathBlock,
    Root,
    Train,
    Val,
    check_call,
    parameters,
)

SECTIONS = {"path": PathBlock, "train": Train, "val": Val, "logger": Logger}
DATASET_KEY = re.compile(r"train|val(_\w+)?|test(_\w+)?")
FROM_BASICSR = {"scale", "phase", "io_backend", "dataroot_gt", "dataroot_lq", "mean", "std"}
NO_USE_HERE = {"dataset_enlarge_ratio", "prefetch_mode", "num_prefetch_queue", "use_shuffle"}
NEEDS_CLOSURE = ("LBFGS", "SparseAdam", "Optimizer")


def optimizer_types() -> dict[str, type]:
    """PyTorch's optimisers by name."""
    return {
        name: kind
        for name, kind in vars(torch.optim).items()
        if inspect.isclass(kind)
        and issubclass(kind, torch.optim.Optimizer)
        and name not in NEEDS_CLOSURE
    }


class Checker:
    """Collects faults of merged options.

    Args:
        opt: The merged options, before defaults are filled in.
        origin: Names the file that a key path was set in.
        files_of: Dataset blocks whose folders must be there; None checks them all.
    """

    def __init__(
        self,
        opt: dict[str, Any],
        origin: Callable[[KeyPath], str],
        files_of: set[str] | None = None,
    ):
        self.opt, self.origin, self.files_of = opt, origin, files_of
        self.faults: list[str] = []
        self.faulty: set[KeyPath] = set()

    def report(self, at: KeyPath, text: str) -> None:
        """Note a fault of a key."""
        self.faulty.add(at)
        lines = text.splitlines() or [""]
        self.faults += [f"{self.origin(at)}: {'.'.join(at)}: {line}" for line in lines]

    def run(self, training: bool) -> list[str]:
        """Check everything; the faults.

        Args:
            training: Whether `train` and `datasets.train` must be there.
        """
        check_call(Root, self.opt, (), self.report)
        name = self.opt.get("name")
        if isinstance(name, str) and not re.fullmatch(r"[\w.+-]+", name):
            self.report(("name",), f"names a folder: letters, digits and . _ + -; got {name!r}")
        self._model_type()
        for section, schema in SECTIONS.items():
            block = self.opt.get(section, {})
            if not isinstance(block, dict) or (section == "train" and not (training or block)):
                continue
            losses = {k for k in block if k.endswith(LOSS_SUFFIX)} if section == "train" else set()
            check_call(schema, block, (section,), self.report, also=losses)
        self._losses(training)
        self._optimizer_and_scheduler()
        self._metrics()
        self._datasets(training)
        self._files()
        self._network()
        return self.faults

    def _block(self, *at: str) -> dict[str, Any]:
        block: Any = self.opt
        for key in at:
            block = block.get(key) if isinstance(block, dict) else None
        return block if isinstance(block, dict) else {}

    @contextmanager
    def _errors_of(self, *at: str) -> Iterator[None]:
        """Report what a constructor says of its arguments."""
        try:
            yield
        except (UserError, ValueError, TypeError, AssertionError, KeyError, IndexError) as error:
            self.report(at, str(error) or type(error).__name__)
        except (RuntimeError, NotImplementedError, ZeroDivisionError) as error:
            self.report(at, f"cannot be built: {str(error).splitlines()[0]}")

    def _typed(self, block: Any, at: KeyPath, find: Callable[[str], Any]) -> Any:
        """The class that a block's `type` names, or None with the fault reported."""
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):
            self.report((*at, "type"), "missing; expected the name of a class")
            return None
        try:
            return find(block["type"])
        except UserError as error:
            self.report((*at, "type"), str(error))
            return None

    def _arguments(self, kind: Any, block: dict[str, Any], at: KeyPath) -> bool:
        """Hold a typed block against its class; True where nothing is wrong."""
        before = len(self.faults)
        check_call(kind, {k: v for k, v in block.items() if k != "type"}, at, self.report)
        return len(self.faults) == before

    def _model_type(self) -> None:
        name = self.opt.get("model_type")
        if isinstance(name, str):
            try:
                lookup(MODEL_REGISTRY, name)
            except UserError as error:
                self.report(("model_type",), str(error))

    def _losses(self, training: bool) -> None:
        train = self._block("train")
        for name, block in loss_options(train).items():
            at = ("train", f"{name}{LOSS_SUFFIX}")
            kind = self._typed(block, at, lambda n: lookup(LOSS_REGISTRY, n))
            if kind is None:
                continue
            second = list(inspect.signature(kind.forward).parameters)[2:3]
            if second not in (["target"], ["gt"]):
                self.report((*at, "type"), f"{kind.__name__} does not compare output and gt")
            elif self._arguments(kind, block, at) and kind.__name__ != "PerceptualLoss":
                with self._errors_of(*at):
                    kind(**{k: v for k, v in block.items() if k != "type"})
        if training and train and not loss_options(train):
            self.report(("train",), f"no loss; expected a key such as pixel{LOSS_SUFFIX}")

    def _optimizer_and_scheduler(self) -> None:
        for key, types in (("optim_g", optimizer_types()), ("scheduler", scheduler_types())):
            block = self._block("train", key)
            if not block:
                continue

            def find(name: str, types: dict[str, type] = types, key: str = key) -> type:
                if name not in types:
                    raise UserError(f"unknown type '{name}'; {hint(name, types)}")
                return types[name]

            kind = self._typed(block, ("train", key), find)
            if kind is None:
                continue
            total = {"T_max", "total_iters", "total_steps"} & set(parameters(kind)) - block.keys()
            whole = {**block, **dict.fromkeys(total, 1)}  # these default to the run's length
            if self._arguments(kind, whole, ("train", key)):
                with self._errors_of("train", key):
                    self._try(kind, whole, key)

    def _try(self, kind: type, block: dict[str, Any], key: str) -> None:
        arguments = {k: v for k, v in block.items() if k != "type"}
        weight = [torch.nn.Parameter(torch.zeros(1))]
        if key == "optim_g":
            kind(weight, **arguments)
        else:
            kind(torch.optim.SGD(weight, lr=0.1), **arguments)

    def _metrics(self) -> None:
        for label, block in self._block("val", "metrics").items():
            at = ("val", "metrics", label)
            function = self._typed(block, at, lambda n: lookup(METRIC_REGISTRY, n))
            if function is not None:
                own = set(parameters(function)) - {"img", "img2"}
                check_call(Metric, block, at, self.report, also=own)

    def _datasets(self, training: bool) -> None:
        datasets = self._block("datasets")
        for key, block in datasets.items():
            if not DATASET_KEY.fullmatch(str(key)):
                self.report(("datasets", str(key)), f"unknown set; {hint(str(key), SETS)}")
            elif not isinstance(block, dict):
                self.report(("datasets", key), f"expected a block, but got {block!r}")
            else:
                self._dataset(key, block)
        if training and "datasets" in self.opt and "train" not in datasets:
            self.report(("datasets", "train"), "missing; expected the training set")
        self._selection(datasets)

    def _dataset(self, key: str, block: dict[str, Any]) -> None:
        at = ("datasets", key)
        kind = self._typed(block, at, lambda n: lookup(DATASET_REGISTRY, n))
        if kind is None:
            return
        loading = set(parameters(Loading))
        check_call(Loading, {k: v for k, v in block.items() if k in loading}, at, self.report)
        own = {k: v for k, v in block.items() if k not in loading and k not in NO_USE_HERE}
        files = self.files_of is None or key in self.files_of
        if not issubclass(kind, EnhancementDataset):
            self._basicsr_dataset(kind, own, at, files)
            return
        check_call(kind.Options, own, at, self.report, also=loading)
        for nested, types in getattr(kind, "nested", {}).items():
            self._nested(block.get(nested), (*at, nested), types)
        if files:
            sound = {k: v for k, v in own.items() if (*at, k) not in self.faulty}
            with self._errors_of(*at):
                for fault in kind.check({**sound, "phase": phase_of(key)}):
                    self.report(at, fault)

    def _nested(self, block: Any, at: KeyPath, types: dict[str, type]) -> None:
        if block is None:
            return

        def find(name: str) -> type:
            if name not in types:
                raise UserError(f"unknown type '{name}'; {hint(name, types)}")
            return types[name]

        kind = self._typed(block, at, find)
        if kind is not None and self._arguments(kind, block, at):
            with self._errors_of(*at):
                kind(**{k: v for k, v in block.items() if k != "type"})

    def _basicsr_dataset(self, kind: type, own: dict[str, Any], at: KeyPath, files: bool) -> None:
        valid = option_keys(kind) | FROM_BASICSR
        for key, value in own.items():
            if key not in valid:
                self.report((*at, key), f"unknown key; {hint(key, valid)}")
            elif key.startswith("dataroot") and files and not locate(value).exists():
                self.report((*at, key), f"{locate(value)}: no such folder; {missing_hint(value)}")

    def _selection(self, datasets: dict[str, Any]) -> None:
        """Choosing a checkpoint on the test set must be asked for."""
        val, test = datasets.get("val"), datasets.get("test")
        if not isinstance(val, dict) or self._block("val").get("select_on_test") is True:
            return
        same = ("type", "layout", "dataroot", "split", "dataroot_lq", "dataroot_gt", "subset",
                "include")  # fmt: skip
        is_test = val.get("split") == "test" or val.get("subset") == "test"
        if isinstance(test, dict):
            is_test |= all(val.get(k) == test.get(k) for k in same)
        if is_test:
            self.report(
                ("datasets", "val"),
                "is a test set, and checkpoints are chosen on it; leave it out and set "
                "datasets.train.val_fraction, or say val.select_on_test: true",
            )

    def _network(self) -> None:
        block, at = self.opt.get("network_g"), ("network_g",)
        if block is None:
            return
        kind = self._typed(block, at, lambda n: lookup(ARCH_REGISTRY, n))
        if kind is None or not self._arguments(kind, block, at):
            return
        network = None
        with self._errors_of(*at):
            network = build_light({k: v for k, v in block.items() if k != "type"}, kind)
        if network is not None:
            self._weights(network)

    def _file(self, key: str) -> Path | None:
        """The file that a key of `path` names, where there is one."""
        path = self._block("path").get(key)
        return locate(path) if isinstance(path, str) and locate(path).is_file() else None

    def _files(self) -> None:
        for key in ("pretrain_network_g", "init_network_g", "resume_state"):
            path = self._block("path").get(key)
            if isinstance(path, str) and not self._file(key):
                self.report(("path", key), f"{locate(path)}: no such file; {missing_hint(path)}")

    def _weights(self, network: torch.nn.Module) -> None:
        block = self._block("path")
        pretrained, initial = self._file("pretrain_network_g"), self._file("init_network_g")
        if pretrained:
            at = ("path", "pretrain_network_g")
            with self._errors_of(*at):
                state, _ = checkpoint.read_weights(pretrained, block.get("param_key_g"))
                strict = block.get("strict_load_g", True)
                for fault in checkpoint.misfits(network, state, strict):
                    self.report(at, f"{pretrained}: does not fit: {fault}")
        if initial:
            self._initialisation(network, initial)

    def _initialisation(self, network: Any, path: Path) -> None:
        at = ("path", "init_network_g")
        if not hasattr(network, "initialise_from"):
            self.report(at, f"{type(network).__name__} takes no initial weights from elsewhere")
            return
        try:
            network.initialise_from(checkpoint.read_weights(path)[0])
        except KeyError as error:
            self.report(at, f"{path}: has no entry {error}")
        except UserError as error:
            self.report(at, str(error))
        except ValueError as error:
            self.report(at, f"{path}: {error}")


def build_light(arguments: dict[str, Any], kind: type) -> torch.nn.Module:
    """Build a network without memory for its weights; some of BasicSR's need it after all."""
    try:
        with torch.device("meta"):
            return kind(**arguments)
    except (RuntimeError, NotImplementedError):
        return kind(**arguments)


SETS = ("train", "val", "test")


def phase_of(key: str) -> str:
    """The phase of a dataset block: "train", "val" or "test"."""
    return key.split("_")[0]
