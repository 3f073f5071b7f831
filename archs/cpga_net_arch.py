"""CPGA-Net: Channel Prior and Gamma Correction (Weng et al., 2024), and its successors.

Papers: https://arxiv.org/abs/2402.18147 (CPGA-Net), https://arxiv.org/abs/2409.05274 (CPGA-Net+)
Published files of all three load strictly; the first one's are renamed.
Differs in: before training, gamma and transmission start near 1 instead of at random, and the
narrowest layers before a ReLU (one and three channels) with positive weights, since clamps and
ReLUs let no gradient through to what starts below 0.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from enhancement.arguments import require_at_least, require_multiple, require_one_of
from enhancement.colour import luma

from .contract import Network
from .parts.cpga_blocks import (
    CPBlock,
    Fusion,
    GammaEstimator,
    MaskedFusion,
    PlusGammaEstimator,
    ResBlock,
)
from .parts.haze import start_at_identity
from .parts.tile_context import global_statistics
from .published import Published, Shapes, count_numbers

VARIANTS = ("base", "plus", "plus_plus")


class PriorTransmission(nn.Module):
    """AOD-Net's convolutions on the channels' maximum and minimum and on the luma."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 3, 1)
        self.conv2 = nn.Conv2d(3, 3, 3, padding=1)
        self.conv3 = nn.Conv2d(6, 3, 5, padding=2)
        self.conv4 = nn.Conv2d(6, 3, 7, padding=3)
        self.conv5 = nn.Conv2d(12, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, 1, H, W), at least 0."""
        priors = (image.amax(1, keepdim=True), image.amin(1, keepdim=True), luma(image))
        x1 = torch.relu(self.conv1(torch.cat(priors, 1)))
        x2 = torch.relu(self.conv2(x1))
        x3 = torch.relu(self.conv3(torch.cat((x1, x2), 1)))
        x4 = torch.relu(self.conv4(torch.cat((x2, x3), 1)))
        return torch.relu(self.conv5(torch.cat((x1, x2, x3, x4), 1)))


class PriorAirlight(nn.Module):
    """The airlight from the image by residual blocks."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1_A = nn.Conv2d(3, dim, 1)
        self.conv2_A, self.conv3_A = ResBlock(dim), ResBlock(dim)
        self.conv4_A = nn.Conv2d(dim, 3, 1)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) to the same shape."""
        x = torch.relu(self.conv2_A(self.conv1_A(image)))
        return self.conv4_A(self.conv3_A(x))


class ChannelPrior(nn.Module):
    """The atmospheric scattering model (x - A) t + A."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.t_module = PriorTransmission()
        self.a_module = PriorAirlight(dim)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) to the same shape, in [1e-9, 1]."""
        airlight = self.a_module(image)
        return ((image - airlight) * self.t_module(image) + airlight).clamp(1e-9, 1.0)


def published_arguments(state: Shapes) -> dict[str, Any]:
    """Variant, width and blocks of a published file."""
    if "cpblks_pre.a_module.conv1_A.weight" in state:
        masked = any(name.startswith("iaaf.conv_scoring.") for name in state)
        return {
            "variant": "plus_plus" if masked else "plus",
            "dim": state["cpblks_pre.a_module.conv1_A.weight"].shape[0],
            "num_blocks": count_numbers(state, r"cpblks\.(\d+)\."),
        }
    found = next(name for name in state if name.endswith("conv1_A.weight"))
    return {"variant": "base", "dim": state[found].shape[0]}


@ARCH_REGISTRY.register()
class CPGANet(Network):
    """The scattering model brightens, one gamma for the image corrects, and both are fused.

    25,394 parameters; CPGA-Net+ has 60,378, CPGA-Net++ 62,304.

    Args:
        variant: "base" is CPGA-Net, "plus" CPGA-Net+, "plus_plus" CPGA-Net++.
        dim: Channels of the scattering model, even; by itself 16 in "base" and 8 in the others.
        num_blocks: CP blocks between the first and the last one; "base" has none.

    Raises:
        ValueError: `variant` is none of the three, `dim` is odd or below 2, or `num_blocks` is
            below 1.
    """

    published = Published(
        marks=(
            r"(ga_est\.)?conv4_g\.weight",
            r"(iaaf\.)?conv3_post_g\.weight",
            r"(ga_est\.)?conv2_g\.(0\.)?sa\.conv1\.weight",
        ),
        arguments=published_arguments,
        renames={
            r"^(?=conv\d_g\.)": "ga_est.",
            r"^(?=conv\d_post_g\.)": "iaaf.",
            r"^ll\.(?=conv\d_A\.)": "cpnet.a_module.",
            r"^ll\.(?=conv\d\.)": "cpnet.t_module.",
        },
    )

    def __init__(
        self,
        variant: Literal["base", "plus", "plus_plus"] = "base",
        dim: int | None = None,
        num_blocks: int = 2,
    ) -> None:
        super().__init__()
        require_one_of(VARIANTS, variant=variant)
        dim = (16 if variant == "base" else 8) if dim is None else dim
        require_multiple(2, dim=dim)
        require_at_least(1, num_blocks=num_blocks)
        self.variant = variant
        if variant == "base":
            self.cpnet = ChannelPrior(dim)
            self.ga_est: nn.Module = GammaEstimator()
            self.iaaf: nn.Module = Fusion(3, nn.ReLU, lowest=1e-9)
        else:
            self.size_multiple = 2
            convnext = variant == "plus_plus"
            self.cpblks_pre = CPBlock(3, dim, dim, convnext)
            self.cpblks = nn.ModuleList(CPBlock(dim, dim, dim, convnext) for _ in range(num_blocks))
            self.cpblk_post = CPBlock(dim, 3, dim, convnext)
            self.ga_est = PlusGammaEstimator()
            self.iaaf = MaskedFusion(3) if convnext else Fusion(3, nn.ReLU, lowest=1e-4)
            self.iaafblks = nn.ModuleList(
                MaskedFusion(dim) if convnext else Fusion(dim, nn.GELU, lowest=1e-4)
                for _ in range(num_blocks)
            )
            if convnext:
                self.iaaf_masking_rate = nn.Parameter(torch.full((1,), 0.5))
                self.iaafblks_masking_rate = nn.Parameter(torch.full((num_blocks,), 0.5))
        self._start()

    def _start(self) -> None:
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
                if name.endswith(("ca.fc.0", "t_module.conv1")):
                    module.weight.data.abs_()
            if name.endswith(("conv4_g", "t_module.conv5", "t_module.postp")):
                assert isinstance(module, nn.Conv2d)
                start_at_identity(module)

    def forward(self, x: Tensor) -> Tensor:
        """Enhance: (B, 3, H, W) in [0, 1] to the same shape in [0, 1]; H and W even but in base."""
        gamma = global_statistics(lambda: self.ga_est(x))
        if self.variant == "base":
            return self.iaaf(gamma, self.cpnet(x))
        y = self.cpblks_pre(x)
        for i, (block, fusion) in enumerate(zip(self.cpblks, self.iaafblks, strict=True)):
            z = block(y) + y
            rate = (z, self.iaafblks_masking_rate[i : i + 1]) if self.masked else ()
            y = fusion(gamma, z, *rate) + z
        light = self.cpblk_post(y) + x
        if self.masked:
            return self.iaaf(gamma, light, x, self.iaaf_masking_rate)
        return self.iaaf(gamma, light)

    @property
    def masked(self) -> bool:
        """Whether the fusions are CPGA-Net++'s."""
        return self.variant == "plus_plus"
