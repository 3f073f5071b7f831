"""FourLLIE: Boosting Low-Light Image Enhancement by Fourier Frequency Information.

Wang et al., ACM MM 2023.

Paper: https://arxiv.org/abs/2308.03033
Published code: github.com/wangchx67/FourLLIE; its weights load strictly (119,446 parameters).
Differs in: amplitudes are divided in the complex plane, without taking the phase out and in again.
"""

from __future__ import annotations

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from enhancement.arguments import require_at_least

from .parts.fourier_blocks import FourierProcess
from .published import Published
from .snr_frame import FourierFrame

AMPLITUDE_DIM = 8


class AmplitudeNet(nn.Module):
    """What the amplitudes are divided by, before the sigmoid: a U of processes of one size."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv0 = nn.Sequential(nn.Conv2d(3, dim, 1), FourierProcess(dim))
        self.conv1 = FourierProcess(dim)
        self.conv2 = FourierProcess(dim)
        self.conv3 = FourierProcess(dim)
        self.conv4 = nn.Sequential(FourierProcess(2 * dim), nn.Conv2d(2 * dim, dim, 1))
        self.conv5 = nn.Sequential(FourierProcess(2 * dim), nn.Conv2d(2 * dim, dim, 1))
        self.convout = nn.Sequential(FourierProcess(2 * dim), nn.Conv2d(2 * dim, 3, 1))

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) to the same shape."""
        x = self.conv0(image)
        x1 = self.conv1(x)
        x2 = self.conv2(x1)
        x3 = self.conv3(x2)
        x4 = self.conv4(torch.cat((x2, x3), 1))
        x5 = self.conv5(torch.cat((x1, x4), 1))
        return self.convout(torch.cat((x, x5), 1))


class FrequencyBranch(nn.Module):
    """Five frequency processes in a row, beside the identity."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = FourierProcess(dim, spatial=False)
        self.conv2 = FourierProcess(dim, spatial=False)
        self.conv3 = FourierProcess(dim, spatial=False)
        self.conv4 = FourierProcess(dim, spatial=False)
        self.conv5 = FourierProcess(dim, spatial=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return self.conv5(self.conv4(self.conv3(self.conv2(self.conv1(x))))) + x


@ARCH_REGISTRY.register()
class FourLLIE(FourierFrame):
    """Enhanced Fourier amplitudes, then refinement guided by the SNR map; 119,446 parameters.

    Args:
        dim: Channels of the second stage.

    Raises:
        ValueError: `dim` is below 1.
    """

    smallest_size = 8
    published = Published(
        marks=(r"AmpNet\.0\.conv0\.0\.weight", r"transformer\.conv1\.cat\.weight"),
        arguments=lambda state: {"dim": len(state["conv_first_1.weight"])},
    )

    def __init__(self, dim: int = 16) -> None:
        require_at_least(1, dim=dim)
        super().__init__(dim, AmplitudeNet(AMPLITUDE_DIM), FrequencyBranch(dim))
