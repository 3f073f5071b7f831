"""FLW-Net: A Fast and Lightweight Network for Low-Light Image Enhancement (Zhang et al., 2023).

Paper: https://arxiv.org/abs/2304.02978
Published files load strictly.
Differs in: the wanted brightness is an argument, which only training takes from the ground truth;
the published test takes it from there too. In training the histogram is that of the crop, which is
all that the network is given; as published it is that of the crop's whole image.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn
from torch.nn import functional as F

from enhancement.arguments import require, require_at_least

from .contract import Network
from .parts.tile_context import current_tile, global_statistics
from .published import Published

SCALE = 20  # by how much the local brightness is coarser than the image
CURVES = 7  # of the retouching, one upon the other
FURTHER = 3  # numbers beside the histogram: darkest, brightest, wanted brightness


def spatial(in_channels: int, out_channels: int, dilation: int = 1) -> nn.Module:
    """A 3x3 convolution under its published name."""
    conv = nn.Conv2d(in_channels, out_channels, 3, padding=dilation, dilation=dilation)
    return nn.Sequential(OrderedDict(depth_conv=conv))


def pointwise(in_channels: int, out_channels: int) -> nn.Module:
    """A 1x1 convolution under its published name."""
    return nn.Sequential(OrderedDict(point_conv=nn.Conv2d(in_channels, out_channels, 1)))


def histogram(value: Tensor, bins: int) -> Tensor:
    """The shares of an image's pixels between its darkest and brightest, and those two.

    Args:
        value: (B, 1, H, W).
        bins: How many of equal width; a flat image counts as their middle.

    Returns:
        (B, bins + 2, 1, 1).
    """
    low, high = value.amin((2, 3), keepdim=True), value.amax((2, 3), keepdim=True)
    margin = 0.5 * (low == high).to(value)  # of a flat image
    first, step = low - margin, (high - low + 2 * margin) / bins
    # many levels of 8-bit images lie on an edge; which side they fall on follows NumPy's in float32
    above = [(value >= i * step + first).to(value).mean((2, 3), True) for i in range(1, bins)]
    ends = torch.ones_like(value[..., :1, :1])
    above = [ends, *above, 0 * ends]
    shares = [over - beyond for over, beyond in pairwise(above)]
    return torch.cat((*shares, low, high), 1)


def local_brightness(value: Tensor) -> Tensor:
    """An image (B, 1, H, W) made 20 times smaller and as large again, on the whole image's grid."""
    tile, (height, width) = current_tile(), value.shape[-2:]
    top, left = (tile.top % SCALE, tile.left % SCALE) if tile else (0, 0)
    if top or left:
        value = F.pad(value, (left, -left % SCALE, top, -top % SCALE), "replicate")
    small = F.interpolate(value, scale_factor=1 / SCALE, mode="bilinear")
    smooth = F.interpolate(small, scale_factor=float(SCALE), mode="bilinear")
    return smooth[..., top : top + height, left : left + width]


@ARCH_REGISTRY.register()
class FLWNet(Network):
    """Curves from the image's histogram retouch its brightness; convolutions finish the image.

    17,373 parameters.

    Args:
        brightness: The mean of the colours' maximum that is wanted of the output, in [0, 1].
        dim: Channels.
        bins: Of the histogram.

    Raises:
        ValueError: `brightness` is outside [0, 1], or `dim` or `bins` is below 1.
    """

    size_multiple = SCALE
    extra_outputs = ("retouch", "illumination", "histogram")
    published = Published(
        marks=(
            *(rf"e_conv{i}\.depth_conv\.weight" for i in range(1, 8)),
            *(rf"g_conv{i}\.point_conv\.weight" for i in range(1, 6)),
        ),
        arguments=lambda state: {
            "dim": state["g_conv1.point_conv.weight"].shape[0],
            "bins": state["g_conv1.point_conv.weight"].shape[1] - FURTHER,
        },
    )

    def __init__(self, brightness: float = 0.5, dim: int = 16, bins: int = 12) -> None:
        super().__init__()
        require(0 <= brightness <= 1, "brightness", "in [0, 1]", brightness)
        require_at_least(1, dim=dim, bins=bins)
        self.brightness, self.bins = brightness, bins
        self.e_conv1 = spatial(4, dim)
        self.e_conv2 = spatial(dim, dim)
        self.e_conv3 = spatial(dim + 4, dim)
        self.e_conv4 = spatial(dim, dim, dilation=2)
        self.e_conv5 = spatial(dim, dim, dilation=2)
        self.e_conv6 = spatial(2 * dim, dim)
        self.e_conv7 = spatial(dim, 6)
        self.g_conv1 = pointwise(bins + FURTHER, dim)
        self.g_conv2 = pointwise(dim, dim)
        self.g_conv3 = pointwise(dim + bins + FURTHER, dim)
        self.g_conv4 = pointwise(dim, dim)
        self.g_conv5 = pointwise(dim, CURVES)

    def survey(self, image: Tensor) -> bool:
        """The histogram is all that depends on the whole image."""
        self.measure(image.amax(1, keepdim=True))
        return True

    def measure(self, value: Tensor) -> Tensor:
        """The histogram of the whole image's (B, 1, H, W), see `histogram`."""
        return global_statistics(lambda: histogram(value, self.bins))

    def retouch(self, value: Tensor, numbers: Tensor) -> Tensor:
        """Apply the curves v + a (v - v^2) that follow from the histogram's numbers.

        Args:
            value: (B, 1, H, W).
            numbers: The histogram, darkest, brightest, wanted brightness, (B, bins + 3, 1, 1).
        """
        x = F.leaky_relu(self.g_conv2(F.leaky_relu(self.g_conv1(numbers))))
        x = F.leaky_relu(self.g_conv3(torch.cat((x, numbers), 1)))
        curves = F.leaky_relu(self.g_conv5(F.leaky_relu(self.g_conv4(x))))
        for curve in curves.split(1, 1):
            value = value + curve * (value - value.square())
        return value

    def outputs(self, lq: Tensor, gt: Tensor | None = None) -> dict[str, Tensor]:
        """The output, the "retouch"ed brightness, the "illumination", the "histogram".

        Args:
            lq: Images (B, 3, H, W) in [0, 1], H and W multiples of 20.
            gt: Where it is given, in training, the wanted brightness is its own.
        """
        value = lq.amax(1, keepdim=True)
        if gt is None:
            wanted = torch.full_like(value[..., :1, :1], self.brightness)
        else:
            wanted = gt.amax(1, keepdim=True).mean((2, 3), keepdim=True)
        numbers = torch.cat((self.measure(value).expand(lq.shape[0], -1, -1, -1), wanted), 1)
        retouched = self.retouch(value, numbers)
        half = local_brightness(value) / 2
        x = F.leaky_relu(self.e_conv1(torch.cat((lq - half, half), 1)))
        x = F.leaky_relu(self.e_conv2(x))
        early = F.leaky_relu(self.e_conv3(torch.cat((x, lq, retouched), 1)))
        late = F.leaky_relu(self.e_conv5(F.leaky_relu(self.e_conv4(early))))
        x = F.leaky_relu(self.e_conv6(torch.cat((early, late), 1)))
        output, illumination = F.softplus(self.e_conv7(x)).chunk(2, 1)
        names = ("output", *self.extra_outputs)
        return dict(zip(names, (output, retouched, illumination, numbers), strict=True))

    def forward(self, x: Tensor) -> Tensor:
        """Enhance: (B, 3, H, W) in [0, 1], H and W multiples of 20, to the same shape, above 0."""
        return self.outputs(x)["output"]
