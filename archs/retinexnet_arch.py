"""RetinexNet: Deep Retinex Decomposition for Low-Light Enhancement (Wei et al., BMVC 2018).

Paper: https://arxiv.org/abs/1808.04560
The PyTorch form of github.com/aasharma90/RetinexNet_PyTorch, whose two files load strictly from the
folder that holds them.
Differs in: as that form does, the reflectance is not denoised (the paper's BM3D). The 1x1
convolution that fuses the scales pads nothing, and the one after it does: the same numbers.
"""

from __future__ import annotations

from typing import Literal

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn
from torch.nn import functional as F

from enhancement.arguments import require_at_least, require_one_of

from .contract import Network
from .published import Published


def edge_conv(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> nn.Conv2d:
    """A convolution that repeats the border's pixels beyond it."""
    padding = kernel_size // 2
    return nn.Conv2d(
        in_channels, out_channels, kernel_size, stride, padding, padding_mode="replicate"
    )


class Decomposition(nn.Module):
    """Decom-Net: an image as the product of reflectance and illumination."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.net1_conv0 = edge_conv(4, dim, 9)
        layers = [layer for _ in range(5) for layer in (edge_conv(dim, dim, 3), nn.ReLU())]
        self.net1_convs = nn.Sequential(*layers)
        self.net1_recon = edge_conv(dim, 4, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) to (B, 3, H, W) and (B, 1, H, W), both in [0, 1]."""
        brightest = x.amax(1, keepdim=True)
        feature = self.net1_convs(self.net1_conv0(torch.cat((brightest, x), 1)))
        reflectance, illumination = self.net1_recon(feature).sigmoid().split((3, 1), 1)
        return reflectance, illumination


def enlarge(x: Tensor, like: Tensor) -> Tensor:
    """(B, C, h, w) at another feature's height and width, by the nearest pixel."""
    return F.interpolate(x, size=like.shape[-2:])


class Relighting(nn.Module):
    """Enhance-Net: the illumination of the enhanced image, by an encoder and a decoder."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.net2_conv0_1 = edge_conv(4, dim, 3)
        self.net2_conv1_1 = edge_conv(dim, dim, 3, stride=2)
        self.net2_conv1_2 = edge_conv(dim, dim, 3, stride=2)
        self.net2_conv1_3 = edge_conv(dim, dim, 3, stride=2)
        self.net2_deconv1_1 = edge_conv(2 * dim, dim, 3)
        self.net2_deconv1_2 = edge_conv(2 * dim, dim, 3)
        self.net2_deconv1_3 = edge_conv(2 * dim, dim, 3)
        self.net2_fusion = nn.Conv2d(3 * dim, dim, 1)
        self.net2_output = edge_conv(dim, 1, 3)

    def forward(self, reflectance: Tensor, illumination: Tensor) -> Tensor:
        """(B, 3, H, W) and (B, 1, H, W) to (B, 1, H, W), unbounded."""
        full = self.net2_conv0_1(torch.cat((reflectance, illumination), 1))
        half = self.net2_conv1_1(full).relu()
        quarter = self.net2_conv1_2(half).relu()
        eighth = self.net2_conv1_3(quarter).relu()
        up1 = self.net2_deconv1_1(torch.cat((enlarge(eighth, quarter), quarter), 1)).relu()
        up2 = self.net2_deconv1_2(torch.cat((enlarge(up1, half), half), 1)).relu()
        up3 = self.net2_deconv1_3(torch.cat((enlarge(up2, full), full), 1)).relu()
        scales = torch.cat((enlarge(up1, full), enlarge(up2, full), up3), 1)
        return self.net2_output(self.net2_fusion(scales))


@ARCH_REGISTRY.register()
class RetinexNet(Network):
    """Decomposes an image, relights its illumination, multiplies; 555,205 parameters.

    Args:
        stage: 1 is the decomposition alone, whose output is the reflectance; 2 adds the relighting.
        dim: Channels.

    Raises:
        ValueError: `stage` is neither 1 nor 2, or `dim` is below 1.
    """

    published = Published(
        marks=(r"(.*/)?net1_conv0\.weight", r"(.*/)?net2_output\.weight"),
        arguments=lambda state: {
            "dim": next(v.shape[0] for k, v in state.items() if k.endswith("net1_conv0.weight"))
        },
        renames={
            r"^(?:.*/)?(net1_)": r"decomposition.\1",
            r"^(?:.*/)?(net2_)": r"relighting.\1",
        },
        parts={r"net1_.*": "decomposition", r"net2_.*": "relighting"},
    )

    def __init__(self, stage: Literal[1, 2] = 2, dim: int = 64) -> None:
        super().__init__()
        require_one_of((1, 2), stage=stage)
        require_at_least(1, dim=dim)
        self.decomposition = Decomposition(dim)
        self.relighting = Relighting(dim) if stage == 2 else None
        relit = ("relit",) if stage == 2 else ()
        of_gt = ("reflectance_gt", "illumination_gt")
        self.extra_outputs = ("reflectance", "illumination", *relit, *of_gt)

    def outputs(self, lq: Tensor, gt: Tensor | None = None) -> dict[str, Tensor]:
        """The output and what it is made of.

        Args:
            lq: (B, 3, H, W) in [0, 1].
            gt: The same shape.

        Returns:
            "reflectance" (B, 3, H, W) and "illumination" (B, 1, H, W) of `lq`, both in [0, 1]; in
            stage 2 "relit", the illumination of the output; for a `gt` also its "reflectance_gt"
            and "illumination_gt".
        """
        reflectance, illumination = self.decomposition(lq)
        found = {"output": reflectance, "reflectance": reflectance, "illumination": illumination}
        if self.relighting is not None:
            found["relit"] = self.relighting(reflectance, illumination)
            found["output"] = reflectance * found["relit"]
        if gt is not None:
            found["reflectance_gt"], found["illumination_gt"] = self.decomposition(gt)
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Enhance: (B, 3, H, W) in [0, 1] to the same shape, not clamped."""
        return self.outputs(x)["output"]
