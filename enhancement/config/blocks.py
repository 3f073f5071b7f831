"""Blocks that name a registered class by `type`, checked against its signature."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

from annotated_types import Ge
from pydantic_core import core_schema

from enhancement.compat import Registry
from enhancement.errors import UserError
from enhancement.registry import (
    ARCH_REGISTRY,
    LOSS_REGISTRY,
    METRIC_REGISTRY,
    OPTIMIZERS,
    SCHEDULERS,
    lookup,
    run_length_arguments,
)

from .building import build_light, constructor_fault
from .needs import NAMED, compared_by, taken_by
from .signature import Fault, argument_faults, parameters, refused, shown


@dataclass(frozen=True, kw_only=True)
class MetricKeys:
    """Keys of every entry of `val.metrics`, besides the metric's own arguments."""

    better: Literal["higher", "lower"] = "higher"
    crop_border: Annotated[int, Ge(0)] = 0


@dataclass(frozen=True)
class Block:
    """A block that names a registered class by its `type`.

    Attributes:
        kind: The class.
        options: The block as it was given, `type` included.
    """

    kind: Any
    options: dict[str, Any]

    @property
    def type(self) -> str:
        """The name that the class was found by."""
        return str(self.options["type"])

    @property
    def arguments(self) -> dict[str, Any]:
        """A copy of every key but `type`."""
        return {k: deepcopy(v) for k, v in self.options.items() if k != "type"}

    def build(self, *more: Any, **defaults: Any) -> Any:
        """An instance; `more` and `defaults` are arguments that the option file does not give."""
        return self.kind(*more, **{**defaults, **self.arguments})


def find_class(registry: Registry | Mapping[str, Any], given: Any) -> tuple[Any, list[Fault]]:
    """The class that a block's `type` names, or None and why."""
    if not isinstance(given, dict):
        return None, [((), f"expected a block, but got {shown(given)}")]
    if not isinstance(given.get("type"), str):
        return None, [(("type",), "missing; expected the name of a class")]
    try:
        return lookup(registry, given["type"]), []
    except UserError as error:
        return None, [(("type",), str(error))]


@dataclass(frozen=True, eq=False)
class Registered:
    """What makes a block of a class in a registry valid.

    Attributes:
        registry: Where `type` is looked up.
        check: Takes the class and the other keys; what is wrong with them.
    """

    registry: Registry | Mapping[str, Any]
    check: Callable[[Any, dict[str, Any]], list[Fault]] = argument_faults

    def faults(self, given: Any) -> list[Fault]:
        """Everything that is wrong with a block."""
        kind, faults = find_class(self.registry, given)
        if kind is None:
            return faults
        return self.check(kind, Block(kind, given).arguments)

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        """How pydantic reads and writes a field that is annotated with this."""
        written = core_schema.plain_serializer_function_ser_schema(lambda block: block.options)
        return core_schema.no_info_plain_validator_function(self._read, serialization=written)

    def _read(self, given: Any) -> Block:
        if faults := self.faults(given):
            raise refused(faults)
        return Block(lookup(self.registry, given["type"]), given)


def buildable(kind: Any, given: dict[str, Any]) -> list[Fault]:
    """What is wrong with a block's keys and types or, where they are right, with its values."""
    if faults := argument_faults(kind, given):
        return faults
    fault = constructor_fault(lambda: build_light(partial(kind, **deepcopy(given))))
    return [((), fault)] if fault else []


def _loss_faults(kind: Any, given: dict[str, Any]) -> list[Fault]:
    """A loss names what it takes, or compares an output with a target; it gives one number."""
    if compared_by(kind) != NAMED and taken_by(kind)[1:2] not in (("target",), ("gt",)):
        return [(("type",), f"{kind.__name__} does not compare output and gt")]
    if given.get("reduction") == "none":
        return [(("reduction",), "expected 'mean' or 'sum', but got 'none'")]
    if kind.__name__ == "PerceptualLoss":  # its weights are fetched when training starts
        return argument_faults(kind, given)
    return buildable(kind, given)


def _schedule_faults(kind: Any, given: dict[str, Any]) -> list[Fault]:
    """What defaults to the run's length is filled in when that is known."""
    return argument_faults(kind, {**dict.fromkeys(run_length_arguments(kind), 1), **given})


def _metric_faults(function: Any, given: dict[str, Any]) -> list[Fault]:
    """A metric compares two 8-bit images, which no option file gives."""
    if list(parameters(function))[:2] != ["img", "img2"] or function.__name__.endswith("_pt"):
        return [(("type",), f"{function.__name__} does not compare two 8-bit images")]
    return argument_faults(partial(function, None, None), given, MetricKeys)


NETWORK = Registered(ARCH_REGISTRY)
LOSS = Registered(LOSS_REGISTRY, _loss_faults)
OPTIMIZER = Registered(OPTIMIZERS)
SCHEDULER = Registered(SCHEDULERS, _schedule_faults)
METRIC = Registered(METRIC_REGISTRY, _metric_faults)
