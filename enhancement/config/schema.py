"""What an option file may say, and the objects that it becomes: a `Config` and its sections.

Networks, losses, optimisers, schedulers and datasets are described by their own signatures; the
rest are the sections below, BasicSR's schema with the keys of this project.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Union

from annotated_types import Ge, Gt, Le, Lt
from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    create_model,
    model_serializer,
    model_validator,
)

from enhancement.compat import TRAINED_ON_PAIRS
from enhancement.errors import UserError
from enhancement.paths import locate
from enhancement.registry import MODEL_REGISTRY, is_ours, lookup, registered
from enhancement.scoring.protocols import protocols_for

from .blocks import LOSS, METRIC, NETWORK, OPTIMIZER, SCHEDULER, Block
from .datasets import DatasetBlocks, folder_name
from .signature import STRICT, refused

LOSS_SUFFIX = "_opt"
LOSSES = "{name}_opt"  # the key that losses are gathered under, as hints show it


def _located(path: str) -> str:
    try:
        locate(path)
    except UserError as error:
        raise refused([((), str(error))]) from None
    return path


LARGEST_WINDOW = 512
Positive = Annotated[int, Gt(0)]
Path_ = Annotated[str, AfterValidator(_located)]


def _model_name(name: str) -> str:
    try:
        kind = lookup(MODEL_REGISTRY, name)
    except UserError as error:
        raise refused([((), str(error))]) from None
    if not is_ours(kind) and name not in TRAINED_ON_PAIRS:
        ours = (
            known for known in registered(MODEL_REGISTRY) if is_ours(lookup(MODEL_REGISTRY, known))
        )
        valid = ", ".join([*ours, *TRAINED_ON_PAIRS])
        raise refused([((), f"{name} is not for enhancement by pairs; valid: {valid}")])
    return name


class Section(BaseModel):
    """A block whose keys are fixed."""

    model_config = STRICT


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

    `mixup: false` leaves batches alone; `use_identity` leaves half of them alone.
    """

    mixup: bool = True
    mixup_beta: Annotated[float, Gt(0)] = 1.2
    use_identity: bool = True


class Train(Section):
    """`train:`; losses are further keys, `{name}_opt: {type: ...}`.

    `precision` is that of the network's forward pass (autocast); weights and losses stay fp32. A
    batch is computed in `accumulate` parts, to take less memory. `channels_last` and `compile`
    change how the network is computed, not what.

    `frozen` names parts of the network that keep the weights of a file (a checkpoint of the part,
    or of a network that has such a part): no gradients, evaluation mode.

    An update whose loss or gradient is not a finite number is skipped; `max_skipped` in a row stop
    the run.
    """

    total_iter: Positive
    optim_g: Annotated[Block, OPTIMIZER]
    scheduler: Annotated[Block, SCHEDULER] | None = None
    warmup_iter: int = -1
    ema_decay: Annotated[float, Ge(0), Lt(1)] = 0.0
    grad_clip: Annotated[float, Gt(0)] | None = None
    mixing_augs: MixingAugs | None = None
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    channels_last: bool = False
    compile: bool = False
    accumulate: Positive = 1
    frozen: dict[str, Path_] | None = None
    max_skipped: Positive = 10
    losses: dict[str, Annotated[Block, LOSS]] = Field(default_factory=dict, alias="{name}_opt")

    @model_validator(mode="before")
    @classmethod
    def _gather_losses(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        others = {k: v for k, v in given.items() if not k.endswith(LOSS_SUFFIX)}
        return others | {LOSSES: losses_of(given)}

    @model_serializer(mode="wrap")
    def _spread_losses(self, write: Any) -> dict[str, Any]:
        written = write(self)
        return written | {f"{k}{LOSS_SUFFIX}": v for k, v in written.pop("losses").items()}


class Val(Section):
    """`val:`; `select_on_test` allows a test set under `datasets.val`, and is stamped on scores.

    `select_by` names the metric, one of the protocol's, that checkpoints are chosen by. Images are
    padded to multiples of `window_size` as well as of what the network asks for. `metrics` are
    BasicSR's, scored in addition to the protocol's; `better` is for BasicSR's own models.
    """

    val_freq: Positive = 5000
    protocol: Literal[tuple(protocols_for("image"))] = "basicsr"  # type: ignore[valid-type]
    select_by: str = "psnr"
    select_on_test: bool = False
    self_ensemble: bool = False
    window_size: Annotated[int, Gt(0), Le(LARGEST_WINDOW)] = 1
    save_img: bool = False
    metrics: dict[str, Annotated[Block, METRIC]] | None = None


class Wandb(Section):
    """`logger.wandb`; off where `project` is null."""

    project: str | None = None
    resume_id: str | None = None


class Logger(Section):
    """`logger:`; besides latest and best, the newest `keep_last` numbered checkpoints are kept.

    `weights_format` is that of weights files; the state to resume from is always PyTorch's.
    """

    print_freq: Positive = 100
    save_checkpoint_freq: Positive = 5000
    keep_last: Annotated[int, Ge(0)] = 0
    weights_format: Literal["pth", "safetensors"] = "pth"
    use_tb_logger: bool = True
    wandb: Wandb | None = None


class DistParams(Section):
    """`dist_params`; without a CUDA device, gloo is used in place of nccl."""

    backend: Literal["nccl", "gloo"] = "nccl"
    port: Annotated[int, Gt(0), Lt(2**16)] = 29500


class PathBlock(Section):
    """`path:`; files of weights, and the folder that runs are kept in."""

    pretrain_network_g: Path_ | None = None
    param_key_g: str | None = None
    strict_load_g: bool = True
    init_network_g: Path_ | None = None
    resume_state: Path_ | None = None
    experiments: Path_ = "experiments"


class Config(Section):
    """A checked option file: the one form in which options reach the rest of the code.

    `datasets` holds the sets of the file and those held out of `train`. `train` is None in a file
    that is for testing alone.
    """

    name: Annotated[str, AfterValidator(folder_name)]
    model_type: Annotated[str, AfterValidator(_model_name)]
    network_g: Annotated[Block, NETWORK]
    datasets: DatasetBlocks
    scale: Literal[1] = 1
    num_gpu: Union[Literal["auto"], Annotated[int, Ge(0)]] = "auto"  # noqa: UP007
    manual_seed: Annotated[int, Ge(0), Lt(2**32)] = 0
    find_unused_parameters: bool = False
    dist_params: DistParams | None = None
    path: PathBlock = PathBlock()
    train: Train | None = None
    val: Val = Val()
    logger: Logger = Logger()

    @property
    def model(self) -> Any:
        """The registered class that trains."""
        return lookup(MODEL_REGISTRY, self.model_type)

    @property
    def training(self) -> Train:
        """The block `train`, which a file that is trained from has."""
        if self.train is None:
            raise UserError(f"{self.name}: the option file has no block `train`")
        return self.train

    @property
    def frozen(self) -> dict[str, Path]:
        """The files of `train.frozen`, where they lie."""
        return {name: locate(path) for name, path in (self.training.frozen or {}).items()}

    @property
    def resolved(self) -> dict[str, Any]:
        """The whole file as plain values, every default filled in; it loads to the same."""
        return self.model_dump(mode="json")


def losses_of(train: dict[str, Any]) -> dict[str, Any]:
    """The losses of a `train` block by name, `pixel` for the key `pixel_opt`."""
    return {
        k.removesuffix(LOSS_SUFFIX): v for k, v in train.items() if k.endswith(LOSS_SUFFIX) and v
    }


DRAFT = draft_of(Config, train=draft_of(Train))
