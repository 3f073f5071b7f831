"""The guidance of a bilateral grid: one learned grey value for each pixel of the image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .slicing import hinge_guide


def bias_of(conv: nn.Conv2d) -> Tensor:
    """A convolution's bias, which it must have."""
    assert conv.bias is not None
    return conv.bias


def linear(conv: nn.Conv2d) -> Tensor:
    """A 1x1 convolution as a matrix with its bias as the last column."""
    return torch.cat((conv.weight[:, :, 0, 0], bias_of(conv)[:, None]), 1)


class CurveGuide(nn.Module):
    """The guidance: a colour matrix, then 16 learned hinges a channel, mixed to one channel."""

    sigmoid = False

    def __init__(self, num_hinges: int = 16) -> None:
        super().__init__()
        self.matrix = nn.Conv2d(3, 3, 1)
        self.shifts = nn.Parameter(torch.linspace(0, 1, num_hinges + 1)[:-1].repeat(3, 1))
        slopes = torch.zeros(3, num_hinges)
        slopes[:, 0] = 1
        self.slopes = nn.Parameter(slopes)
        self.mix = nn.Conv2d(3, 1, 1)
        with torch.no_grad():
            self.matrix.weight.copy_(torch.eye(3)[:, :, None, None])
            self.matrix.bias.zero_()  # type: ignore[union-attr]
            self.mix.weight.fill_(1 / 3)
            self.mix.bias.zero_()  # type: ignore[union-attr]

    def as_hinges(self) -> tuple[Tensor, Tensor, Tensor]:
        """The arguments of `hinge_guide` beside the image."""
        slopes = self.slopes * self.mix.weight.view(3, 1)
        return linear(self.matrix), torch.stack((slopes, self.shifts), -1), bias_of(self.mix)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, 1, H, W) in [0, 1]."""
        return hinge_guide(image, *self.as_hinges()).clamp(0, 1)


class PointwiseGuide(nn.Module):
    """The guidance by a point-wise network: 3 to 16 to 1 channels, ReLU and sigmoid."""

    sigmoid = True

    def __init__(self, num_features: int = 16) -> None:
        super().__init__()
        self.hidden = nn.Conv2d(3, num_features, 1)
        self.output = nn.Conv2d(num_features, 1, 1)

    def as_hinges(self) -> tuple[Tensor, Tensor, Tensor]:
        """The arguments of `hinge_guide` beside the image."""
        slopes = self.output.weight.view(-1, 1)
        hinges = torch.stack((slopes, torch.zeros_like(slopes)), -1)
        return linear(self.hidden), hinges, bias_of(self.output)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, 1, H, W) in (0, 1)."""
        return hinge_guide(image, *self.as_hinges()).sigmoid()
