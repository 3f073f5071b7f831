"""SCI: Toward Fast, Flexible, and Robust Low-Light Image Enhancement (Ma et al., CVPR 2022).

Paper: https://arxiv.org/abs/2204.10137
Published code: github.com/vis-opt-group/SCI; its weights load strictly, without the copies that
their files hold of shared blocks.
Differs in: nothing. Folded, the normalisation is part of its convolution.
"""

from __future__ import annotations

from copy import deepcopy

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from enhancement.arguments import require_at_least

from .contract import Network
from .parts.convolution import conv3x3
from .published import Published, State

DARKEST = 1e-4  # illumination never falls below
CALIBRATION_BLOCKS = 3
CALIBRATE = "calibrate."


def normalised(in_channels: int, out_channels: int) -> list[nn.Module]:
    """A 3x3 convolution, batch norm and ReLU."""
    return [conv3x3(in_channels, out_channels), nn.BatchNorm2d(out_channels), nn.ReLU()]


class IlluminationEstimator(nn.Module):
    """Adds a residual to the image, which is the first guess of its own illumination."""

    def __init__(self) -> None:
        super().__init__()
        self.in_conv = nn.Sequential(conv3x3(3, 3), nn.ReLU())
        self.conv = nn.Sequential(*normalised(3, 3))
        self.out_conv = nn.Sequential(conv3x3(3, 3), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) to the illumination, the same shape in [1e-4, 1]."""
        feature = self.in_conv(x)
        feature = feature + self.conv(feature)
        return (self.out_conv(feature) + x).clamp(DARKEST, 1)


class Calibrator(nn.Module):
    """Estimates what a stage's reflectance shares with the next stage's input."""

    def __init__(self, dim: int = 16) -> None:
        super().__init__()
        self.in_conv = nn.Sequential(*normalised(3, dim))
        self.convs = nn.Sequential(*normalised(dim, dim), *normalised(dim, dim))
        self.out_conv = nn.Sequential(conv3x3(dim, 3), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) to the same shape: the residual to the input."""
        feature = self.in_conv(x)
        for _ in range(CALIBRATION_BLOCKS):
            feature = feature + self.convs(feature)
        return x - self.out_conv(feature)


@ARCH_REGISTRY.register()
class SCI(Network):
    """Divides the image by an illumination map that four convolutions of 3 channels estimate.

    258 parameters. They are trained as a cascade of stages that share them, each on what the one
    before it left, calibrated by a second network; enhancing takes the first stage alone.

    Args:
        stages: Of `outputs`, for training; the authors train with 3. Above 1 the calibrating
            network is there too (5,619 parameters).

    Raises:
        ValueError: `stages` is below 1.
    """

    extra_outputs = ("illumination", "stage_inputs", "stage_illuminations")
    family = "without ground truth"
    published = Published(
        marks=tuple(rf"enhance\.{part}\.0\.weight" for part in ("in_conv", "conv", "out_conv")),
        dropped=(r"^(enhance|calibrate)\.blocks\.",),
    )

    def __init__(self, stages: int = 1) -> None:
        super().__init__()
        require_at_least(1, stages=stages)
        self.number_of_stages = stages
        self.enhance = IlluminationEstimator()
        self.calibrate = Calibrator() if stages > 1 else None
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight, 1, 0.02)

    def own_names(self, state: State) -> State:
        """A state dict without the calibrator where the network has none."""
        return self.from_published(state)

    def from_published(self, state: State) -> State:
        """A published state dict as the network's own, without the calibrator where it has none."""
        own = super().from_published(state)
        if self.calibrate is None:
            own = {name: value for name, value in own.items() if not name.startswith(CALIBRATE)}
        return own

    def fold(self) -> SCI:
        """The first stage alone, its batch norm part of the convolution."""
        folded = SCI()
        folded.enhance = deepcopy(self.enhance).eval()
        conv, norm, activation = folded.enhance.conv
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        folded.enhance.conv = nn.Sequential(fuse_conv_bn_eval(conv, norm), activation)
        return folded

    def outputs(self, lq: Tensor, gt: Tensor | None = None) -> dict[str, Tensor]:
        """The output, its illumination (B, 3, H, W), and every stage's input and illumination.

        `stage_inputs` and `stage_illuminations` are (stages, B, 3, H, W).
        """
        inputs, illuminations = [lq], [self.enhance(lq)]
        output = (lq / illuminations[0]).clamp(0, 1)
        reflectance = output
        while self.calibrate is not None and len(inputs) < self.number_of_stages:
            inputs.append(lq + self.calibrate(reflectance))
            illuminations.append(self.enhance(inputs[-1]))
            reflectance = (lq / illuminations[-1]).clamp(0, 1)
        return {
            "output": output,
            "illumination": illuminations[0],
            "stage_inputs": torch.stack(inputs),
            "stage_illuminations": torch.stack(illuminations),
        }

    def forward(self, x: Tensor) -> Tensor:
        """Enhance: (B, 3, H, W) in [0, 1] to the same shape and range."""
        return (x / self.enhance(x)).clamp(0, 1)
