"""HDRNetUNet: HDRNet, and a small U-Net that removes the noise which brightening amplifies.

No paper of its own. HDRNet is that of Deep Bilateral Learning for Real-Time Image Enhancement
(Gharbi et al., SIGGRAPH 2017, https://groups.csail.mit.edu/graphics/hdrnet/); the denoiser is a
residual U-Net (Ronneberger et al., MICCAI 2015, https://arxiv.org/abs/1505.04597) at half size, by
pixel unshuffling, as in FFDNet (Zhang et al., TIP 2018, https://arxiv.org/abs/1710.04026).

A bilateral grid gives every pixel a transform of its colour, which brightens noise as it brightens
the picture. The U-Net sees the picture before and after, and so knows how much it was brightened.
Differs in: nothing published; the HDRNet inside is ours, in its affine mode.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn
from torch.nn import functional as F

from enhancement.arguments import require_at_least

from .contract import Network
from .hdrnet_arch import HDRNet
from .parts.residual import ResidualBlock


class UNet(nn.Module):
    """A residual U-Net at three scales, beginning at half the image's size.

    Its last convolution starts at zero, so that nothing is corrected before training. It sees up
    to 51 pixels around each pixel, and 46 at the border of a tile, which begins where its
    pooling does (`tile_context.REACH`).

    Args:
        in_channels: Channels of the input at full size.
        dim: Channels at half size; twice as many at each further one.
    """

    def __init__(self, in_channels: int, dim: int) -> None:
        super().__init__()
        dims = (dim, 2 * dim, 4 * dim)
        self.first = nn.Conv2d(4 * in_channels, dim, 3, padding=1)
        self.encoder = nn.ModuleList(ResidualBlock(n) for n in dims[:2])
        self.down = nn.ModuleList(nn.Conv2d(n, 2 * n, 2, 2) for n in dims[:2])
        self.middle = ResidualBlock(dims[2])
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * n, n, 2, 2) for n in dims[:2])
        self.decoder = nn.ModuleList(ResidualBlock(n) for n in dims[:2])
        self.last = nn.Conv2d(dim, 4 * 3, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W), H and W multiples of 8, to (B, 3, H, W)."""
        x = self.first(F.pixel_unshuffle(x, 2))
        skips = []
        for encode, down in zip(self.encoder, self.down, strict=True):
            skips.append(encode(x))
            x = down(skips[-1])
        x = self.middle(x)
        for up, decode in zip(reversed(self.up), reversed(self.decoder), strict=True):
            x = decode(up(x) + skips.pop())
        return F.pixel_shuffle(self.last(x), 2)


@ARCH_REGISTRY.register()
class HDRNetUNet(Network):
    """HDRNet's output, plus a correction that a U-Net predicts from it and the input.

    Args:
        low_resolution: As in `HDRNet`: side of the copy that the grid is predicted from.
        grid_depth: As in `HDRNet`: cells along the guidance.
        width_multiplier: As in `HDRNet`: scales the channels of the coefficient branch.
        dim: Channels of the U-Net at half size.

    Raises:
        ValueError: `low_resolution` is not a multiple of 64, or another argument is not positive.
    """

    family = "photographs"
    size_multiple = 8
    has_kernels = True

    def __init__(
        self,
        low_resolution: int = 256,
        grid_depth: int = 8,
        width_multiplier: float = 1.0,
        dim: int = 24,
    ) -> None:
        super().__init__()
        require_at_least(1, dim=dim)
        self.hdrnet = HDRNet(low_resolution, grid_depth, width_multiplier)
        self.unet = UNet(6, dim)

    def initialise_from(self, state: Mapping[str, Tensor]) -> None:
        """Begin with an HDRNet that was trained in its affine mode.

        Args:
            state: Its state dict. One of the illumination mode has the same names and shapes, and
                cannot be told from it.

        Raises:
            ValueError: It is another network's, or that of an HDRNet of other arguments.
        """
        own = self.hdrnet.state_dict()
        if {k: v.shape for k, v in own.items()} != {k: v.shape for k, v in state.items()}:
            raise ValueError("Expected the weights of an HDRNet with the same arguments.")
        for name, tensor in own.items():
            tensor.copy_(state[name])

    def fold(self) -> nn.Module:
        """With the U-Net's weights channels last, which a CPU computes 1.4 times as fast."""
        folded = deepcopy(self)
        folded.unet.to(memory_format=torch.channels_last)
        return folded

    def survey(self, image: Tensor) -> bool:
        """The bilateral grid is all that depends on the whole image."""
        return self.hdrnet.survey(image)

    def forward(self, image: Tensor) -> Tensor:
        """Enhance: (B, 3, H, W) in [0, 1], H and W multiples of 8, to the same shape."""
        bright = self.hdrnet(image)
        return bright + self.unet(torch.cat((image, bright), 1))
