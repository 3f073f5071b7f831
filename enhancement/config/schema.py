"""What an option file may say: the keys, types and ranges of every block.

Blocks of BasicSR's schema are the dataclasses below; networks, losses, optimisers, schedulers and
datasets are described by their own signatures. `check_call` holds a block against either.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, field, is_dataclass
from typing import Annotated, Any, Literal, Union, get_origin, get_type_hints

from annotated_types import Ge, Gt, Lt
from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError

from enhancement.errors import hint
from enhancement.scoring.metrics import METRICS
from enhancement.scoring.protocols import protocols_for

KeyPath = tuple[str, ...]
Report = Callable[[KeyPath, str], None]
Positive = Annotated[int, Gt(0)]
Block = dict[str, Any]

NOT_OPTIONS = ("self", "params", "optimizer", "last_epoch", "args", "kwargs")


@dataclass
class Root:
    """The top level of an option file."""

    name: str
    model_type: str
    network_g: Block
    datasets: Block
    scale: Literal[1] = 1
    num_gpu: Union[Literal["auto"], Annotated[int, Ge(0)]] = "auto"  # noqa: UP007
    manual_seed: Annotated[int, Ge(0), Lt(2**32)] = 0
    find_unused_parameters: bool = False
    dist_params: Block | None = None
    path: Block = field(default_factory=dict)
    train: Block = field(default_factory=dict)
    val: Block = field(default_factory=dict)
    logger: Block = field(default_factory=dict)


@dataclass
class Train:
    """`train:`; losses stand beside these keys as `{name}_opt: {type: ...}`.

    `precision` is that of the network's forward pass (autocast); weights and losses stay fp32. A
    batch is computed in `accumulate` parts, for less memory. `channels_last` and `compile` change
    how the network is computed, not what.

    `frozen` names parts of the network that keep the weights of a file (a checkpoint of the part,
    or of a network that has such a part): no gradients, evaluation mode.

    An update whose loss or gradient is not a finite number is skipped; `max_skipped` in a row stop
    the run.
    """

    total_iter: Positive
    optim_g: Block
    scheduler: Block | None = None
    warmup_iter: int = -1
    ema_decay: Annotated[float, Ge(0), Lt(1)] = 0.0
    grad_clip: Annotated[float, Gt(0)] | None = None
    mixing_augs: Block | None = None
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    channels_last: bool = False
    compile: bool = False
    accumulate: Positive = 1
    frozen: dict[str, str] | None = None
    max_skipped: Positive = 10


@dataclass
class Val:
    """`val:`; `select_on_test` allows a test set under `datasets.val`, and is stamped on scores.

    Images are padded to multiples of `window_size` as well as of what the network asks for.
    """

    val_freq: Positive = 5000
    protocol: Literal[tuple(protocols_for("image"))] = "basicsr"  # type: ignore[valid-type]
    select_by: Literal[tuple(METRICS)] = "psnr"  # type: ignore[valid-type]
    select_on_test: bool = False
    self_ensemble: bool = False
    window_size: Positive = 1
    save_img: bool = False
    metrics: Block | None = None


@dataclass
class Logger:
    """`logger:`; beside latest and best, the last `keep_last` checkpoints are kept by number.

    `weights_format` is that of weights files; the state to resume from is always PyTorch's.
    """

    print_freq: Positive = 100
    save_checkpoint_freq: Positive = 5000
    keep_last: Annotated[int, Ge(0)] = 0
    weights_format: Literal["pth", "safetensors"] = "pth"
    use_tb_logger: bool = True
    wandb: Block | None = None


@dataclass
class DistParams:
    """`dist_params`; nccl gives way to gloo where there is no CUDA device."""

    backend: Literal["nccl", "gloo"] = "nccl"
    port: Annotated[int, Gt(0), Lt(2**16)] = 29500


@dataclass
class Wandb:
    """`logger.wandb`; off where `project` is null."""

    project: str | None = None
    resume_id: str | None = None


@dataclass
class PathBlock:
    """`path:`; files of weights, and the folder that runs are kept in."""

    pretrain_network_g: str | None = None
    param_key_g: str | None = None
    strict_load_g: bool = True
    init_network_g: str | None = None
    resume_state: str | None = None
    experiments: str = "experiments"


@dataclass
class Loading:
    """Keys of every dataset block that the loader reads, not the dataset.

    `gt_sizes`, `mini_batch_sizes` and `iters` make patches progressive: for `iters[i]` iterations,
    batches of `mini_batch_sizes[i]` cuts of `gt_sizes[i]`; the last entries stay in force.
    """

    type: str
    name: str = ""
    batch_size_per_gpu: Positive = 1
    num_worker_per_gpu: Annotated[int, Ge(0)] = 0
    pin_memory: bool | None = None
    use_shuffle: bool = True
    gt_sizes: list[Positive] | None = None
    mini_batch_sizes: list[Positive] | None = None
    iters: list[Positive] | None = None


@dataclass
class Metric:
    """An entry of `val.metrics`, scored by BasicSR's registry beside the protocol.

    `better` is for BasicSR's own models; ours choose checkpoints by `val.select_by`.
    """

    type: str
    better: Literal["higher", "lower"] = "higher"
    crop_border: Annotated[int, Ge(0)] = 0


def parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The arguments of a function or class that an option file may give, with resolved types."""
    # a dataclass's fields may come from several modules, each with names of its own
    plain = inspect.isclass(function) and not is_dataclass(function)
    target = function.__init__ if plain else function
    try:
        hints = get_type_hints(target, include_extras=True)
    except (NameError, TypeError):
        hints = {}
    found = inspect.signature(function).parameters
    return {
        name: p.replace(annotation=hints.get(name, p.annotation))
        for name, p in found.items()
        if name not in NOT_OPTIONS and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    }


