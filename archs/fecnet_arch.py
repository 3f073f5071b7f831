"""FECNet: Deep Fourier-based Exposure Correction Network with Spatial-Frequency Interaction.

Huang et al., ECCV 2022.

Paper: https://www.ecva.net/papers/eccv_2022/papers_ECCV/html/4678_ECCV_2022_paper.php
Published code: github.com/KevinJ-Huang/FECNet; its weights load strictly, but for one layer that is
never used (151,965 of 151,977 parameters).
Differs in: odd widths work; the published phase network loses a column of them.
"""

from __future__ import annotations

from typing import Literal

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn
from torch.nn import functional as F

from enhancement.arguments import require_at_least

from .contract import Network
from .parts.fourier_blocks import (
    NO_ONNX,
    SLOPE,
    SpatialProcess,
    direction,
    from_polar,
    half_spectrum,
    pointwise_pair,
)
from .published import Published

Mode = Literal["amplitude", "phase"]


class FrequencyProcess(nn.Module):
    """1x1 convolutions of a spectrum's amplitude or phase; the other is kept."""

    def __init__(self, dim: int, mode: Mode) -> None:
        super().__init__()
        self.process = pointwise_pair(dim, dim)
        self.mode = mode

    def forward(self, spectrum: Tensor) -> Tensor:
        """(B, C, H, W // 2 + 1), complex, to the same shape."""
        if self.mode == "amplitude":
            return self.process(spectrum.abs()) * direction(spectrum)
        return from_polar(spectrum.abs(), self.process(spectrum.angle()))


