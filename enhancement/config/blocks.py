"""Blocks that name a registered class by `type`: looked up, held against its signature, tried."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge
from pydantic_core import PydanticCustomError, core_schema

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

from .signature import Fault, argument_faults, parameters


@dataclass(frozen=True, kw_only=True)
class MetricKeys:
    """Keys of every entry of `val.metrics`, beside the metric's own arguments."""

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

    def build(self, *more: Any) -> Any:
        """An instance; `more` are arguments that no option file gives."""
        return self.kind(*more, **self.arguments)


def constructor_fault(build: Callable[[], Any]) -> str | None:
    """What a constructor says of its arguments; None where it is content."""
    try:
        build()
    except (UserError, ValueError, TypeError, AssertionError, KeyError, IndexError) as error:
        return str(error) or type(error).__name__
    except (RuntimeError, NotImplementedError, ZeroDivisionError, OSError) as error:
        return f"cannot be built: {str(error).splitlines()[0]}"
    return None


def find_class(registry: Registry | Mapping[str, Any], given: Any) -> tuple[Any, list[Fault]]:
    """The class that a block's `type` names, or None and why."""
    if not isinstance(given, dict) or not isinstance(given.get("type"), str):
        return None, [(("type",), "missing; expected the name of a class")]
    try:
        return lookup(registry, given["type"]), []
    except UserError as error:
        return None, [(("type",), str(error))]


@dataclass(frozen=True, eq=False)
class Registered:
    """Annotates a field of a section: a block of a class in a registry.

    Attributes:
        registry: Where `type` is looked up.
        check: Takes a block whose keys and types are right; what else is wrong with it.
        faults: What is wrong with the keys and types of a block for its class.
    """

    registry: Registry | Mapping[str, Any]
    check: Callable[[Block], list[Fault]] = lambda block: []
    faults: Callable[[Any, dict[str, Any]], list[Fault]] = argument_faults

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        """How pydantic reads and writes such a field."""
        written = core_schema.plain_serializer_function_ser_schema(lambda block: block.options)
        return core_schema.no_info_plain_validator_function(self.read, serialization=written)

    def read(self, given: Any) -> Block:
        """The block.

        Raises:
            PydanticCustomError: With its faults.
        """
        kind, faults = find_class(self.registry, given)
        if kind is not None:
            arguments = {k: v for k, v in given.items() if k != "type"}
            faults = self.faults(kind, arguments) or self.check(Block(kind, given))
        if faults:
            raise PydanticCustomError("faults", "faults", {"faults": faults})
        return Block(kind, given)


def _tried(block: Block, *more: Any) -> list[Fault]:
    fault = constructor_fault(partial(block.build, *more))
    return [((), fault)] if fault else []


def _check_loss(block: Block) -> list[Fault]:
    """It compares an output with a target, gives one number, and can be built."""
    if list(inspect.signature(block.kind.forward).parameters)[2:3] not in (["target"], ["gt"]):
        return [(("type",), f"{block.type} does not compare output and gt")]
    if block.options.get("reduction") == "none":
        return [(("reduction",), "expected 'mean' or 'sum', but got 'none'")]
    # the weights that PerceptualLoss wants are looked for when training starts
    return [] if block.type == "PerceptualLoss" else _tried(block)


def _some_weight() -> list[torch.nn.Parameter]:
    return [torch.nn.Parameter(torch.zeros(1))]


def _schedule_faults(kind: Any, given: dict[str, Any]) -> list[Fault]:
    """A run's length is filled in where it is not given."""
    return argument_faults(kind, {**dict.fromkeys(run_length_arguments(kind), 1), **given})


def _check_schedule(block: Block) -> list[Fault]:
    lengths = dict.fromkeys(run_length_arguments(block.kind), 1)
    whole = Block(block.kind, {**lengths, **block.options})
    return _tried(whole, torch.optim.SGD(_some_weight(), lr=0.1))


def _metric_faults(function: Any, given: dict[str, Any]) -> list[Fault]:
    """A metric of two 8-bit images, `crop_border` 0 if not given; `better` is not its argument."""
    if list(parameters(function))[:2] != ["img", "img2"] or function.__name__.endswith("_pt"):
        return [(("type",), f"{function.__name__} does not compare two 8-bit images")]
    own = {k: v for k, v in given.items() if k in MetricKeys.__annotations__}
    arguments = {"crop_border": 0, **{k: v for k, v in given.items() if k != "better"}}
    return [
        *argument_faults(MetricKeys, own),
        *argument_faults(partial(function, None, None), arguments),
    ]


NETWORK = Registered(ARCH_REGISTRY)
LOSS = Registered(LOSS_REGISTRY, check=_check_loss)
OPTIMIZER = Registered(OPTIMIZERS, check=lambda block: _tried(block, _some_weight()))
SCHEDULER = Registered(SCHEDULERS, check=_check_schedule, faults=_schedule_faults)
METRIC = Registered(METRIC_REGISTRY, faults=_metric_faults)
