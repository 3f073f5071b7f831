"""Retinexformer: One-stage Retinex-based Transformer for Low-light Image Enhancement.

Cai et al., ICCV 2023.

Paper: https://arxiv.org/abs/2303.06705
Published code: github.com/caiyuanhao1998/Retinexformer; its weights load strictly.
Differs in: the same numbers are computed with less work. Attention over channels needs only the
Gram matrix of the feature, so queries and keys are never formed for every pixel; channels lie last
in memory throughout, so nothing is permuted back and forth.
"""

from __future__ import annotations

from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from .contract import Network
from .published import Published
from .retinex_blocks import (
    IGR,
    PUBLISHED_MARKS,
    IlluminationEstimator,
    check_stages,
    published_arguments,
)


class RetinexStage(nn.Module):
    """Light the image up by an estimated map, then restore it under the light-up feature."""

    def __init__(self, dim: int, num_blocks: tuple[int, ...]) -> None:
        super().__init__()
        self.estimator = IlluminationEstimator(dim)
        self.denoiser = IGR(dim, num_blocks, ffn="depthwise")

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) to the same shape."""
        guidance, illumination = self.estimator(image)
        return self.denoiser(image * illumination + image, guidance)


@ARCH_REGISTRY.register()
class RetinexFormer(Network):
    """Illumination estimator and illumination-guided transformer, 1,605,701 parameters.

    Args:
        n_feat: Channels at full size.
        stage: How often the whole is repeated, each with weights of its own.
        num_blocks: Blocks of the two levels and of the bottleneck.

    Raises:
        ValueError: `n_feat` is no multiple of 4, another number is below 1, or `num_blocks` does
            not have 3 entries.
    """

    size_multiple = 4
    published = Published(marks=PUBLISHED_MARKS, arguments=published_arguments)

    def __init__(
        self, n_feat: int = 40, stage: int = 1, num_blocks: tuple[int, ...] = (1, 2, 2)
    ) -> None:
        super().__init__()
        check_stages(n_feat, stage, num_blocks)
        self.body = nn.Sequential(*(RetinexStage(n_feat, num_blocks) for _ in range(stage)))

    def forward(self, x: Tensor) -> Tensor:
        """Enhance: (B, 3, H, W) in [0, 1], H and W multiples of 4, to the same shape."""
        return self.body(x)
