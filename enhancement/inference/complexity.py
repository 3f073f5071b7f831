"""What a network costs: parameters and multiply-adds."""

from __future__ import annotations

from contextlib import suppress

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from enhancement.inference.run import pad_for

Shape = tuple[int, int, int, int]


def parameter_count(network: nn.Module) -> int:
    """The number of parameters."""
    return sum(p.numel() for p in network.parameters())


def multiply_adds(network: nn.Module, height: int = 256, width: int = 256) -> int:
    """Multiply-adds of convolutions and matrix products for one image, padded as the network asks.

    Element-wise work and slicing are not counted. The network is run on meta tensors, which have
    shapes but no values; where that fails on fake ones, which are slower but have devices; and
    one that needs values is run for real. One without parameters is not run: what the classics do,
    element by element and by fixed filters, does not count.

    Raises:
        RuntimeError: The network is on the meta device itself, and needs values.
    """
    return multiply_adds_by_module(network, height, width)[""]


def multiply_adds_by_module(network: nn.Module, height: int, width: int) -> dict[str, int]:
    """The same for each module that is called, by its name; "" is the network."""
    if not parameter_count(network):
        return {"": 0}
    shape, was_training = (1, 3, height, width), network.training
    network.eval()
    try:
        for count in (_on_meta, _on_fake):
            with suppress(RuntimeError):
                return count(network, shape)
        return _for_real(network, shape)
    finally:
        network.train(was_training)


def _on_meta(network: nn.Module, shape: Shape) -> dict[str, int]:
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    return _counted(network, {k: v.detach().to("meta") for k, v in tensors.items()}, shape, "meta")


def _on_fake(network: nn.Module, shape: Shape) -> dict[str, int]:
    with FakeTensorMode(allow_non_fake_inputs=True):
        return _for_real(network, shape)


def _for_real(network: nn.Module, shape: Shape) -> dict[str, int]:
    device = next((p.device for p in network.parameters()), "cpu")
    return _counted(network, {}, shape, device)


def _counted(
    network: nn.Module,
    tensors: dict[str, torch.Tensor],
    shape: Shape,
    device: torch.device | str,
) -> dict[str, int]:
    """Multiply-adds of a network, `tensors` in place of those of its own by these names."""
    image = torch.zeros(shape, device=device)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        functional_call(network, tensors, (pad_for(network, image),))
    root = type(network).__name__
    names = {f"{root}.{name}" if name else root: name for name, _ in network.named_modules()}
    counts = {
        names[module]: sum(flops.values()) // 2
        for module, flops in counter.get_flop_counts().items()
        if module in names
    }
    return {**counts, "": counter.get_total_flops() // 2}