class Interaction(nn.Module):
    """A spatial and a frequency branch that each hand their features to the other once."""

    def __init__(self, dim: int, mode: Mode) -> None:
        super().__init__()
        self.fpre = nn.Conv2d(dim, dim, 1)
        self.spatial_process1 = SpatialProcess(dim)
        self.frequency_process1 = FrequencyProcess(dim, mode)
        self.frequency_spatial = nn.Conv2d(dim, dim, 3, padding=1)
        self.spatial_frequency = nn.Conv2d(dim, dim, 3, padding=1)
        self.spatial_process2 = SpatialProcess(dim)
        self.frequency_process2 = FrequencyProcess(dim, mode)
        self.cat = nn.Conv2d(2 * dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        size = x.shape[-2:]
        frequency = self.frequency_process1(half_spectrum(self.fpre(x)))
        spatial = self.spatial_process1(x)
        spatial = spatial + self.frequency_spatial(torch.fft.irfft2(frequency, s=size))
        frequency = frequency + half_spectrum(self.spatial_frequency(spatial))
        back = torch.fft.irfft2(self.frequency_process2(frequency), s=size)
        return self.cat(torch.cat((self.spatial_process2(spatial), back), 1)) + x


class AmplitudeNet(nn.Module):
    """The first stage, a U-Net that corrects amplitudes."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(3, dim, 1)
        self.conv1 = Interaction(dim, "amplitude")
        self.downsample1 = nn.Conv2d(dim, 2 * dim, 2, 2)
        self.conv2 = Interaction(2 * dim, "amplitude")
        self.downsample2 = nn.Conv2d(2 * dim, 3 * dim, 2, 2)
        self.conv3 = Interaction(3 * dim, "amplitude")
        self.up1 = nn.ConvTranspose2d(5 * dim, 2 * dim, 1)
        self.conv4 = Interaction(2 * dim, "amplitude")
        self.up2 = nn.ConvTranspose2d(3 * dim, dim, 1)
        self.conv5 = Interaction(dim, "amplitude")
        self.convout = nn.Conv2d(dim, 3, 1)
        self.convoutfinal = nn.Conv2d(3, 3, 1)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) to the same shape."""
        full = self.conv1(self.conv0(image))
        half = self.conv2(self.downsample1(full))
        x = self.conv3(self.downsample2(half))
        x = self.conv4(self.up1(_beside(x, half)))
        x = self.conv5(self.up2(_beside(x, full)))
        return self.convoutfinal(self.convout(x) + image)


class PhaseFusion(nn.Module):
    """Joins the first stage with its amplitude under the input's phase, then gates the result."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.process = nn.Sequential(
            nn.Conv2d(6, 1, 3, padding=1),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.Conv2d(1, 6, 3, padding=1),
            nn.Sigmoid(),
        )
        self.cat = nn.Conv2d(6, dim, 1)

    def forward(self, stage: Tensor, image: Tensor) -> Tensor:
        """Of two (B, 3, H, W): (B, C, H, W)."""
        spectrum = half_spectrum(stage).abs() * direction(half_spectrum(image))
        x = torch.cat((stage, torch.fft.irfft2(spectrum, s=image.shape[-2:])), 1)
        spread, mean = torch.std_mean(x, (2, 3), correction=0, keepdim=True)
        return self.cat(x * self.process(spread + mean))


class Modulation(nn.Module):
    """A feature beside itself scaled and shifted by another (a spatial feature transform)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.convmul = nn.Conv2d(dim, dim, 3, padding=1)
        self.convadd = nn.Conv2d(dim, dim, 3, padding=1)
        self.convfuse = nn.Conv2d(2 * dim, dim, 1)

    def forward(self, x: Tensor, change: Tensor) -> Tensor:
        """Of two (B, C, H, W): the same shape."""
        moved = x * self.convmul(change) + self.convadd(change)
        return self.convfuse(torch.cat((x, moved), 1))


class PhaseNet(nn.Module):
    """The second stage, which corrects phases, guided by what the first stage has changed."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv0 = PhaseFusion(dim)
        self.conv1 = Interaction(dim, "phase")
        self.conv2 = Interaction(dim, "phase")
        self.conv3 = Interaction(dim, "phase")
        self.conv4 = Interaction(dim, "phase")
        self.convout = nn.Conv2d(dim, 3, 1)
        # its output is detached in the published code, so that it stays as random as it starts
        self.trans = nn.Conv2d(3, dim, 1).requires_grad_(False)
        self.combine1 = Modulation(dim)
        self.combine2 = Modulation(dim)

    def forward(self, stage: Tensor, image: Tensor) -> Tensor:
        """Of two (B, 3, H, W): the same shape."""
        change = self.trans(stage - image).detach()
        x = self.combine1(self.conv1(self.conv0(stage, image)), change)
        x = self.combine2(self.conv2(x), change)
        return self.convout(self.conv4(self.conv3(x))) + image


@ARCH_REGISTRY.register()
class FECNet(Network):
    """Corrects exposure by amplitudes first, then by phases; 151,965 parameters.

    Args:
        dim: Channels of the first stage at full size; the second stage has twice as many.

    Raises:
        ValueError: `dim` is below 1.
    """

    smallest_size = 4
    whole_image = True
    no_onnx = NO_ONNX
    fp16 = False
    extra_outputs = ("amplitude_stage",)
    published = Published(
        marks=(r"AmplitudeNet\.conv0\.weight", r"PhaseNet\.conv0\.cat\.weight"),
        arguments=lambda state: {"dim": len(state["AmplitudeNet.conv0.weight"])},
        dropped=(r"^AmplitudeNet\.pro\.",),
    )

    def __init__(self, dim: int = 8) -> None:
        super().__init__()
        require_at_least(1, dim=dim)
        self.AmplitudeNet = AmplitudeNet(dim)
        self.PhaseNet = PhaseNet(2 * dim)

    def outputs(self, lq: Tensor, gt: Tensor | None = None) -> dict[str, Tensor]:
        """The output, and that of the first stage, (B, 3, H, W)."""
        stage = self.AmplitudeNet(lq)
        return {"output": self.PhaseNet(stage, lq), "amplitude_stage": stage}

    def forward(self, x: Tensor) -> Tensor:
        """Enhance: (B, 3, H, W) in [0, 1], from 4x4, to the same shape, not clamped."""
        return self.outputs(x)["output"]


def _beside(x: Tensor, skip: Tensor) -> Tensor:
    """A feature enlarged to the size of another, and that one beside it."""
    return torch.cat((F.interpolate(x, size=skip.shape[-2:], mode="bilinear"), skip), 1)
