"""C2PNet: Curricular Contrastive Regularization for Physics-aware Single Image Dehazing.

Zheng et al., CVPR 2023.

Paper: https://arxiv.org/abs/2303.14218
Published code: github.com/YuZheng9/C2PNet; the state dict of its files, which is their entry
`model`, loads strictly once saved by itself.
Differs in: nothing.
"""

from __future__ import annotations

from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from .ffa_frame import (
    REDUCTION,
    FeatureAttention,
    arguments,
    bottleneck,
    channel_means,
)
from .parts.convolution import conv3x3
from .published import Published


class PhysicsUnit(nn.Module):
    """The scattering model in feature space: J = t x + (1 - t) a (section 3.2).

    The airlight a is one number a channel, the transmission t one a channel and pixel.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        hidden = dim // REDUCTION
        self.ka = bottleneck(dim, hidden, dim)
        self.td = nn.Sequential(
            conv3x3(dim, dim), conv3x3(dim, hidden), nn.ReLU(), conv3x3(hidden, dim), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        airlight, transmission = self.ka(channel_means(x)), self.td(x)
        return transmission * x + (1 - transmission) * airlight


@ARCH_REGISTRY.register()
class C2PNet(FeatureAttention):
    """FFA-Net with physics-aware units in place of pixel attention; 7,169,327 parameters.

    Args:
        dim: Channels, a multiple of 16.
        num_blocks: Blocks of each group.

    Raises:
        ValueError: A number is below 1, or 16 does not divide `dim`.
    """

    published = Published(
        marks=(r"g1\.gp\.0\.pdu\.ka\.0\.weight", r"pdu\.td\.3\.weight", r"post\.1\.weight"),
        arguments=arguments,
    )

    def __init__(self, dim: int = 64, num_blocks: int = 19) -> None:
        super().__init__(dim, num_blocks, "pdu", PhysicsUnit)

    def forward(self, x: Tensor) -> Tensor:
        """Clear an image: (B, 3, H, W) in [0, 1] to the same shape."""
        return self.clear(x)
