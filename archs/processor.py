"""Layers that a processor computes with less work and memory where nothing is trained.

Their images lie in memory with channels last. 3x3 convolutions go Winograd's way
(convolution_kernels.py), which adds an error of up to 1e-4 of the output's standard deviation (1e-5
to 5e-5 measured for 16 to 256 channels), so they are for networks whose outputs stay the same
within 1e-4; their tests say so. It gives the same bits each time, on any number of threads.
Within `plain_arithmetic()` all of this is off.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .bilateral.launch import run_kernel
from .blocks import to_image, to_pixels

CACHE = 3 * 2**18  # bytes that a thread works on at a time: three quarters of a core's own cache
PIXELS = 2**14  # of a function of single pixels at once
SMALLEST_SIDE = 24  # below, the plain convolution is as fast
LANES = 16  # channels are taken so many at a time

Slope = float | Tensor
_plain = ContextVar("plain", default=False)


@contextmanager
def plain_arithmetic() -> Iterator[None]:
    """What is called in this context (and thread) is computed by PyTorch's own layers."""
    token = _plain.set(True)
    try:
        yield
    finally:
        _plain.reset(token)


def saves(*_: object, **__: object) -> bool:
    """Never: the networks are being written plainly."""
    return False


def conv3x3(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    dilation: int = 1,
    slope: Slope = 1.0,
    beside: Tensor | None = None,
) -> Tensor:
    """A 3x3 convolution of stride 1 that keeps the size, padded with zeros.

    Args:
        x: (B, C, H, W).
        weight: (D, C, 3, 3).
        bias: (D,).
        dilation: Pixels between two taps; n means n x n interleaved images.
        slope: Of a leaky ReLU behind it: 0 is a ReLU, 1 nothing; a PReLU's is a tensor of one.
        beside: (B, C', H, W), the rest of the channels, C + C' in the weight.

    Returns:
        (B, D, H, W).
    """
    images = [x] if beside is None else [x, beside]
    channels = [image.shape[1] for image in images]
    if saves(x, beside, weight, bias, slope=slope, side=SMALLEST_SIDE) and (
        len(weight) >= LANES
        and not any(count % LANES for count in channels)
        and sum(channels) == weight.shape[1]
        and (beside is None or x[:, :1].shape == beside[:, :1].shape)
        and _counts(bias, len(weight))
    ):
        return _winograd(images, weight, bias, dilation, slope)
    if beside is None:
        return _activate(F.conv2d(x, weight, bias, padding=dilation, dilation=dilation), slope)
    of_x, rest = weight[:, : channels[0]], weight[:, channels[0] :]
    y = F.conv2d(x, of_x, bias, padding=dilation, dilation=dilation)
    y = y + F.conv2d(beside, rest, padding=dilation, dilation=dilation)
    return _activate(y, slope)


def _activate(y: Tensor, slope: Slope) -> Tensor:
    if isinstance(slope, Tensor):
        return F.prelu(y, slope)
    if slope == 0:
        return F.relu_(y)
    return y if slope == 1 else F.leaky_relu_(y, slope)


def _counts(bias: Tensor | None, channels: int) -> bool:
    """Whether a bias is one of so many channels."""
    return bias is None or bias.shape == (channels,)


