"""Smoothing with weights between neighbours: a sparse linear system, one unknown a pixel.

Solved by conjugate gradients, preconditioned by a multigrid cycle whose coarser images merge 2x2
pixels (Briggs, Henson and McCormick, A Multigrid Tutorial, https://doi.org/10.1137/1.9780898719505).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

DAMPING = 0.7  # of the Jacobi sweeps
SWEEPS = 2  # before and after the coarser image
TINY = 1e-300


def differences(x: Tensor) -> Tensor:
    """To the next row and the next column, 0 at the last: (B, 1, H, W) to (B, 2, H, W)."""
    down, right = x.diff(dim=2, append=x[:, :, -1:]), x.diff(dim=3, append=x[..., -1:])
    return torch.cat((down, right), 1)


def inflow(x: Tensor) -> Tensor:
    """The transpose of `differences`, for what is 0 at the last row and column.

    Args:
        x: (B, 2, H, W).

    Returns:
        (B, 1, H, W).
    """
    down, right = x.split(1, 1)
    before = F.pad(down, (0, 0, 1, 0))[:, :, :-1] + F.pad(right, (1, 0))[..., :-1]
    return before - down - right


class System:
    """A t = mass t + D^T (weights D t), with D the differences, on one level of the multigrid.

    Args:
        mass: (B, 1, H, W), above 0.
        weights: (B, 2, H, W), at least 0; those of the last row and column are taken as 0.
    """

    def __init__(self, mass: Tensor, weights: Tensor) -> None:
        down, right = weights.split(1, 1)
        down = F.pad(down[:, :, :-1], (0, 0, 0, 1))
        right = F.pad(right[..., :-1], (0, 1))
        self.mass, self.weights = mass, torch.cat((down, right), 1)
        before = F.pad(down, (0, 0, 1, 0))[:, :, :-1] + F.pad(right, (1, 0))[..., :-1]
        self.diagonal = mass + down + right + before

    def __call__(self, t: Tensor) -> Tensor:
        """A t."""
        return self.mass * t + inflow(self.weights * differences(t))

    def sweep(self, t: Tensor, b: Tensor) -> Tensor:
        """A better solution of A t = b by a damped Jacobi iteration."""
        return t + DAMPING * (b - self(t)) / self.diagonal

    def coarser(self) -> System:
        """The system of pixels merged 2x2."""
        down, right = _even(self.weights).split(1, 1)
        down, right = down[:, :, 1::2], right[..., 1::2]
        down = down[..., ::2] + down[..., 1::2]
        right = right[:, :, ::2] + right[:, :, 1::2]
        return System(_merged(self.mass), torch.cat((down, right), 1))


def solve(mass: Tensor, weights: Tensor, b: Tensor, iterations: int) -> Tensor:
    """The t of A t = b; see `System`.

    Args:
        mass, weights: Of A.
        b: (B, 1, H, W); also where the iterations begin.
        iterations: Of the conjugate gradients.

    Returns:
        (B, 1, H, W), in float64.
    """
    levels = [System(mass.double(), weights.double())]
    while max(levels[-1].mass.shape[-2:]) > 1:
        levels.append(levels[-1].coarser())
    t = b = b.double()
    residual = b - levels[0](t)
    direction = preconditioned = _cycle(levels, residual)
    product = _dot(residual, preconditioned)
    for _ in range(iterations):
        image = levels[0](direction)
        step = product / _dot(direction, image).clamp_min(TINY)
        t, residual = t + step * direction, residual - step * image
        preconditioned = _cycle(levels, residual)
        before, product = product, _dot(residual, preconditioned)
        direction = preconditioned + product / before.clamp_min(TINY) * direction
    return t


def _cycle(levels: list[System], b: Tensor) -> Tensor:
    """A rough solution of A t = b: sweeps, a correction by the coarser systems, sweeps."""
    system, coarser = levels[0], levels[1:]
    t = b / system.diagonal
    if not coarser:
        return t
    t = DAMPING * t
    for _ in range(SWEEPS - 1):
        t = system.sweep(t, b)
    correction = _cycle(coarser, _merged(b - system(t)))
    correction = correction.repeat_interleave(2, 2).repeat_interleave(2, 3)
    t = t + correction[:, :, : b.shape[2], : b.shape[3]]
    for _ in range(SWEEPS):
        t = system.sweep(t, b)
    return t


def _dot(x: Tensor, y: Tensor) -> Tensor:
    return (x * y).sum((1, 2, 3), keepdim=True)


def _even(x: Tensor) -> Tensor:
    """Zeros appended to an odd height or width."""
    return F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))


def _merged(x: Tensor) -> Tensor:
    """Sums over 2x2 pixels."""
    return 4 * F.avg_pool2d(_even(x), 2)
