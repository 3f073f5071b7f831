"""FLOL: Fast Baselines for Real-World Low-Light Enhancement (Benito et al., 2025), as FLOL+.

Paper: https://arxiv.org/abs/2501.09718
Published code: github.com/cidautai/FLOL; its weights load strictly (94,518 parameters).
Differs in: images are padded by reflection, where the published script pads by zeros; amplitudes
are divided in the complex plane, without taking the phase out and in again.
"""

from __future__ import annotations

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn
from torch.nn import functional as F

from enhancement.arguments import require_at_least

from .parts.fourier_blocks import FourierProcess, FrequencyProcess
from .parts.normalization import ChannelNorm
from .published import Published, Shapes, count_numbers
from .snr_frame import FourierFrame

AMPLITUDE_DIM = 8


class SpatialGate(nn.Module):
    """One half of the channels, each smoothed by itself, gates the other."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dwc = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 2 C, H, W) to (B, C, H, W)."""
        gate, features = x.chunk(2, 1)
        return self.dwc(gate) * features


class AmplitudeBlock(nn.Module):
    """Gated convolutions and a frequency process, then a gated feed-forward layer.

    As published, nothing goes past the first half: what `beta` scales is added to itself.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm1 = ChannelNorm(dim, eps=1e-6)
        self.conv1 = nn.Conv2d(dim, 2 * dim, 1)
        self.conv2 = nn.Conv2d(2 * dim, 2 * dim, 3, padding=1, groups=2 * dim)
        self.sge = SpatialGate(dim)
        self.fatt = FrequencyProcess(dim)
        self.conv3 = nn.Conv2d(dim, dim, 1)
        self.norm2 = ChannelNorm(dim, eps=1e-6)
        self.conv4 = nn.Conv2d(dim, 2 * dim, 1)
        self.conv5 = nn.Conv2d(dim, dim, 1)
        self.beta = nn.Parameter(torch.zeros(1, dim, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, dim, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        x = self.conv3(self.fatt(self.sge(self.conv2(self.conv1(self.norm1(x))))))
        x = x + self.beta * x
        a, b = self.conv4(self.norm2(x)).chunk(2, 1)
        return x + self.gamma * self.conv5(a * b)


class AmplitudeNet(nn.Module):
    """What the amplitudes are divided by, before the sigmoid, found at half the size."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv_init = nn.Conv2d(3, dim, 1)
        self.conv1 = AmplitudeBlock(dim)
        self.conv2 = AmplitudeBlock(dim)
        self.conv3 = AmplitudeBlock(dim)
        self.conv_out = nn.Conv2d(dim, 3, 1)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W), H and W even, to the same shape."""
        x = self.conv_init(F.interpolate(image, scale_factor=0.5, mode="bilinear"))
        x = self.conv_out(self.conv3(self.conv2(self.conv1(x))))
        return F.interpolate(x, size=image.shape[-2:], mode="bilinear")


class FrequencyBranch(nn.Module):
    """Frequency processes in a row, beside the identity."""

    def __init__(self, dim: int, num_blocks: int) -> None:
        super().__init__()
        self.block = nn.Sequential(*(FourierProcess(dim, spatial=False) for _ in range(num_blocks)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return self.block(x) + x


def _arguments(state: Shapes) -> dict[str, int]:
    return {
        "dim": len(state["conv_first_1.weight"]),
        "num_blocks": count_numbers(state, r"transformer\.block\.(\d+)\."),
    }


@ARCH_REGISTRY.register()
class FLOL(FourierFrame):
    """Enhanced Fourier amplitudes, then denoising guided by the SNR map; 94,518 parameters.

    Args:
        dim: Channels of the denoiser.
        num_blocks: Frequency processes of its far branch.

    Raises:
        ValueError: `dim` or `num_blocks` is below 1.
    """

    size_multiple = 8
    published = Published(
        marks=(r"AmpNet\.0\.conv_init\.weight", r"transformer\.block\.0\.cat\.weight"),
        arguments=_arguments,
    )

    def __init__(self, dim: int = 16, num_blocks: int = 4) -> None:
        require_at_least(1, dim=dim, num_blocks=num_blocks)
        super().__init__(dim, AmplitudeNet(AMPLITUDE_DIM), FrequencyBranch(dim, num_blocks))
