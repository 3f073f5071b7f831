"""What an option file may say, and the object that it becomes: a `Config`.

Networks, losses, optimisers, schedulers and datasets are described by their own signatures; the
rest are sections (sections.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Union

from annotated_types import Ge, Lt

from enhancement.compat import TRAINED_ON_PAIRS
from enhancement.errors import UserError
from enhancement.paths import locate
from enhancement.registry import MODEL_REGISTRY, is_ours, lookup, registered
from enhancement.weights.shipped import find_weights

from .blocks import NETWORK, Block
from .dataset_keys import FolderName
from .datasets import DatasetBlocks
from .sections import DistParams, Logger, PathBlock, Section, Train, Val, draft_of, one_of
from .signature import held_to


def _models() -> list[str]:
    """The models that enhance: ours, and some of BasicSR's."""
    known = registered(MODEL_REGISTRY)
    ours = [model for model in known if is_ours(lookup(MODEL_REGISTRY, model))]
    return [*ours, *TRAINED_ON_PAIRS]


def _check_model(name: str) -> None:
    lookup(MODEL_REGISTRY, name)
    if name not in (valid := _models()):
        raise UserError(f"{name} is not for enhancement by pairs; valid: {', '.join(valid)}")


class Config(Section):
    """A checked option file: the one form in which options reach the rest of the code.

    Attributes:
        name: Of the run, and of its folder.
        model_type: How the network is trained (models/).
        network_g: The network.
        datasets: The sets of the file, and those held out of `train`.
        scale: Images are not enlarged.
        num_gpu: "auto": one where there is one; 0: the CPU.
        manual_seed: Of everything that is random.
        find_unused_parameters: PyTorch's, for several processes.
        dist_params: How several processes talk to each other.
        path: Files of weights, and the folder that runs are kept in.
        train: Losses, optimiser, schedule; null in a file that is for testing alone.
        val: How a run is validated, and what its checkpoints are chosen by.
        logger: What is shown and kept while a run goes on.
    """

    name: FolderName
    model_type: Annotated[str, held_to(_check_model), one_of(_models)]
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
        files = (self.training.frozen or {}).items()
        return {name: find_weights(locate(path)) for name, path in files}

    @property
    def resolved(self) -> dict[str, Any]:
        """The whole file as plain values, every default filled in; it loads to the same."""
        return self.model_dump(mode="json")


DRAFT = draft_of(Config, train=draft_of(Train))
