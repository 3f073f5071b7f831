"""RUAS: Retinex-inspired Unrolling with Cooperative Prior Architecture Search for Low-light Image
Enhancement (Liu et al., CVPR 2021).

Paper: https://arxiv.org/abs/2012.05609
Published code: github.com/KarelZhang/RUAS; its weights load strictly. Both cells are those that
the authors' search found.
Differs in: nothing.
"""

from __future__ import annotations

from typing import Any

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn
from torch.nn import functional as F

from .contract import Network
from .published import Published, Shapes, State

DARKEST = 1e-3  # illumination never falls below
DENOISER = "denoise_net."
# kernel, dilation and whether the operation adds its own input; what is not named is the identity
Operations = dict[str, tuple[int, int, bool]]
ILLUMINATION_CELL: Operations = {
    "c1_r": (1, 1, True),
    "c2_d": (3, 2, True),
    "c2_r": (3, 1, False),
    "c3_d": (3, 1, False),
    "c4": (3, 1, False),
}
NOISE_CELL: Operations = {
    "c1_d": (1, 1, True),
    "c1_r": (1, 1, True),
    "c2_d": (3, 2, True),
    "c3_d": (1, 1, True),
    "c3_r": (1, 1, True),
}


def _arguments(state: Shapes) -> dict[str, Any]:
    """Whether there is a denoiser, from the names."""
    return {"denoise": any(name.startswith(DENOISER) for name in state)}


def activate(x: Tensor) -> Tensor:
    """The leaky ReLU of the cells."""
    return F.leaky_relu(x, 0.05)


class Operation(nn.Module):
    """A convolution of the search space."""

    def __init__(self, dim: int, kernel: int, dilation: int, residual: bool) -> None:
        super().__init__()
        padding = dilation * (kernel // 2)
        self.op = nn.Conv2d(dim, dim, kernel, padding=padding, dilation=dilation)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return self.op(x) + x if self.residual else self.op(x)


class Cell(nn.Module):
    """Distils features in three steps, each of which refines the rest for the next one.

    Args:
        dim: Channels.
        operations: The searched operation of each place.
    """

    def __init__(self, dim: int, operations: Operations) -> None:
        super().__init__()

        def operation(place: str) -> nn.Module:
            return Operation(dim, *operations[place]) if place in operations else nn.Identity()

        self.c1_d, self.c1_r = operation("c1_d"), operation("c1_r")
        self.c2_d, self.c2_r = operation("c2_d"), operation("c2_r")
        self.c3_d, self.c3_r = operation("c3_d"), operation("c3_r")
        self.c4 = operation("c4")
        self.c5 = nn.Conv2d(4 * dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        d1, r1 = activate(self.c1_d(x)), activate(self.c1_r(x) + x)
        d2, r2 = activate(self.c2_d(r1)), activate(self.c2_r(r1) + r1)
        d3, r3 = activate(self.c3_d(r2)), activate(self.c3_r(r2) + r2)
        return self.c5(torch.cat((d1, d2, d3, activate(self.c4(r3))), 1))


class IlluminationModule(nn.Module):
    """One unrolled step of illumination estimation."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = Cell(3, ILLUMINATION_CELL)

    def forward(self, x: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        """The next u and illumination t, (B, 3, H, W), from the image x and the last u."""
        guess = brightest_nearby(u) - 0.5 * (u - x)
        t = torch.sigmoid(self.cell(guess)).clamp(DARKEST, 1)
        return (x / t).clamp(0, 1), t


class Enhancer(nn.Module):
    """Three steps of illumination estimation, each with weights of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.iems = nn.ModuleList(IlluminationModule() for _ in range(3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The enhanced image and the illumination, (B, 3, H, W) each."""
        u = t = x
        for step in self.iems:
            u, t = step(x, u)
        return u, t


class Denoiser(nn.Module):
    """Takes away the noise that three cells find."""

    def __init__(self, dim: int = 6) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, dim, 3, padding=1)
        self.nrms = nn.Sequential(*(Cell(dim, NOISE_CELL) for _ in range(3)))
        self.activate = nn.Sequential(nn.Conv2d(dim, 3, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) to the same shape."""
        return x - self.activate(self.nrms(self.stem(x)))


def brightest_nearby(x: Tensor) -> Tensor:
    """The maximum of each pixel, its neighbours to the right and below and the one between them;
    zero beyond the border."""
    return F.max_pool2d(F.pad(x, (0, 1, 0, 1)), 2, 1)


@ARCH_REGISTRY.register()
class RUAS(Network):
    """Estimates illumination by three unrolled steps and removes noise; 3,438 parameters.

    Args:
        denoise: With the denoiser, as the authors use their `lol` weights; their `upe` and `dark`
            weights are used without.
    """

    extra_outputs = ("before_denoise", "illumination")
    family = "without ground truth"
    published = Published(
        marks=(r"enhance_net\.iems\.0\.cell\.c1_r\.op\.weight",), arguments=_arguments
    )

    def __init__(self, denoise: bool = True) -> None:
        super().__init__()
        self.enhance_net = Enhancer()
        self.denoise_net = Denoiser() if denoise else None

    def own_names(self, state: State) -> State:
        """A state dict without the denoiser where the network has none."""
        return self.from_published(state)

    def from_published(self, state: State) -> State:
        """A published state dict without the denoiser where the network has none."""
        own = super().from_published(state)
        if self.denoise_net is None:
            own = {name: value for name, value in own.items() if not name.startswith(DENOISER)}
        return own

    def outputs(self, lq: Tensor, gt: Tensor | None = None) -> dict[str, Tensor]:
        """The output, the image before denoising and its illumination, (B, 3, H, W) each.

        The denoiser's gradient ends at its input: the two parts are trained apart.
        """
        enhanced, illumination = self.enhance_net(lq)
        output = enhanced if self.denoise_net is None else self.denoise_net(enhanced.detach())
        return {"output": output, "before_denoise": enhanced, "illumination": illumination}

    def forward(self, x: Tensor) -> Tensor:
        """Enhance: (B, 3, H, W) in [0, 1] to the same shape, not clamped if denoised."""
        enhanced, _ = self.enhance_net(x)
        return enhanced if self.denoise_net is None else self.denoise_net(enhanced)