def _winograd(
    images: list[Tensor], weight: Tensor, bias: Tensor | None, dilation: int, slope: Slope
) -> Tensor:
    from . import convolution_kernels as kernels

    batch, _, height, width = images[0].shape
    out_channels, in_channels = weight.shape[:2]
    blocks = -(-out_channels // kernels.COLUMNS)
    domain = _scratch(kernels.DOMAIN * blocks * in_channels * kernels.COLUMNS)
    domain = domain.view(kernels.DOMAIN, blocks, in_channels, kernels.COLUMNS)
    _run("weights_into_domain", weight.contiguous(), domain.unflatten(0, (kernels.AROUND, -1)))
    offset = weight.new_zeros(blocks * kernels.COLUMNS)
    if bias is not None:
        offset[:out_channels] = bias
    side = kernels.TILE * dilation
    workers = torch.get_num_threads()
    share = -(-(dilation**2) * -(-height // side) * -(-width // side) // workers)
    most = max(1, CACHE // (4 * kernels.DOMAIN * (in_channels + kernels.COLUMNS)))
    tiles = -(-share // -(-share // most))  # at a time; as many each time
    tiles = -(-tiles // kernels.ROWS) * kernels.ROWS
    first, *rest = (pixels(image) for image in images)
    second = rest[0] if rest else first[..., :0]
    y = first.new_empty(batch, height, width, out_channels)
    for i in range(batch):
        _run("convolve", first[i], second[i].contiguous(), domain, offset, float(slope), dilation,
             y[i], workers, tiles)  # fmt: skip
    return y.permute(0, 3, 1, 2)


class _Scratch(threading.local):
    """A thread's memory for weights in Winograd's domain, kept, for new memory takes time."""

    memory = torch.empty(0, dtype=torch.float32, device="cpu")


_own = _Scratch()


def _scratch(count: int) -> Tensor:
    if _own.memory.numel() < count:
        _own.memory = torch.empty(count, dtype=torch.float32, device="cpu")
    return _own.memory[:count]


def pixels(x: Tensor) -> Tensor:
    """(B, C, H, W) as (B, H, W, C), contiguous; no copy where channels lie last in memory."""
    return x.permute(0, 2, 3, 1).contiguous()


def _run(name: str, *arguments: Tensor | float) -> None:
    run_kernel(
        "convolution_kernels", name,
        *(np.float32(a) if isinstance(a, float) else a for a in arguments),
    )  # fmt: skip


def mix(
    x: Tensor,
    matrix: Tensor,
    bias: Tensor | None = None,
    onto: Tensor | None = None,
    slope: Slope = 1.0,
) -> Tensor:
    """A matrix applied to each pixel's channels: a 1x1 convolution.

    Args:
        x: (B, C, H, W).
        matrix: (D, C), or one an image, (B, D, C).
        bias: (D,), or one an image, (B, D).
        onto: (B, D, H, W) that the result is added to, not x itself; it may be overwritten where
            gradients are off.
        slope: Of a leaky ReLU behind all that, as for `conv3x3`.

    Returns:
        (B, D, H, W).
    """
    if not saves(x, matrix, bias, onto, slope=slope) or not (
        matrix.shape[-1] == x.shape[1]
        and (bias is None or bias.shape[-1] == matrix.shape[-2])
        and (onto is None or onto.shape == (len(x), matrix.shape[-2], *x.shape[-2:]))
    ):
        y = to_image(to_pixels(x) @ matrix.transpose(-1, -2), x)
        y = y if bias is None else y + bias[..., None, None]
        return _activate(y if onto is None else onto + y, slope)
    from .convolution_kernels import COLUMNS

    batch, _, height, width = x.shape
    channels = matrix.shape[-2]
    missing = -channels % COLUMNS
    blocks = F.pad(matrix, (0, 0, 0, missing)).unflatten(-2, (-1, COLUMNS))
    blocks = blocks.transpose(-1, -2).contiguous().expand(batch, -1, -1, -1)
    offset = x.new_zeros(batch, channels + missing)
    if bias is not None:
        offset[:, :channels] = bias
    image = pixels(x)
    if onto is None:
        y = x.new_empty(batch, height, width, channels)
    else:
        y = pixels(onto.clone() if torch.is_grad_enabled() else onto)
        y = y if bias is None else y.add_(offset[:, None, None, :channels])
    for i in range(batch):
        _run("mix", image[i].flatten(0, 1), blocks[i], offset[i], onto is not None, float(slope),
             y[i].flatten(0, 1))  # fmt: skip
    return y.permute(0, 3, 1, 2)


class Conv1x1(nn.Conv2d):
    """A 1x1 convolution by `mix`."""

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True) -> None:
        super().__init__(in_channels, out_channels, 1, bias=bias)

    def forward(self, x: Tensor, slope: Slope = 1.0) -> Tensor:
        """(B, C, H, W) to (B, D, H, W); see `mix`."""
        return mix(x, self.weight.flatten(1), self.bias, slope=slope)


class Conv3x3(nn.Conv2d):
    """`conv3x3` as a layer."""

    def __init__(
        self, in_channels: int, out_channels: int, bias: bool = True, dilation: int = 1
    ) -> None:
        super().__init__(
            in_channels, out_channels, 3, padding=dilation, bias=bias, dilation=dilation
        )

    def forward(self, x: Tensor, slope: Slope = 1.0, beside: Tensor | None = None) -> Tensor:
        """(B, C, H, W) to (B, D, H, W); see `conv3x3`."""
        return conv3x3(x, self.weight, self.bias, self.dilation[0], slope, beside)


class PReLU(nn.PReLU):
    """A PReLU of one slope that overwrites its input where nothing is trained."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        if torch.is_grad_enabled() or not saves(x, slope=self.weight):
            return super().forward(x)
        return F.leaky_relu_(x, self.weight.item())


def depthwise(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    reflect: bool = False,
    slope: Slope = 1.0,
) -> Tensor:
    """A depthwise 3x3 convolution that keeps the size.

    Args:
        x: (B, C, H, W).
        weight: (C, 1, 3, 3), or one an image, (B, C, 1, 3, 3).
        bias: (C,).
        reflect: Pad by reflection, otherwise with zeros.
        slope: Of a leaky ReLU behind it, as for `conv3x3`.

    Returns:
        (B, C, H, W).
    """
    batch, channels, height, width = x.shape
    weights = weight.expand(batch, -1, -1, -1, -1)
    if not saves(x, weight, bias, slope=slope, side=2) or not (
        channels % LANES == 0
        and weights.shape[1:] == (channels, 1, 3, 3)
        and _counts(bias, channels)
    ):
        around = F.pad(x, (1, 1, 1, 1), "reflect" if reflect else "constant")
        if weight.dim() == 4:
            return _activate(F.conv2d(around, weight, bias, groups=channels), slope)
        together = around.reshape(1, -1, height + 2, width + 2)
        y = F.conv2d(together, weights.flatten(0, 1), groups=batch * channels).view(x.shape)
        return _activate(y if bias is None else y + bias[:, None, None], slope)
    # an edge's pixels have no tap outside; by reflection the one on the other side counts twice
    edge = weight.new_tensor([[0, 0, 0], [0, 1, 0], [float(reflect), 0, 1]])
    edges = torch.stack((edge, torch.eye(3, dtype=edge.dtype, device=edge.device), edge.flip(0, 1)))
    kernels = torch.einsum("kij,lmn,bcjn->bklimc", edges, edges, weights[:, :, 0])
    kernels = kernels.flatten(3, 4).contiguous()
    offset = x.new_zeros(channels) if bias is None else bias.contiguous()
    image = pixels(x)
    y = torch.empty_like(image)
    for i in range(batch):
        _run("depthwise", image[i], kernels[i], offset, float(slope), y[i])
    return y.permute(0, 3, 1, 2)


class Depthwise(nn.Conv2d):
    """A depthwise 3x3 convolution, padded by reflection."""

    def __init__(self, dim: int, bias: bool = True) -> None:
        super().__init__(dim, dim, 3, padding=1, groups=dim, bias=bias, padding_mode="reflect")

    def forward(self, x: Tensor, slope: Slope = 1.0) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return depthwise(x, self.weight, self.bias, True, slope)


class Fused(nn.Sequential):
    """Layers one after the other; this file's convolutions take the activation behind them along.

    An activation that was taken along is not called, so its hooks are not either.
    """

    def forward(self, x: Tensor, beside: Tensor | None = None) -> Tensor:
        """The first layer's input, maybe with the rest of its channels `beside` it."""
        layers = list(self)
        while layers:
            layer, *layers = layers
            more: dict[str, Any] = {} if beside is None else {"beside": beside}
            if isinstance(layer, Conv1x1 | Conv3x3 | Depthwise) and layers:
                if isinstance(layers[0], nn.PReLU):
                    more["slope"] = layers[0].weight
                elif isinstance(layers[0], nn.ReLU | nn.LeakyReLU):
                    more["slope"] = getattr(layers[0], "negative_slope", 0.0)
            if "slope" in more:
                del layers[0]
            x, beside = layer(x, **more), None
        return x


def enlarge(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A transposed 2x2 convolution of stride 2: each pixel becomes four.

    Args:
        x: (B, C, H, W).
        weight: (C, D, 2, 2).
        bias: (D,).

    Returns:
        (B, D, 2 H, 2 W).
    """
    out_channels = weight.shape[1]
    if not saves(x, weight, bias, side=SMALLEST_SIDE) or not (
        len(weight) == x.shape[1] and _counts(bias, out_channels)
    ):
        return F.conv_transpose2d(x, weight, bias, stride=2)
    from .convolution_kernels import COLUMNS

    if out_channels % COLUMNS:
        return F.conv_transpose2d(x, weight, bias, stride=2)
    blocks = weight.permute(2, 3, 1, 0).unflatten(2, (-1, COLUMNS)).transpose(3, 4).contiguous()
    offset = x.new_zeros(out_channels) if bias is None else bias.contiguous()
    image = pixels(x)
    batch, height, width, _ = image.shape
    y = x.new_empty(batch, 2 * height, 2 * width, out_channels)
    for i in range(batch):
        _run("enlarge", image[i], blocks, offset, y[i])
    return y.permute(0, 3, 1, 2)


def add_by_rows(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """x + function(x), where the function sees each pixel alone.

    Where nothing is trained it works on some rows at a time, which stay in the cache, and
    overwrites x.
    """
    if not saves(x) or torch.is_grad_enabled():
        return function(x) + x
    for rows in x.split(max(1, PIXELS // (len(x) * x.shape[3])), 2):
        rows += function(rows)
    return x
