"""Layers that a processor computes with less work and memory where nothing is trained.

Winograd's algorithm (Lavin and Gray 2016) needs 64 multiplications for 36 outputs of a 3x3
convolution instead of 324. PyTorch carries one, NNPACK's, but never chooses it for one image; here
it is asked for by name. It adds an error of up to 1e-4 of the output's standard deviation (3e-5 to
8e-5 measured for 32 to 256 channels; 2e-6 without it), so it is for networks whose outputs stay the
same within 1e-4; their tests say so. It gives the same bits each time and is safe in threads: each
has its own workspace, which it keeps.
`torch.backends.nnpack.flags(enabled=False)` turns all of this off.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import apply_to_pixels

WORKSPACE = 2**24  # bytes that NNPACK may hold, which are never given back
CHANNELS = 16  # of a depthwise convolution at once
PIXELS = 4096  # of a function of single pixels at once
SMALLEST_SIDE = 24  # below, the plain convolution is as fast


def saves(x: Tensor, *weights: Tensor | None) -> bool:
    """Whether this image's layers may take the way with less work.

    On the processor, in float32, outside autocast, outside tracing, compiling and exporting (so
    that a graph holds plain convolutions), and where no gradient is recorded.
    """
    if torch.jit.is_tracing() or torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export():
        return False
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, *weights)):
        return False
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and len(x) > 0
        and min(x.shape[-2:]) >= SMALLEST_SIDE
        and type(x) in (Tensor, nn.Parameter)
        and not torch.is_autocast_enabled("cpu")
        and torch._C._get_nnpack_enabled()
        and torch.backends.nnpack.is_available()  # which also sets it up
    )


def conv3x3(x: Tensor, weight: Tensor, bias: Tensor | None = None, dilation: int = 1) -> Tensor:
    """A 3x3 convolution of stride 1 that keeps the size, padded with zeros.

    Args:
        x: (B, C, H, W).
        weight: (D, C, 3, 3).
        bias: (D,).
        dilation: Pixels between two taps; n means n x n interleaved images.

    Returns:
        (B, D, H, W).
    """
    if not saves(x, weight, bias):
        return F.conv2d(x, weight, bias, padding=dilation, dilation=dilation)
    if dilation > 1:
        y = x.new_empty(len(x), len(weight), *x.shape[-2:])
        for i in range(dilation * dilation):
            one = (..., slice(i // dilation, None, dilation), slice(i % dilation, None, dilation))
            y[one] = conv3x3(x[one], weight, bias)
        return y
    weight, rows = weight.contiguous(), _rows(x, weight)
    if rows >= x.shape[2] and len(x) == 1:
        return _winograd(x.contiguous(), weight, bias)
    y = x.new_empty(len(x), len(weight), *x.shape[-2:])
    for image, output in zip(x.split(1), y.split(1), strict=True):  # several at once are slower
        for top in range(0, x.shape[2], rows):
            above = min(top, 1)
            strip = image[:, :, top - above : top + rows + 1].contiguous()
            found = _winograd(strip, weight, bias)[:, :, above : above + rows]
            output[:, :, top : top + rows] = found
    return y


def _winograd(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.aten._nnpack_spatial_convolution(x, weight, bias, [1, 1], [1, 1])


def _rows(x: Tensor, weight: Tensor) -> int:
    """How many rows at once keep to `WORKSPACE`: a tile of 6x6 takes 8x8 floats a channel."""
    tiles = WORKSPACE // (256 * (x.shape[1] + len(weight)))
    return 6 * max(1, tiles // -(-x.shape[3] // 6))


class Conv3x3(nn.Conv2d):
    """`conv3x3` as a layer."""

    def __init__(
        self, in_channels: int, out_channels: int, bias: bool = True, dilation: int = 1
    ) -> None:
        super().__init__(
            in_channels, out_channels, 3, padding=dilation, bias=bias, dilation=dilation
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, D, H, W)."""
        return conv3x3(x, self.weight, self.bias, self.dilation[0])


