"""The sections of an option file whose keys are fixed: BasicSR's, with the keys of this project."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, Field, create_model, model_serializer, model_validator
from pydantic.json_schema import JsonSchemaValue

from enhancement.data.blocks import Positive
from enhancement.paths import locate
from enhancement.scoring.protocols import protocols_for

from .blocks import LOSS, METRIC, OPTIMIZER, SCHEDULER, Block
from .docs import describe
from .signature import STRICT, held_to

LOSS_SUFFIX = "_opt"
LOSSES = "{name}_opt"  # the key that losses are gathered under, as hints show it
LARGEST_WINDOW = 512


def _metrics() -> list[str]:
    """The metrics of all protocols that validation may score by."""
    chosen = protocols_for("image", "mask").values()
    return sorted({name for protocol in chosen for name in protocol.names})


def one_of(names: Callable[[], list[str]]) -> Any:
    """Puts names, which registries hold by the time that it is asked for, into a JSON Schema."""
    return Field(json_schema_extra=lambda schema: schema.update(enum=[*names()]))


Location = Annotated[str, held_to(locate)]


class Section(BaseModel):
    """A block whose keys are fixed."""

    model_config = STRICT

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> JsonSchemaValue:
        """With what the docstring says of each key."""
        schema = handler.resolve_ref_schema(reference := handler(core_schema))
        describe(schema, cls)
        return dict(reference)


def draft_of(kind: type[Section], **fields: Any) -> Any:
    """A section that requires nothing: None stands for what is missing.

    Args:
        kind: The section.
        fields: Types that take the place of its own.
    """
    for name, field in kind.model_fields.items():
        if field.is_required():
            declared: Any = (field.annotation, *field.metadata)
            fields.setdefault(name, Annotated[declared])
    optional: Any = {name: (annotation | None, None) for name, annotation in fields.items()}
    return create_model(kind.__name__, __base__=kind, **optional)


class MixingAugs(Section):
    """`train.mixing_augs`: blend the pairs of a batch (models/mixup.py).

    Attributes:
        mixup: Whether to blend; false leaves batches alone.
        mixup_beta: Both parameters of the Beta distribution that shares are drawn from.
        use_identity: Leave half of the batches alone.
    """

    mixup: bool = True
    mixup_beta: Annotated[float, Gt(0)] = 1.2
    use_identity: bool = True


class Train(Section):
    """`train:`; losses are further keys, `{name}_opt: {type: ...}`.

    Attributes:
        total_iter: Iterations of the run.
        optim_g: The optimiser: PyTorch's, by name.
        scheduler: The schedule of the learning rate: PyTorch's, BasicSR's or ours; without one it
            is constant. Arguments such as T_max default to total_iter.
        warmup_iter: Iterations in which the learning rate rises from 0; -1: none.
        ema_decay: Of the average of the weights that is tested and kept; 0: none.
        grad_clip: The largest norm of the gradient.
        mixing_augs: Blend the pairs of a batch.
        precision: Of the network's forward pass (autocast); weights and losses stay fp32.
        channels_last: Memory layout of the network; changes how it is computed, not what.
        compile: By torch.compile; changes how the network is computed, not what.
        accumulate: Parts in which a batch is computed, to take less memory.
        frozen: Parts of the network that keep the weights of a file (a checkpoint of the part, or
            of a network that has such a part): no gradients, evaluation mode.
        max_skipped: An update whose loss or gradient is not a finite number is skipped; so many in
            a row stop the run.
    """

    total_iter: Positive
    optim_g: Annotated[Block, OPTIMIZER]
    scheduler: Annotated[Block, SCHEDULER] | None = None
    warmup_iter: Annotated[int, Ge(-1)] = -1
    ema_decay: Annotated[float, Ge(0), Lt(1)] = 0.0
    grad_clip: Annotated[float, Gt(0)] | None = None
    mixing_augs: MixingAugs | None = None
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    channels_last: bool = False
    compile: bool = False
    accumulate: Positive = 1
    frozen: dict[str, Location] | None = None
    max_skipped: Positive = 10
    losses: dict[str, Annotated[Block, LOSS]] = Field(default_factory=dict, alias="{name}_opt")

    @model_validator(mode="before")
    @classmethod
    def _gather_losses(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        others = {k: v for k, v in given.items() if not k.endswith(LOSS_SUFFIX)}
        return others | {LOSSES: losses_of(given)}

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> JsonSchemaValue:
        """Losses under their own keys; null takes one away that another file names."""
        reference = super().__get_pydantic_json_schema__(core_schema, handler)
        schema = handler.resolve_ref_schema(reference)
        loss = schema["properties"].pop(LOSSES)["additionalProperties"]
        schema["patternProperties"] = {f"{LOSS_SUFFIX}$": {"anyOf": [loss, {"type": "null"}]}}
        return reference

    @model_serializer(mode="wrap")
    def _spread_losses(self, write: Any) -> dict[str, Any]:
        written = write(self)
        return written | {f"{k}{LOSS_SUFFIX}": v for k, v in written.pop("losses").items()}


class Val(Section):
    """`val:`; how a run is validated, and what its checkpoints are chosen by.

    Attributes:
        val_freq: Iterations between two validations.
        protocol: How images are scored.
        select_by: The metric, one of the protocol's, that checkpoints are chosen by.
        select_on_test: Allows a test set under datasets.val; every score says so.
        self_ensemble: Average over 8 flips and rotations.
        window_size: Images are padded to multiples of it as well as of what the network asks for.
        save_img: Keep the enhanced images.
        metrics: BasicSR's, scored in addition to the protocol's.
    """

    val_freq: Positive = 5000
    protocol: Literal[tuple(protocols_for("image"))] = "basicsr"  # type: ignore[valid-type]
    select_by: Annotated[str, one_of(_metrics)] = "psnr"
    select_on_test: bool = False
    self_ensemble: bool = False
    window_size: Annotated[int, Gt(0), Le(LARGEST_WINDOW)] = 1
    save_img: bool = False
    metrics: dict[str, Annotated[Block, METRIC]] | None = None


class Wandb(Section):
    """`logger.wandb`, beside TensorBoard, where wandb is installed.

    Attributes:
        project: Name of the project; null: off.
        resume_id: Of the run to go on with there.
    """

    project: str | None = None
    resume_id: str | None = None


class Logger(Section):
    """`logger:`; what is shown and kept while a run goes on.

    Attributes:
        print_freq: Iterations between two lines.
        save_checkpoint_freq: Iterations between two checkpoints.
        keep_last: How many of the newest numbered checkpoints are kept besides latest and best.
        weights_format: Of weights files; the state to resume from is always PyTorch's.
        use_tb_logger: Write TensorBoard's curves and pictures.
        wandb: Log to Weights & Biases too.
    """

    print_freq: Positive = 100
    save_checkpoint_freq: Positive = 5000
    keep_last: Annotated[int, Ge(0)] = 0
    weights_format: Literal["pth", "safetensors"] = "pth"
    use_tb_logger: bool = True
    wandb: Wandb | None = None


class DistParams(Section):
    """`dist_params`; how several processes talk to each other.

    Attributes:
        backend: Without a CUDA device, gloo is used in place of nccl.
        port: TCP port under slurm.
    """

    backend: Literal["nccl", "gloo"] = "nccl"
    port: Annotated[int, Gt(0), Lt(2**16)] = 29500


class PathBlock(Section):
    """`path:`; files of weights, and the folder that runs are kept in.

    Attributes:
        pretrain_network_g: Weights to start from: a file, or the name of weights of this package.
        param_key_g: Which of the entries of that file; by default the average where there is one.
        strict_load_g: Whether they must fit the network exactly.
        init_network_g: The same, of another network that this one can start from.
        resume_state: A training state to go on from. That of another run gives the weights, their
            average and the optimiser's moments; learning rates are those of this file.
        experiments: The folder that runs are kept in.
    """

    pretrain_network_g: Location | None = None
    param_key_g: str | None = None
    strict_load_g: bool = True
    init_network_g: Location | None = None
    resume_state: Location | None = None
    experiments: Location = "experiments"


def losses_of(train: dict[str, Any]) -> dict[str, Any]:
    """The losses of a `train` block by name, `pixel` for the key `pixel_opt`."""
    return {
        k.removesuffix(LOSS_SUFFIX): v for k, v in train.items() if k.endswith(LOSS_SUFFIX) and v
    }
