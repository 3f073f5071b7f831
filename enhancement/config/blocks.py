"""Blocks that name a registered class by `type`, checked against its signature."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, MinLen
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema

from enhancement.compat import CRITERIA, VGG_LAYERS, Registry
from enhancement.data.blocks import Positive
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
from .docs import describe, summary
from .needs import NAMED, compared_by, taken_by
from .signature import (
    Fault,
    arguments_model,
    faults_in,
    parameters,
    refused,
    shown,
)

Weight = Annotated[float, Ge(0)]


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


class Registered:
    """What makes a block of a class in a registry valid.

    Args:
        registry: Where `type` is looked up.
    """

    def __init__(self, registry: Registry | Mapping[str, Any]) -> None:
        self.registry = registry

    def unfit(self, kind: Any) -> str | None:
        """Why a class of the registry cannot stand here; None where it can."""
        return None

    def takers(self, kind: Any) -> tuple[Any, ...]:
        """The classes and functions that take a class's keys."""
        return (kind,)

    def types(self, kind: Any) -> dict[str, Any]:
        """Types that take the place of those that are declared for a class's keys."""
        return {}

    def model(self, kind: Any) -> type[BaseModel]:
        """The model of a class's keys."""
        return arguments_model(*self.takers(kind), types=tuple(self.types(kind).items()))

    def value_faults(self, kind: Any, given: dict[str, Any]) -> list[Fault]:
        """What is wrong with values of the right types."""
        return []

    def check(self, kind: Any, given: dict[str, Any]) -> list[Fault]:
        """What is wrong with a class's keys, their types or else their values."""
        return faults_in(self.model(kind), given) or self.value_faults(kind, given)

    def faults(self, given: Any) -> list[Fault]:
        """Everything that is wrong with a block."""
        kind, faults = find_class(self.registry, given)
        if kind is None:
            return faults
        if why := self.unfit(kind):
            return [(("type",), why)]
        return self.check(kind, Block(kind, given).arguments)

    def __get_pydantic_json_schema__(self, source: Any, handler: Any) -> JsonSchemaValue:
        """Its JSON Schema: the classes by name, and the keys of each.

        Without a `type`, which another file may give, a block's keys are not checked.
        """
        found = {name: lookup(self.registry, name) for name in registered(self.registry)}
        kinds = {name: kind for name, kind in found.items() if not self.unfit(kind)}
        branches = []
        for name, kind in kinds.items():
            model = self.model(kind)
            # so that pydantic puts the keys of a class among the definitions, once
            once = core_schema.definition_reference_schema(f"{model.__name__}:{id(model)}")
            named: Any = {**model.__pydantic_core_schema__, "ref": once["schema_ref"]}
            reference = handler(core_schema.definitions_schema(once, [named]))
            keys = handler.resolve_ref_schema(reference)
            describe(keys, kind, *self.takers(kind))
            keys.setdefault("properties", {})["type"] = True
            given = {"properties": {"type": {"const": name}}, "required": ["type"]}
            branches.append({"if": given, "then": reference})
        summaries = [summary(kind) for kind in kinds.values()]
        return {
            "type": "object",
            "properties": {"type": {"enum": list(kinds), "enumDescriptions": summaries}},
            "allOf": branches,
        }

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        """How pydantic reads and writes a field that is annotated with this."""
        written = core_schema.plain_serializer_function_ser_schema(lambda block: block.options)
        return core_schema.no_info_plain_validator_function(self._read, serialization=written)

    def _read(self, given: Any) -> Block:
        if faults := self.faults(given):
            raise refused(faults)
        return Block(lookup(self.registry, given["type"]), given)


class Buildable(Registered):
    """Blocks whose values are right where an instance can be made of them."""

    def value_faults(self, kind: Any, given: dict[str, Any]) -> list[Fault]:
        """What a constructor says of its arguments."""
        fault = constructor_fault(lambda: build_on_meta(partial(kind, **given)))
        return [((), fault)] if fault else []