def check_call(
    function: Callable[..., Any],
    given: dict[str, Any],
    at: KeyPath,
    report: Report,
    also: set[str] | None = None,
) -> None:
    """Hold a block against a signature: unknown keys, missing keys, wrong types.

    Args:
        function: A class or function, typed or with defaults that tell the types.
        given: The block.
        at: Its key path.
        report: Takes the key path and the text of each fault.
        also: Further keys to leave alone.
    """
    valid = parameters(function)
    for key, value in given.items():
        if key in valid:
            fault = wrong_type(value, valid[key])
            if fault:
                report((*at, key), fault)
        elif key not in (also or ()):
            report((*at, key), f"unknown key; {hint(key, {*valid, *(also or ())} - {'type'})}")
    for key, parameter in valid.items():
        if parameter.default is parameter.empty and key not in given:
            report((*at, key), f"missing; expected {describe(parameter.annotation)}")


def describe(annotation: Any) -> str:
    """A type in words."""
    if annotation is inspect.Parameter.empty:
        return "a value"
    if get_origin(annotation) is Annotated:
        return describe(annotation.__args__[0])
    return {Block: "a block", str: "a text", int: "a whole number", float: "a number"}.get(
        annotation, str(annotation).replace("typing.", "")
    )


def wrong_type(value: Any, parameter: inspect.Parameter) -> str | None:
    """What is wrong with a value for a parameter, or None.

    JSON's strictness is used: 1 is a number where 1.0 is meant, a list fits a tuple, "1" fits
    neither.
    """
    annotation = parameter.annotation
    if annotation is parameter.empty:
        annotation = _type_of_default(parameter.default)
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    except (PydanticSchemaGenerationError, PydanticUserError):  # a type of PyTorch's, say
        annotation = _type_of_default(parameter.default)
        adapter = TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))
    try:
        adapter.validate_json(json.dumps(value, default=str), strict=True)
    except ValidationError as error:
        expected = sorted({_expected(e) for e in error.errors()})
        return f"expected {' or '.join(expected)}, but got {value!r}"
    return None


def _expected(error: Any) -> str:
    text = str(error["msg"]).removeprefix("Input should be ")
    where = "".join(f"[{part}]" for part in error["loc"] if isinstance(part, int))
    return f"{text} at {where}" if where else text


def _type_of_default(default: Any) -> Any:
    if isinstance(default, bool):
        return bool
    if isinstance(default, (int, float)):
        return float  # without a declared type, 1 and 0.5 are both numbers
    if isinstance(default, str):
        return str
    if isinstance(default, (list, tuple)):
        return Union[list[Any], float]  # noqa: UP007
    return Any


LOSS_SUFFIX = "_opt"


def loss_options(train: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The losses of a `train` block, `{name}_opt: {type: ...}`, by name."""
    return {
        key.removesuffix(LOSS_SUFFIX): value
        for key, value in train.items()
        if key.endswith(LOSS_SUFFIX) and value
    }
