"""Blocks that name a registered class by `type`, checked against its signature."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, partial
from typing import Annotated, Any, Literal

from annotated_types import Ge
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema

from enhancement.compat import CRITERIA, VGG_LAYERS, Registry
from enhancement.errors import UserError, hint
from enhancement.registry import (
    ARCH_REGISTRY,
    LOSS_REGISTRY,
    METRIC_REGISTRY,
    OPTIMIZERS,
    SCHEDULERS,
    lookup,
    registered,
    run_length_arguments,
)

from .building import build_on_meta, constructor_fault
from .json_schema import block_schema
from .needs import NAMED, compared_by, taken_by
from .signature import (
    Fault,
    argument_faults,
    arguments_model,
    faults_in,
    parameters,
    refused,
    shown,
)


@dataclass(frozen=True, kw_only=True)
class MetricKeys:
    """Keys of every entry of `val.metrics`, besides the metric's own arguments.

    Attributes:
        better: Whether a higher or a lower score is better; for BasicSR's own models.
        crop_border: Pixels to leave out at each edge.
    """

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
        model: Gives the model of a class's keys, by which `check` begins.
        unfit: Why a class of the registry cannot stand here; None where it can.
        documented: Gives the classes whose docstrings describe a class's keys.
    """

    registry: Registry | Mapping[str, Any]
    check: Callable[[Any, dict[str, Any]], list[Fault]] = argument_faults
    model: Callable[[Any], type[BaseModel]] = arguments_model
    unfit: Callable[[Any], str | None] = lambda kind: None
    documented: Callable[[Any], Iterable[Any]] = lambda kind: (kind,)

    def faults(self, given: Any) -> list[Fault]:
        """Everything that is wrong with a block."""
        kind, faults = find_class(self.registry, given)
        if kind is None:
            return faults
        if why := self.unfit(kind):
            return [(("type",), why)]
        return self.check(kind, Block(kind, given).arguments)

    @property
    def kinds(self) -> dict[str, Any]:
        """The classes that may stand here, by name."""
        found = {name: lookup(self.registry, name) for name in registered(self.registry)}
        return {name: kind for name, kind in found.items() if not self.unfit(kind)}

    def __get_pydantic_json_schema__(self, source: Any, handler: Any) -> JsonSchemaValue:
        """Its JSON Schema: the classes, and the keys of each."""
        return block_schema(self.kinds, self.model, handler, self.documented)

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
    fault = constructor_fault(lambda: build_on_meta(partial(kind, **deepcopy(given))))
    return [((), fault)] if fault else []


def _no_loss(kind: Any) -> str | None:
    """A loss names what it takes, or compares an output with a target."""
    if compared_by(kind) != NAMED and taken_by(kind)[1:2] not in (("target",), ("gt",)):
        return (
            f"{kind.__name__} does not compare output and gt; expected forward(pred, target), "
            f"or a NamedLoss"
        )
    return None


def _loss_faults(kind: Any, given: dict[str, Any]) -> list[Fault]:
    """A loss gives one number, with a weight that is not negative."""
    if given.get("reduction") == "none":
        return [(("reduction",), "expected 'mean' or 'sum', but got 'none'")]
    if kind.__name__ == "PerceptualLoss":  # its weights are fetched when training starts
        return argument_faults(kind, given) or list(_perceptual_faults(**given))
    return buildable(kind, given) or [
        ((key,), f"expected greater than or equal to 0, but got {shown(value)}")
        for key, value in given.items()
        if key.endswith("weight") and isinstance(value, int | float) and value < 0
    ]


def _perceptual_faults(
    layer_weights: Any,
    vgg_type: str = "vgg19",
    perceptual_weight: float = 1.0,
    style_weight: float = 0.0,
    criterion: str = "l1",
    **others: Any,
) -> Iterator[Fault]:
    """What BasicSR's PerceptualLoss would stumble over once it trains."""
    if criterion not in CRITERIA:
        yield ("criterion",), f"expected {', '.join(CRITERIA)}, but got {shown(criterion)}"
    if vgg_type not in VGG_LAYERS:
        yield ("vgg_type",), f"unknown network '{vgg_type}'; {hint(vgg_type, VGG_LAYERS)}"
        return
    if not isinstance(layer_weights, dict) or not layer_weights:
        text = f"expected a weight for each layer, but got {shown(layer_weights)}"
        yield ("layer_weights",), text
        return
    for layer, weight in layer_weights.items():
        if layer not in VGG_LAYERS[vgg_type]:
            text = f"{vgg_type} has no such layer; {hint(layer, VGG_LAYERS[vgg_type])}"
            yield ("layer_weights", layer), text
        elif isinstance(weight, bool) or not isinstance(weight, int | float):
            yield ("layer_weights", layer), f"expected a number, but got {shown(weight)}"
        elif weight < 0:
            text = f"expected greater than or equal to 0, but got {shown(weight)}"
            yield ("layer_weights", layer), text
    if max(perceptual_weight, style_weight) <= 0:
        text = "or style_weight must be above 0, or there is nothing to train"
        yield ("perceptual_weight",), text


def _schedule_faults(kind: Any, given: dict[str, Any]) -> list[Fault]:
    """What defaults to the run's length is filled in when that is known."""
    return argument_faults(kind, {**dict.fromkeys(run_length_arguments(kind), 1), **given})


def _no_metric(function: Any) -> str | None:
    """A metric compares two 8-bit images."""
    if list(parameters(function))[:2] != ["img", "img2"] or function.__name__.endswith("_pt"):
        return f"{function.__name__} does not compare two 8-bit images"
    return None


@cache
def _metric_model(function: Any) -> type[BaseModel]:
    """No option file gives the images."""
    return arguments_model(partial(function, None, None), MetricKeys)


def _metric_faults(function: Any, given: dict[str, Any]) -> list[Fault]:
    found = faults_in(_metric_model(function), given)
    if not found and given.get("input_order", "HWC") != "HWC":
        found = [(("input_order",), f"expected 'HWC', but got {shown(given['input_order'])}")]
    return found


NETWORK = Registered(ARCH_REGISTRY)
LOSS = Registered(LOSS_REGISTRY, _loss_faults, unfit=_no_loss)
OPTIMIZER = Registered(OPTIMIZERS)
SCHEDULER = Registered(SCHEDULERS, _schedule_faults)
METRIC = Registered(
    METRIC_REGISTRY,
    _metric_faults,
    _metric_model,
    _no_metric,
    documented=lambda function: (function, MetricKeys),
)