class Losses(Buildable):
    """Losses: each gives one number, with weights that are not negative."""

    def unfit(self, kind: Any) -> str | None:
        """A loss names what it takes, or compares an output with a target."""
        if compared_by(kind) != NAMED and taken_by(kind)[1:2] not in (("target",), ("gt",)):
            return (
                f"{kind.__name__} does not compare output and gt; expected forward(pred, target), "
                f"or a NamedLoss"
            )
        return None

    def types(self, kind: Any) -> dict[str, Any]:
        """BasicSR declares none, and tells some mistakes only once it trains."""
        weights = [name for name in parameters(kind) if name.endswith("weight")]
        return {
            **dict.fromkeys(weights, Weight),
            "eps": Annotated[float, Gt(0)],
            "reduction": Literal["mean", "sum"],
            "criterion": Literal[CRITERIA],
            "vgg_type": Literal[tuple(VGG_LAYERS)],
            "layer_weights": Annotated[dict[str, Weight], MinLen(1)],
        }

    def value_faults(self, kind: Any, given: dict[str, Any]) -> list[Fault]:
        """What is wrong with values of the right types."""
        if kind.__name__ == "PerceptualLoss":  # its weights are fetched when training starts
            return list(_perceptual_faults(**given))
        return super().value_faults(kind, given)


def _perceptual_faults(
    layer_weights: dict[str, float],
    vgg_type: str = "vgg19",
    perceptual_weight: float = 1.0,
    style_weight: float = 0.0,
    **others: Any,
) -> Iterator[Fault]:
    """What BasicSR's PerceptualLoss would stumble over once it trains."""
    known = VGG_LAYERS[vgg_type]
    for layer in layer_weights:
        if layer not in known:
            yield ("layer_weights", layer), f"{vgg_type} has no such layer; {hint(layer, known)}"
    if not any(layer_weights.values()):
        yield ("layer_weights",), "every weight is 0; there is nothing to train"
    if perceptual_weight == style_weight == 0:
        text = "or style_weight must be above 0, or there is nothing to train"
        yield ("perceptual_weight",), text


class Optimizers(Registered):
    """Optimisers, which PyTorch and BasicSR write."""

    def types(self, kind: Any) -> dict[str, Any]:
        """Several numbers of one name, such as `betas`, are as many as by default."""
        several = {
            name: p.default
            for name, p in parameters(kind).items()
            if isinstance(p.default, tuple) and all(isinstance(x, int | float) for x in p.default)
        }
        return {name: tuple[(float,) * len(default)] for name, default in several.items()}  # type: ignore[misc]


class Schedulers(Registered):
    """Schedules of the learning rate."""

    def types(self, kind: Any) -> dict[str, Any]:
        """Lengths are above 0, which PyTorch leaves open."""
        return {
            **dict.fromkeys(("T_max", "total_iters", "step_size", "step_size_up"), Positive),
            **dict.fromkeys(("total_steps", "step_size_down"), Positive | None),
            **dict.fromkeys(("periods", "milestones"), list[Positive]),
        }

    def check(self, kind: Any, given: dict[str, Any]) -> list[Fault]:
        """What defaults to the run's length is filled in when that is known."""
        return super().check(kind, {**dict.fromkeys(run_length_arguments(kind), 1), **given})


class Metrics(Registered):
    """Metrics of two 8-bit images."""

    def unfit(self, kind: Any) -> str | None:
        """A metric of other things, such as BasicSR's of one image, or of tensors."""
        images = list(inspect.signature(kind).parameters)[:2]
        if images != ["img", "img2"] or kind.__name__.endswith("_pt"):
            return f"{kind.__name__} does not compare two 8-bit images"
        return None

    def takers(self, kind: Any) -> tuple[Any, ...]:
        """The function, and what reads its score."""
        return kind, MetricKeys

    def types(self, kind: Any) -> dict[str, Any]:
        """Images are given channels last."""
        return {"input_order": Literal["HWC"]}


NETWORK = Registered(ARCH_REGISTRY)
LOSS = Losses(LOSS_REGISTRY)
OPTIMIZER = Optimizers(OPTIMIZERS)
SCHEDULER = Schedulers(SCHEDULERS)
METRIC = Metrics(METRIC_REGISTRY)
