"""Zero-DCE: Zero-Reference Deep Curve Estimation for Low-Light Image Enhancement (Guo et al.,
CVPR 2020), and Zero-DCE++ (Li et al., Learning to Enhance Low-Light Image via Zero-Reference Deep
Curve Estimation, TPAMI 2021).

Paper: https://arxiv.org/abs/2001.06826
Extension: https://arxiv.org/abs/2103.00860
Published code: github.com/Li-Chongyi/Zero-DCE and github.com/Li-Chongyi/Zero-DCE_extension; their
weights load strictly.
Differs in: an image whose sides are no multiples of `scale_factor` is not cropped.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Literal

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn
from torch.nn import functional as F

from enhancement.arguments import require_at_least, require_one_of

from .contract import Network
from .published import Published, Shapes

ITERATIONS = 8  # n of the papers


def _arguments(state: Shapes) -> dict[str, Any]:
    """Variant and width, from names and shapes."""
    base = "e_conv1.weight" in state
    width = len(state["e_conv1.bias" if base else "e_conv1.point_conv.bias"])
    return {"variant": "base" if base else "plus_plus", "width": width}


def separable_conv(in_channels: int, out_channels: int) -> nn.Sequential:
    """A depthwise 3x3 and a pointwise convolution with nothing between them."""
    depthwise = nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels)
    pointwise = nn.Conv2d(in_channels, out_channels, 1)
    return nn.Sequential(OrderedDict(depth_conv=depthwise, point_conv=pointwise))


@ARCH_REGISTRY.register()
class ZeroDCE(Network):
    """Brightens each pixel by a quadratic curve, applied eight times, LE(x) = x + A x (1 - x).

    Seven convolutions with symmetric concatenations estimate the curves' parameters A. 79,416
    parameters; 10,561 as "plus_plus".

    Args:
        variant: "base" (Zero-DCE) estimates a map of A for each of the eight times; "plus_plus"
            (Zero-DCE++) estimates one map for all of them, by separable convolutions.
        width: Channels of the features.
        scale_factor: The maps are estimated on the image reduced by this; the authors test
            Zero-DCE++ with 12.

    Raises:
        ValueError: `variant` is unknown, or a number is below 1.
    """

    extra_outputs = ("maps",)
    family = "without ground truth"
    published = Published(
        marks=tuple(rf"e_conv{i}(\.depth_conv)?\.weight" for i in range(1, 8)),
        arguments=_arguments,
    )

    def __init__(
        self,
        variant: Literal["base", "plus_plus"] = "base",
        width: int = 32,
        scale_factor: int = 1,
    ) -> None:
        super().__init__()
        require_one_of(("base", "plus_plus"), variant=variant)
        require_at_least(1, width=width, scale_factor=scale_factor)
        self.scale_factor = scale_factor
        self.whole_image = scale_factor > 1  # whose reduced copy has other pixels in a tile

        def conv(in_channels: int, out_channels: int) -> nn.Module:
            if variant == "plus_plus":
                return separable_conv(in_channels, out_channels)
            return nn.Conv2d(in_channels, out_channels, 3, padding=1)

        self.e_conv1 = conv(3, width)
        self.e_conv2 = conv(width, width)
        self.e_conv3 = conv(width, width)
        self.e_conv4 = conv(width, width)
        self.e_conv5 = conv(2 * width, width)
        self.e_conv6 = conv(2 * width, width)
        self.e_conv7 = conv(2 * width, 3 if variant == "plus_plus" else 3 * ITERATIONS)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.02)

    def curves(self, x: Tensor) -> Tensor:
        """The maps A in [-1, 1], (B, 24, H, W) or (B, 3, H, W), of images (B, 3, H, W)."""
        small = x
        if self.scale_factor > 1:
            size = [(n + self.scale_factor - 1) // self.scale_factor for n in x.shape[-2:]]
            small = F.interpolate(x, size, mode="bilinear", align_corners=False)
        x1 = torch.relu_(self.e_conv1(small))
        x2 = torch.relu_(self.e_conv2(x1))
        x3 = torch.relu_(self.e_conv3(x2))
        x4 = torch.relu_(self.e_conv4(x3))
        x5 = torch.relu_(self.e_conv5(torch.cat((x3, x4), 1)))
        x6 = torch.relu_(self.e_conv6(torch.cat((x2, x5), 1)))
        maps = torch.tanh(self.e_conv7(torch.cat((x1, x6), 1)))
        if self.scale_factor > 1:
            maps = F.interpolate(maps, x.shape[-2:], mode="bilinear", align_corners=True)
        return maps

    def outputs(self, lq: Tensor, gt: Tensor | None = None) -> dict[str, Tensor]:
        """The output and the maps of A, (B, 24, H, W) in order, or (B, 3, H, W)."""
        maps = self.curves(lq)
        each = maps.chunk(ITERATIONS, 1) if maps.shape[1] > 3 else [maps] * ITERATIONS
        output = lq
        for a in each:
            output = output + a * (output * output - output)
        return {"output": output, "maps": maps}

    def forward(self, x: Tensor) -> Tensor:
        """Enhance: (B, 3, H, W) in [0, 1] to the same shape and range."""
        return self.outputs(x)["output"]
