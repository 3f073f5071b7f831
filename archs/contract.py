"""The contract of a network: what it may declare beside its forward pass, and how it is asked.

A network of ours inherits `Network`, maps images (B, 3, H, W) in [0, 1] to the same shape, and
overrides what differs from the defaults below. Other code asks any network, also BasicSR's or a
plain `nn.Module`, by `contract_of(network)` and in no other way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, get_args

from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from .published import Published, State

Family = Literal[
    "low light",
    "without ground truth",
    "endoscopy",
    "dehazing",
    "video",
    "photographs",
    "segmentation",
    "classics",
]
FAMILIES: tuple[Family, ...] = get_args(Family)  # in the order of lists


class Network(nn.Module):
    """Base class of networks; every attribute and method but `forward` has a default.

    Attributes:
        size_multiple: Height and width are padded to multiples of it before `forward` sees them.
        smallest_size: They are padded to at least this, so that a 1x1 image works.
        square: They are padded to the same size.
        smallest_batch: How many images training computes at once at least.
        gives: What `forward` returns: an "image", or the logits of a "mask" (B, 1, H, W).
        extra_outputs: What `outputs` gives beside the output.
        whole_image: It must be given the whole image; it cannot be run in tiles.
        no_onnx: Why ONNX Runtime cannot compute it; empty where it can.
        fp16: Whether it can be computed in fp16.
        untraceable: Why no graph of it can be recorded; empty where one can.
        has_kernels: Whether it has compiled kernels of its own, which make PyTorch the faster
            engine on a CPU.
        family: Under which heading lists of networks have it.
        only_before_training: Constructor arguments without meaning once there are weights.
        published: How its authors' files are recognised and read; None if there are none.
    """

    size_multiple: int = 1
    smallest_size: int = 1
    square: ClassVar[bool] = False
    smallest_batch: int = 1
    gives: Literal["image", "mask"] = "image"
    extra_outputs: tuple[str, ...] = ()
    whole_image: bool = False
    no_onnx: ClassVar[str] = ""
    fp16: ClassVar[bool] = True
    untraceable: ClassVar[str] = ""
    has_kernels: ClassVar[bool] = False
    family: ClassVar[Family] = "low light"
    only_before_training: ClassVar[tuple[str, ...]] = ()
    published: ClassVar[Published | None] = None

    @property
    def title(self) -> str:
        """What messages call it: its class."""
        return type(self).__name__

    def stages(self, x: Tensor) -> dict[str, Tensor]:
        """The output of each stage by name, the last one that of `forward`."""
        return {"output": self(x)}

    def outputs(self, lq: Tensor, gt: Tensor | None = None) -> dict[str, Tensor]:
        """All that a loss may ask for by name: the "output" and each of `extra_outputs`.

        Args:
            lq: Images (B, 3, H, W) in [0, 1].
            gt: The other side of the pairs, for networks that are trained on both.
        """
        return {"output": self(lq)}

    def survey(self, image: Tensor) -> bool:
        """Make the calls of `global_statistics` (tile_context.py) for a whole image, and no more.

        Returns:
            Whether that was done. False, the default, leaves it to a forward pass over a reduced
            copy of the image.
        """
        return False

    def fold(self) -> nn.Module:
        """The network in its form for inference, which computes the same with less work.

        Returns:
            A new module, or the network itself, which is left as it is in any case.
        """
        return self

    def initialise_from(self, state: Mapping[str, Tensor]) -> None:
        """Begin training from another network's weights (`path.init_network_g`).

        Raises:
            KeyError, ValueError: The state dict is not that of the network meant.
            NotImplementedError: There is no such network.
        """
        raise NotImplementedError(f"{type(self).__name__} takes no initial weights from elsewhere")

    def own_names(self, state: State) -> State:
        """A state dict under the network's own names, whether it bears those or its authors'."""
        if self.published is not None and self.published.applies(state):
            return self.from_published(state)
        return state

    def from_published(self, state: State) -> State:
        """A published state dict as the network's own, for networks that declare `published`."""
        assert self.published is not None
        return self.published.rename(state)

    def load_published_state_dict(self, state: State) -> None:
        """Load a published checkpoint strictly.

        Args:
            state: Tensors by published name; may lie under `state_dict`, and bear `module.`.

        Raises:
            RuntimeError: A tensor is missing, unknown or of another shape.
        """
        self.load_state_dict(self.from_published(state), strict=True)


class _Foreign(Network):
    """Speaks for a network that does not inherit `Network`, by the attributes that it has."""

    network: nn.Module

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.__dict__["network"] = network  # not as a submodule: its mode is its own
        windows = [getattr(module, "window_size", 1) for module in network.modules()]
        declared: dict[str, Any] = self.__dict__
        declared["size_multiple"] = max((w for w in windows if isinstance(w, int)), default=1)
        for name in Network.__annotations__:
            if hasattr(network, name):
                declared[name] = getattr(network, name)

    @property
    def title(self) -> str:
        """The class of the network that it speaks for."""
        return type(self.network).__name__

    def forward(self, x: Tensor) -> Tensor:
        """The network's output; of several the first."""
        output = self.network(x)
        return output[0] if isinstance(output, tuple | list) else output

    def fold(self) -> nn.Module:
        """The network itself."""
        return self.network


def contract_of(network: nn.Module) -> Network:
    """What a network declares; of one wrapped for several devices, what the wrapped one does."""
    if isinstance(network, DataParallel | DistributedDataParallel):
        network = network.module
    return network if isinstance(network, Network) else _Foreign(network)
