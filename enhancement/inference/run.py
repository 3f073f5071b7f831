"""A network on images of any size: the one path for validation, testing and inference."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from enhancement.archs.contract import contract_of
from enhancement.archs.parts.padding import pad_to_multiple
from enhancement.errors import UserError


def enhance(network: nn.Module, lq: Tensor, multiple: int = 1) -> Tensor:
    """Run a network on images of any size: pad to its multiple, crop back.

    Args:
        network: Any registered network; if it returns a tuple or list, the first entry counts.
        lq: (B, 3, H, W) in [0, 1].
        multiple: Pad to multiples of this as well.

    Returns:
        (B, 3, H, W), not clamped.

    Raises:
        UserError: The output's shape differs from the input's.
    """
    output = run_padded(network, lq, multiple)
    if output.shape != lq.shape:
        raise UserError(
            f"expected {type(network).__name__} to give back {tuple(lq.shape)}, but got "
            f"{tuple(output.shape)}; a super-resolution network needs `upscale: 1`"
        )
    return output


def run_padded(network: nn.Module, x: Tensor, multiple: int = 1) -> Tensor:
    """A network's output for an image padded to its multiple, cropped to the image's size.

    Args:
        network: If it returns a tuple or list, the first entry counts.
        x: (B, 3, H, W).
        multiple: Pad to multiples of this as well.
    """
    padded = pad_for(network, x, multiple)
    output = network(padded)
    if isinstance(output, (tuple, list)):
        output = output[0]
    if output.shape[-2:] != padded.shape[-2:]:
        return output
    return output[..., : x.shape[-2], : x.shape[-1]]


def pad_for(network: nn.Module, x: Tensor, multiple: int = 1) -> Tensor:
    """An image (B, 3, H, W) padded to a size that a network takes and to the caller's multiple."""
    declared = contract_of(network)
    multiple = math.lcm(declared.size_multiple, multiple)
    return pad_to_multiple(x, multiple, declared.smallest_size, declared.square)


def run_stages(network: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """The output of each of a network's stages for an image (B, 3, H, W), by name."""
    outputs = contract_of(network).stages(pad_for(network, x))
    return {name: output[..., : x.shape[-2], : x.shape[-1]] for name, output in outputs.items()}


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context in which a network computes in "fp32", "bf16" or "fp16"."""
    kinds = {"bf16": torch.bfloat16, "fp16": torch.float16}
    return torch.autocast(device.type, kinds.get(precision), enabled=precision in kinds)


def self_ensemble(network: nn.Module, lq: Tensor, multiple: int = 1) -> Tensor:
    """Mean of `enhance` over the 8 flips and rotations of the image."""
    total = torch.zeros_like(lq)
    for mirror in (False, True):
        for turns in range(4):
            x = lq.flip(-1) if mirror else lq
            y = torch.rot90(
                enhance(network, torch.rot90(x, turns, (-2, -1)), multiple), -turns, (-2, -1)
            )
            total += y.flip(-1) if mirror else y
    return total / 8


@contextmanager
def eval_mode(network: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards every module is back in its own mode."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module, mode in modes:
            module.training = mode