class Conv1x1(nn.Conv2d):
    """A 1x1 convolution; a matrix product where that is faster."""

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True) -> None:
        super().__init__(in_channels, out_channels, 1, bias=bias)

    def forward(self, x: Tensor, onto: Tensor | None = None) -> Tensor:
        """(B, C, H, W) to (B, D, H, W), which is added in place to `onto` where that is given."""
        if not saves(x, self.weight, self.bias):
            y = super().forward(x)
            return y if onto is None else onto.add_(y)
        y = apply_to_pixels(self.weight.flatten(1), x, onto)
        return y if self.bias is None else y.add_(self.bias[:, None, None])


class PReLU(nn.PReLU):
    """A PReLU of one slope that overwrites its input where nothing is trained."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        if not saves(x, self.weight):
            return super().forward(x)
        return F.leaky_relu_(x, self.weight.item())


def depthwise(x: Tensor, weight: Tensor, bias: Tensor | None, output: Tensor) -> Tensor:
    """A 3x3 convolution of few channels each, padded by reflection, some channels at a time.

    Args:
        x: (B, C, H, W).
        weight: (C, C / groups, 3, 3).
        bias: (C,).
        output: Where the result goes, which may be x itself.
    """
    for at in range(0, x.shape[1], CHANNELS):
        some = slice(at, at + CHANNELS)
        padded = F.pad(x[:, some], (1, 1, 1, 1), "reflect")
        part_bias = None if bias is None else bias[some]
        groups = padded.shape[1] // weight.shape[1]
        output[:, some] = F.conv2d(padded, weight[some], part_bias, groups=groups)
    return output


class Depthwise(nn.Conv2d):
    """A 3x3 convolution by groups, padded by reflection.

    It overwrites its input where nothing is trained.
    """

    def __init__(self, dim: int, groups: int, bias: bool = True) -> None:
        super().__init__(dim, dim, 3, padding=1, groups=groups, bias=bias, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        if not saves(x, self.weight, self.bias):
            return super().forward(x)
        return depthwise(x, self.weight, self.bias, x)


def enlarge(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A transposed 2x2 convolution of stride 2: each pixel becomes four.

    Args:
        x: (B, C, H, W).
        weight: (C, D, 2, 2).
        bias: (D,).

    Returns:
        (B, D, 2 H, 2 W).
    """
    if not saves(x, weight, bias):
        return F.conv_transpose2d(x, weight, bias, stride=2)
    matrix = weight.permute(2, 3, 1, 0).flatten(0, 2)  # (4 D, C)
    y = apply_to_pixels(matrix, x).unflatten(1, (2, 2, -1))
    y = torch.stack(y.unbind(2), -1)  # (B, 2, D, H, W, 2)
    y = torch.stack(y.unbind(1), 3)  # (B, D, H, 2, W, 2)
    y = y.flatten(4).flatten(2, 3)
    return y if bias is None else y.add_(bias[:, None, None])


def add_by_rows(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """x + function(x), where the function sees each pixel alone.

    Where nothing is trained it works on some rows at a time, which stay in the cache, and
    overwrites x.
    """
    if torch.is_grad_enabled() or not saves(x):
        return function(x) + x
    for rows in x.split(max(1, PIXELS // x.shape[3]), 2):
        rows += function(rows.contiguous())
    return x


def halve(x: Tensor) -> Tensor:
    """The largest of each 2x2 pixels, (B, C, H, W) to (B, C, H / 2, W / 2).

    `max_pool2d` is slow where channels do not lie last in memory.
    """
    if not x.is_contiguous():
        return F.max_pool2d(x, 2)
    x = torch.maximum(x[..., ::2, :], x[..., 1::2, :])
    return torch.maximum(x[..., ::2], x[..., 1::2])


def layout(x: Tensor, *weights: Tensor) -> Tensor:
    """An image as a network of such layers wants it in memory: channels last, except here."""
    kept = torch.contiguous_format if saves(x, *weights) else torch.channels_last
    return x.contiguous(memory_format=kept)
