"""DED-Net: a dual-enhancement network for low-light images on Retinexformer's code base.

No link is published. The authors' code does not run (the network's file has no .py ending and asks
for CUDA while being built); its arithmetic is kept, and its weights
(`body.0.{estimator,denoiser,feat_enhancer}`) load strictly into `ffn="dense"`.
Differs in: `ffn="separable"` is the default, because the paper's text claims depthwise-separable
convolutions where the published file has dense ones; the attention is computed with less work, see
retinexformer_arch.py.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from .contract import Network
from .parts.resizing import upsample_to
from .published import Published, Shapes
from .retinex_blocks import (
    IGR,
    PUBLISHED_MARKS,
    IlluminationEstimator,
    check_stages,
    published_arguments,
)


class ScaleAwareAggregation(nn.Module):
    """Weighs the full and the quarter scale against each other, head by head, at every pixel."""

    def __init__(self, dim: int = 24, num_heads: int = 8) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query_conv1 = nn.Conv2d(dim, dim, 3, 4, 1, groups=dim)
        self.key_conv = nn.Conv2d(dim, dim, 1, groups=dim)

    def forward(self, full: Tensor, quarter: Tensor) -> Tensor:
        """(B, 24, H, W) and (B, 24, H/4, W/4) to (B, 24, H, W)."""
        query, key = self.query_conv1(full), self.key_conv(quarter)
        both = torch.stack((query, key), 1).unflatten(2, (self.num_heads, -1))
        heads = key.unflatten(1, (self.num_heads, -1))[:, None]  # (B, 1, 8, 3, H/4, W/4)
        score = (both * heads).sum(3, keepdim=True) / both.shape[3] ** 0.25
        mixed = (score.softmax(1) * both).sum(1).flatten(1, 2)  # (B, 24, H/4, W/4)
        return upsample_to(mixed, full.shape[-2:], 4) + full


class IFE(nn.Module):
    """Illumination feature enhancement: one set of convolutions on three scales of the image."""

    def __init__(self, dim: int = 32, out_dim: int = 24) -> None:
        super().__init__()
        self.e_conv1 = nn.Conv2d(3, dim, 3, 1, 1)
        self.e_conv2 = nn.Conv2d(dim, dim, 3, 1, 1)
        self.e_conv3 = nn.Conv2d(dim, dim, 3, 1, 1)
        self.e_conv4 = nn.Conv2d(dim, dim, 3, 1, 1)
        self.e_conv5 = nn.Conv2d(2 * dim, dim, 3, 1, 1)
        self.e_conv6 = nn.Conv2d(2 * dim, dim, 3, 1, 1)
        self.e_conv7 = nn.Conv2d(2 * dim, out_dim, 3, 1, 1)
        self.ue_conv8 = nn.Conv2d(2 * out_dim, out_dim, 3, 1, 1)
        self.quarter_conv = nn.Conv2d(3, 3, 3, 4, 1)
        self.hexa_conv = nn.Conv2d(3, 3, 3, 2, 0)
        self.scale_aware_aggregation = ScaleAwareAggregation(out_dim)
        self.fin_conv = nn.Conv2d(out_dim, 3, 3, 1, 1)

    def features(self, image: Tensor) -> Tensor:
        """The seven shared convolutions: (B, 3, H, W) to (B, 24, H, W), the last without ReLU."""
        x1 = torch.relu(self.e_conv1(image))
        x2 = torch.relu(self.e_conv2(x1))
        x3 = torch.relu(self.e_conv3(x2))
        x4 = torch.relu(self.e_conv4(x3))
        x5 = torch.relu(self.e_conv5(torch.cat((x1, x4), 1)))
        x6 = torch.relu(self.e_conv6(torch.cat((x2, x3), 1)))
        return self.e_conv7(torch.cat((x5, x6), 1))

    def forward(self, image: Tensor) -> Tensor:
        """The enhanced image I_e: (B, 3, H, W) to the same shape; H and W at least 12."""
        quarter = self.quarter_conv(image)
        eighth = self.hexa_conv(quarter)
        full = torch.relu(self.features(image))
        mixed = self.scale_aware_aggregation(full, torch.relu(self.features(quarter)))
        coarse = upsample_to(self.features(eighth), image.shape[-2:], 8)
        x8 = torch.relu(self.ue_conv8(torch.cat((mixed, coarse), 1)))
        return torch.relu(self.fin_conv(x8)) + image


class DEDStage(nn.Module):
    """IFE, Retinex decoupling of the image and of its enhanced copy, IGR."""

    def __init__(
        self, dim: int, num_blocks: tuple[int, ...], ffn: Literal["separable", "dense"]
    ) -> None:
        super().__init__()
        self.estimator = IlluminationEstimator(dim)
        self.denoiser = IGR(dim, num_blocks, ffn=ffn)
        self.feat_enhancer = IFE()

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) to the same shape."""
        features, maps = self.estimator(image)
        more_features, more_maps = self.estimator(self.feat_enhancer(image) + image)
        guidance, illumination = (features + more_features) / 2, (maps + more_maps) / 2
        return self.denoiser(image * illumination + image, guidance)


def arguments_with_ffn(state: Shapes) -> dict[str, Any]:
    """Retinexformer's, and which kind of feed-forward it is."""
    separable = any(name.endswith(".depthwise_conv.weight") for name in state)
    return {**published_arguments(state), "ffn": "separable" if separable else "dense"}


@ARCH_REGISTRY.register()
class DEDNet(Network):
    """IFE + Retinex decoupling + IGR: 4,328,616 parameters, 45,190,696 with dense feed-forwards.

    Args:
        n_feat: Channels at full size.
        stage: How often the whole is repeated, each with weights of its own.
        num_blocks: Blocks of the two levels and of the bottleneck.
        ffn: "separable" as the paper says, "dense" as the published file has it.

    Raises:
        ValueError: `n_feat` is no multiple of 4, another number is below 1, or `num_blocks` does
            not have 3 entries.
    """

    size_multiple = 4
    smallest_size = 12  # the eighth-size image comes from an unpadded 3x3 on the quarter-size one
    published = Published(
        marks=(*PUBLISHED_MARKS, r"body\.0\.feat_enhancer\.e_conv1\.weight"),
        arguments=arguments_with_ffn,
    )

    def __init__(
        self,
        n_feat: int = 40,
        stage: int = 1,
        num_blocks: tuple[int, ...] = (1, 2, 2),
        ffn: Literal["separable", "dense"] = "separable",
    ) -> None:
        super().__init__()
        check_stages(n_feat, stage, num_blocks)
        self.body = nn.Sequential(*(DEDStage(n_feat, num_blocks, ffn) for _ in range(stage)))

    def forward(self, x: Tensor) -> Tensor:
        """Enhance: (B, 3, H, W) in [0, 1], H and W multiples of 4 from 12, to the same shape."""
        return self.body(x)
