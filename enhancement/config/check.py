"""Everything that can be wrong with an option file, found at once and before anything is built."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from enhancement.archs.contract import contract_of
from enhancement.compat import train_keys
from enhancement.config.check_datasets import check_datasets
from enhancement.config.check_masks import check_segmentation
from enhancement.config.schema import (
    LOSS_SUFFIX,
    DistParams,
    KeyPath,
    Logger,
    Metric,
    PathBlock,
    Root,
    Train,
    Val,
    Wandb,
    check_call,
    loss_options,
    parameters,
)
from enhancement.errors import UserError, hint
from enhancement.models.enhancement_model import EnhancementModel
from enhancement.models.illumination_model import IlluminationModel
from enhancement.models.losses import IlluminationLoss
from enhancement.models.mixup import Mixup
from enhancement.paths import locate, missing_hint
from enhancement.registry import (
    ARCH_REGISTRY,
    LOSS_REGISTRY,
    METRIC_REGISTRY,
    MODEL_REGISTRY,
    OPTIMIZERS,
    SCHEDULERS,
    lookup,
)
from enhancement.weights.state_dicts import misfits, own_names, read_weights

SECTIONS = {"path": PathBlock, "train": Train, "val": Val, "logger": Logger}


def one_of(types: dict[str, type]) -> Callable[[str], type]:
    """Look a type up in a table."""

    def find(name: str) -> type:
        if name not in types:
            raise UserError(f"unknown type '{name}'; {hint(name, types)}")
        return types[name]

    return find


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
        self._foreign_model()
        self._accumulate()
        self._optimizer_and_scheduler()
        self._metrics()
        self._small_blocks()
        check_datasets(self, training)
        self._files(training)
        self._network(training)
        return self.faults

    def block(self, *at: str) -> dict[str, Any]:
        block: Any = self.opt
        for key in at:
            block = block.get(key) if isinstance(block, dict) else None
        return block if isinstance(block, dict) else {}

    @contextmanager
    def errors_of(self, *at: str) -> Iterator[None]:
        """Report what a constructor says of its arguments."""
        try:
            yield
        except (UserError, ValueError, TypeError, AssertionError, KeyError, IndexError) as error:
            self.report(at, str(error) or type(error).__name__)
        except (RuntimeError, NotImplementedError, ZeroDivisionError, OSError) as error:
            self.report(at, f"cannot be built: {str(error).splitlines()[0]}")

    def typed(self, block: Any, at: KeyPath, find: Callable[[str], Any]) -> Any:
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

    def nested(self, block: Any, at: KeyPath, types: dict[str, type]) -> None:
        """Hold a block inside another one against the class that its `type` names."""
        if block is None:
            return
        kind = self.typed(block, at, one_of(types))
        if kind is not None and self._arguments(kind, block, at):
            with self.errors_of(*at):
                kind(**{k: v for k, v in block.items() if k != "type"})

    @staticmethod
    def missing(schema: Any, given: dict[str, Any]) -> bool:
        """Whether a key that the schema cannot do without is not there."""
        return any(
            p.default is p.empty and name not in given for name, p in parameters(schema).items()
        )

    def _model_type(self) -> None:
        name = self.opt.get("model_type")
        if isinstance(name, str):
            try:
                lookup(MODEL_REGISTRY, name)
            except UserError as error:
                self.report(("model_type",), str(error))

    def _losses(self, training: bool) -> None:
        train = self.block("train")
        for name, block in loss_options(train).items():
            at = ("train", f"{name}{LOSS_SUFFIX}")
            kind = self.typed(block, at, lambda n: lookup(LOSS_REGISTRY, n))
            if kind is None:
                continue
            second = list(inspect.signature(kind.forward).parameters)[2:3]
            if issubclass(kind, IlluminationLoss) and not self.trains(IlluminationModel):
                self.report((*at, "type"), f"{kind.__name__} needs `model_type: IlluminationModel`")
            if second not in (["target"], ["gt"]):
                self.report((*at, "type"), f"{kind.__name__} does not compare output and gt")
            elif block.get("reduction") == "none":
                self.report((*at, "reduction"), "expected 'mean' or 'sum', but got 'none'")
            elif self._arguments(kind, block, at) and kind.__name__ != "PerceptualLoss":
                with self.errors_of(*at):
                    kind(**{k: v for k, v in block.items() if k != "type"})
        if training and train and not loss_options(train):
            self.report(("train",), f"no loss; expected a key such as pixel{LOSS_SUFFIX}")

    def trains(self, model: type) -> bool:
        """Whether `model_type` is this model or one made from it."""
        try:
            return issubclass(lookup(MODEL_REGISTRY, str(self.opt.get("model_type"))), model)
        except UserError:
            return False

    def _foreign_model(self) -> None:
        """BasicSR's own models ignore what they do not know; say so instead."""
        try:
            kind = lookup(MODEL_REGISTRY, str(self.opt.get("model_type")))
        except UserError:
            return
        if issubclass(kind, EnhancementModel):
            return
        read = train_keys(kind) | {"total_iter", "warmup_iter", "scheduler"}
        for key, value in self.block("train").items():
            if key not in read and value is not None:
                self.report(("train", key), f"{kind.__name__} does not read it; {hint(key, read)}")

    def _accumulate(self) -> None:
        """Batches are computed in equal parts."""
        parts, block = self.block("train").get("accumulate", 1), self.block("datasets", "train")
        sizes = [block.get("batch_size_per_gpu", 1), *(block.get("mini_batch_sizes") or ())]
        if isinstance(parts, int) and parts > 0:
            for size in sizes:
                if isinstance(size, int) and size % parts:
                    self.report(
                        ("train", "accumulate"),
                        f"expected a divisor of the batch size {size}, but got {parts}",
                    )

    def _optimizer_and_scheduler(self) -> None:
        for key, types in (("optim_g", OPTIMIZERS), ("scheduler", SCHEDULERS)):
            block = self.block("train").get(key)
            if block is None:
                continue

            kind = self.typed(block, ("train", key), one_of(types))
            if kind is None:
                continue
            total = {"T_max", "total_iters", "total_steps"} & set(parameters(kind)) - block.keys()
            whole = {**block, **dict.fromkeys(total, 1)}  # these default to the run's length
            if self._arguments(kind, whole, ("train", key)):
                with self.errors_of("train", key):
                    self._try(kind, whole, key)

    def _try(self, kind: type, block: dict[str, Any], key: str) -> None:
        arguments = {k: v for k, v in block.items() if k != "type"}
        weight = [torch.nn.Parameter(torch.zeros(1))]
        if key == "optim_g":
            kind(weight, **arguments)
        else:
            kind(torch.optim.SGD(weight, lr=0.1), **arguments)

    def _metrics(self) -> None:
        for label, block in self.block("val", "metrics").items():
            at = ("val", "metrics", label)
            function = self.typed(block, at, lambda n: lookup(METRIC_REGISTRY, n))
            if function is None:
                continue
            if list(inspect.signature(function).parameters)[:2] != ["img", "img2"] or block[
                "type"
            ].endswith("_pt"):
                self.report((*at, "type"), f"{block['type']} does not compare two 8-bit images")
            else:
                own = set(parameters(function)) - {"img", "img2"}
                check_call(Metric, block, at, self.report, also=own)
                given = {k: v for k, v in block.items() if k in own}
                check_call(
                    partial(function, None, None), {"crop_border": 0, **given}, at, self.report
                )

    def _small_blocks(self) -> None:
        """Blocks whose keys are a class's arguments, without a `type`."""
        for at, schema in (
            (("train", "mixing_augs"), Mixup),
            (("logger", "wandb"), Wandb),
            (("dist_params",), DistParams),
        ):
            before, block = len(self.faults), self.block(*at)
            check_call(schema, block, at, self.report)
            if schema is Mixup and block and len(self.faults) == before:
                with self.errors_of(*at):
                    Mixup(**block)
        if self.block("logger", "wandb").get("project") and find_spec("wandb") is None:
            self.report(("logger", "wandb"), "is not installed: pip install wandb, or remove it")

    def _network(self, training: bool) -> None:
        block, at = self.opt.get("network_g"), ("network_g",)
        if block is None:
            return
        kind = self.typed(block, at, lambda n: lookup(ARCH_REGISTRY, n))
        if kind is None or not self._arguments(kind, block, at):
            return
        network = None
        with self.errors_of(*at):
            network = build_light({k: v for k, v in block.items() if k != "type"}, kind)
        if network is None:
            return
        if self.trains(IlluminationModel) and not contract_of(network).gives_illumination:
            self.report(
                at, f"{kind.__name__} as it is here gives no illumination map, which "
                f"IlluminationModel trains; HDRNet with `mode: illumination` does",
            )  # fmt: skip
        check_segmentation(self, network, training)
        self._weights(network, training)

    @staticmethod
    def loss_type(block: dict[str, Any]) -> Any:
        """The class of a loss."""
        return lookup(LOSS_REGISTRY, str(block.get("type")))

    def _file(self, key: str) -> Path | None:
        """The file that a key of `path` names, where there is one."""
        path = self.block("path").get(key)
        return locate(path) if isinstance(path, str) and locate(path).is_file() else None

    def _files(self, training: bool) -> None:
        for key in ("pretrain_network_g", "init_network_g", "resume_state")[: 3 if training else 1]:
            path = self.block("path").get(key)
            if isinstance(path, str) and not self._file(key):
                self.report(("path", key), f"{locate(path)}: no such file; {missing_hint(path)}")

    def _weights(self, network: torch.nn.Module, training: bool) -> None:
        block = self.block("path")
        pretrained, initial = self._file("pretrain_network_g"), self._file("init_network_g")
        if pretrained:
            at = ("path", "pretrain_network_g")
            with self.errors_of(*at):
                state, _ = read_weights(pretrained, block.get("param_key_g"))
                state = own_names(network, state)
                strict = block.get("strict_load_g", True)
                for fault in misfits(network, state, strict):
                    self.report(at, f"{pretrained}: does not fit: {fault}")
        if initial and training:
            self._initialisation(network, initial)

    def _initialisation(self, network: Any, path: Path) -> None:
        at = ("path", "init_network_g")
        try:
            contract_of(network).initialise_from(read_weights(path)[0])
        except NotImplementedError as error:
            self.report(at, str(error))
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
