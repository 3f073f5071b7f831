"""FFA-Net: Feature Fusion Attention Network for Single Image Dehazing (Qin et al., AAAI 2020).

Paper: https://arxiv.org/abs/1911.07559
Published code: github.com/zhilin007/FFA-Net; the state dict of its files, which is their entry
`model`, loads strictly once saved by itself.
Differs in: the standardisation of the input by hazy images' mean and deviation is the network's,
not its caller's. What the network adds to is the standardised image, as published.
"""

from __future__ import annotations

from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from .ffa_frame import REDUCTION, FeatureAttention, arguments, bottleneck
from .published import Published

MEAN = (0.64, 0.6, 0.58)  # of RESIDE's hazy images, in [0, 1]
DEVIATION = (0.14, 0.15, 0.152)


class PixelAttention(nn.Module):
    """Weighs pixels by their channels (eqs. 5 and 6)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.pa = bottleneck(dim, dim // REDUCTION, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return x * self.pa(x)


@ARCH_REGISTRY.register()
class FFANet(FeatureAttention):
    """Blocks of channel and pixel attention, in three groups that attention fuses.

    4,455,913 parameters.

    Args:
        dim: Channels, a multiple of 16.
        num_blocks: Blocks of each group.

    Raises:
        ValueError: A number is below 1, or 16 does not divide `dim`.
    """

    published = Published(
        marks=(r"g1\.gp\.0\.palayer\.pa\.0\.weight", r"palayer\.pa\.2\.weight", r"post\.1\.weight"),
        arguments=arguments,
    )

    def __init__(self, dim: int = 64, num_blocks: int = 19) -> None:
        super().__init__(dim, num_blocks, "palayer", PixelAttention)

    def forward(self, x: Tensor) -> Tensor:
        """Clear an image: (B, 3, H, W) in [0, 1] to the same shape."""
        mean, deviation = (x.new_tensor(v)[:, None, None] for v in (MEAN, DEVIATION))
        return self.clear((x - mean) / deviation)
