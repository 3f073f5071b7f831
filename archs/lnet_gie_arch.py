"""LNet-GIE: a lightweight network for gastrointestinal endoscopy dehazing (14 parameters).

AOD-Net (Li et al., ICCV 2017) reduced by a width multiplier and a resolution multiplier, which are
MobileNets' terms. No link is published; the facts are from the paper's text and tables. Its keys
are AOD-Net's `e_conv1` and `e_conv2`.
Differs in: the resolution multiplier, which the authors' code stores and never uses, works here;
at 1 the arithmetic is theirs. Before training, K starts near 1 (the identity).
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn
from torch.nn import functional as F

from enhancement.arguments import require

from .contract import Network
from .parts.haze import haze_free, start_at_identity

FINEST = 1000  # of whole numbers whose share the resolution is


@ARCH_REGISTRY.register()
class LNetGIE(Network):
    """Estimates one K for all three colours at a fraction of the size.

    Args:
        width_multiplier: int(3 * width_multiplier) channels; 0.5 gives 1 channel, 14 parameters.
        resolution_multiplier: K is estimated on the input scaled by this, then enlarged again.

    Raises:
        ValueError: A multiplier is out of range or leaves no channel.
    """

    family = "endoscopy"

    def __init__(self, width_multiplier: float = 0.5, resolution_multiplier: float = 0.5) -> None:
        super().__init__()
        dim = int(3 * width_multiplier)
        if dim not in (1, 3):  # K has one channel for all colours or one for each
            raise ValueError(
                f"Expected `width_multiplier` to leave 1 or 3 channels (1/3 to below 2/3, or 1), "
                f"but got {width_multiplier}, which leaves {dim}."
            )
        fits = 1 / FINEST <= resolution_multiplier <= 1
        require(fits, "resolution_multiplier", f"in [{1 / FINEST}, 1]", resolution_multiplier)
        self.resolution_multiplier = resolution_multiplier
        if resolution_multiplier < 1:  # ONNX Runtime does not reduce to a single pixel as PyTorch
            self.smallest_size = int(1 / resolution_multiplier) + 1
        self.e_conv1 = nn.Conv2d(3, dim, 1)
        self.e_conv2 = nn.Conv2d(dim, dim, 3, padding=1)
        nn.init.constant_(self.e_conv1.weight, 1 / 3)
        nn.init.zeros_(self.e_conv1.bias)  # type: ignore[arg-type]
        start_at_identity(self.e_conv2)

    def initialise_from(self, state: Mapping[str, Tensor]) -> None:
        """Take the first rows of AOD-Net's `e_conv1`, as the paper does.

        Args:
            state: AOD-Net's state dict.

        Raises:
            KeyError: `e_conv1.weight` or `e_conv1.bias` is not in it.
            ValueError: They have another shape than AOD-Net's.
        """
        weight, bias = state["e_conv1.weight"], state["e_conv1.bias"]
        if tuple(weight.shape) != (3, 3, 1, 1) or tuple(bias.shape) != (3,):
            raise ValueError(
                "Expected AOD-Net's e_conv1 with weight (3, 3, 1, 1) and bias (3,), "
                f"but got {tuple(weight.shape)} and {tuple(bias.shape)}."
            )
        rows = self.e_conv1.out_channels
        with torch.no_grad():
            self.e_conv1.weight.copy_(weight[:rows])
            self.e_conv1.bias.copy_(bias[:rows])  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        """Clear an image: (B, 3, H, W) in [0, 1] to the same shape, at least 0."""
        small = x
        if self.resolution_multiplier != 1:
            # in whole numbers and rounded up, so that an exported graph can follow
            share = Fraction(self.resolution_multiplier).limit_denominator(FINEST)
            p, q = share.as_integer_ratio()
            size = [(n * p + q - 1) // q for n in x.shape[-2:]]
            small = F.interpolate(x, size, mode="bilinear", antialias=True)
        k = torch.relu(self.e_conv2(torch.relu(self.e_conv1(small))))
        if k.shape[-2:] != x.shape[-2:]:
            k = F.interpolate(k, x.shape[-2:], mode="bilinear")
        return haze_free(x, k)
