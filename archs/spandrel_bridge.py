"""Networks of spandrel (MIT), and of spandrel_extra_arches where that is installed.

https://github.com/chaiNNer-org/spandrel holds the published code of some forty networks, and knows
of each how to tell it from its weights, what sizes it takes and how its output is read. Importing
this module registers those that map an RGB image to one of the same size. Their names are
spandrel's, followed by `_spandrel` where a network of ours or BasicSR's has the name already. The
registry imports this module when a name is asked for that it does not have (registry.py).
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import wraps
from typing import Any, ClassVar, get_args

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from spandrel import (
    MAIN_REGISTRY,
    Architecture,
    ArchRegistry,
    ImageModelDescriptor,
    ModelTiling,
    canonicalize_state_dict,
)
from torch import Tensor, nn

from enhancement.errors import UserError

from .contract import Network
from .published import State

# they inpaint, restore cut-out faces, colour grey images, or can only enlarge
NOT_ENHANCERS = {
    *("LaMa", "MAT", "GFPGAN", "RestoreFormer", "CodeFormer", "DDColor", "RealCUGAN", "AuraSR")
}
UNTRACEABLE = {"HVICIDNet": "its colour transform assigns by boolean masks"}


class SpandrelNetwork(Network):
    """What a network of spandrel declares, as its loader there says. Its own class is mixed in.

    Attributes:
        architecture: Spandrel's loader of such networks.
        call: Takes the network as published and images (B, 3, H, W) in [0, 1]; gives the output in
            the same form, whatever the published forward pass takes and gives.
    """

    architecture: ClassVar[Architecture[Any]]
    call: Callable[[Any, Tensor], Tensor]

    def declare(self) -> None:
        """Ask spandrel's loader about the network as it was built.

        Raises:
            UserError: It does not map three channels to three at the same size, or spandrel does
                not know networks of these arguments.
        """
        try:
            described = _described(self.architecture, self.state_dict())
        except (AssertionError, LookupError, TypeError, ValueError) as error:
            raise UserError(
                f"{self.title}: spandrel does not know such a network from its weights ({error})"
            ) from error
        if obstacle := _obstacle(described):
            raise UserError(f"{self.title} {obstacle}")
        sizes = described.size_requirements
        vars(self).update(
            size_multiple=sizes.multiple_of,
            smallest_size=max(1, sizes.minimum),
            square=sizes.square,
            whole_image=described.tiling != ModelTiling.SUPPORTED,
            fp16=described.supports_half,
            untraceable=UNTRACEABLE.get(self.architecture.id, ""),
            call=described._call_fn,  # the only part of the loader that has no public name
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] to the same shape, not clamped."""
        return self.call(_AsPublished(self, super().forward), x)

    def own_names(self, state: State) -> State:
        """A published state dict as spandrel's loader reads it; any other as it is."""
        state = canonicalize_state_dict(dict(state))
        if state.keys() == self.state_dict().keys() or not self.architecture.detect(state):
            return state
        with suppress(Exception):  # of no common base; what does not fit is told later
            return self.architecture.load(dict(state)).model.state_dict()
        return state

    def from_published(self, state: State) -> State:
        """The same: spandrel's networks bear their authors' names."""
        return self.own_names(state)


class _AsPublished:
    """A network with its published forward pass, as the loaders' `call` expects it."""

    def __init__(self, network: nn.Module, forward: Callable[..., Any]) -> None:
        self._network, self.forward = network, forward

    def __call__(self, *inputs: Any) -> Any:
        return self.forward(*inputs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)


def recognise(state: Mapping[str, Tensor]) -> dict[str, Any] | None:
    """The `network_g` block of a state dict that one of spandrel's loaders knows, or None.

    Args:
        state: Tensors by name.

    Raises:
        UserError: A loader knows it, but the network is none for enhancement.
    """
    state = canonicalize_state_dict(dict(state))
    for support in REGISTRY.architectures("detection"):
        if not support.detect(state):
            continue
        try:
            described = _described(support.architecture, state)
        except Exception:  # only names were looked at so far; the loaders' errors share no base
            continue
        network, name = described.model, support.architecture.name
        registered = NAMES.get(type(network))
        obstacle = _obstacle(described) if registered else "is no network for enhancement"
        if obstacle:
            raise UserError(f"its network {name} {obstacle}")
        defaults = inspect.signature(type(network)).parameters
        given = {k: v for k, v in network.hyperparameters.items() if v != defaults[k].default}
        return {"type": registered, **given}
    return None


def _described(architecture: Architecture[Any], state: Mapping[str, Any]) -> Any:
    """What a loader says of weights: its descriptor, whose network has no values if possible."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch, that values are not copied
        try:
            with torch.device("meta"):
                return architecture.load(dict(state))
        except (RuntimeError, NotImplementedError):  # it computes while it is being built
            return architecture.load(dict(state))


def _obstacle(described: Any) -> str | None:
    """What keeps a network from mapping an RGB image to one of the same size, if anything."""
    if not isinstance(described, ImageModelDescriptor):
        return "needs more than an image"
    if described.scale != 1:
        return f"enlarges images {described.scale} times; expected a network of scale 1"
    channels = described.input_channels, described.output_channels
    if channels != (3, 3):
        return f"maps {channels[0]} channels to {channels[1]}; expected 3 to 3"
    return None


def _all_loaders() -> ArchRegistry:
    """Spandrel's loaders, and those of spandrel_extra_arches where that is installed."""
    registry = MAIN_REGISTRY.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch, about how its networks are written
        try:
            from spandrel_extra_arches import EXTRA_REGISTRY
        except ImportError:
            return registry
    registry.add(*EXTRA_REGISTRY)
    return registry


def _classes(architecture: Architecture[Any]) -> Iterator[tuple[str, type[nn.Module]]]:
    """The classes that a loader builds, and their names: a single one bears the loader's."""
    (kind,) = get_args(type(architecture).__orig_bases__[0])
    several = get_args(kind)
    for one in several or (kind,):
        yield (one.__name__ if several else architecture.id), one


def _register(name: str, kind: type[nn.Module], architecture: Architecture[Any]) -> str:
    """Register a class of spandrel's; the name that it has got."""

    @wraps(kind.__init__)
    def build(self: SpandrelNetwork, **arguments: Any) -> None:
        kind.__init__(self, **arguments)
        self.declare()

    name = f"{name}_spandrel" if name in ARCH_REGISTRY else name
    own = {"__init__": build, "__module__": kind.__module__, "architecture": architecture}
    ARCH_REGISTRY.register(type(name, (SpandrelNetwork, kind), own))
    return name


REGISTRY = _all_loaders()
NAMES = {
    kind: _register(name, kind, support.architecture)
    for support in REGISTRY
    if support.architecture.id not in NOT_ENHANCERS
    for name, kind in _classes(support.architecture)
}
