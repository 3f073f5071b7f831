"""Layers that a processor computes with less work where nothing is trained.

Winograd's algorithm (Lavin and Gray 2016) needs 64 multiplications for 36 outputs of a 3x3
convolution instead of 324. PyTorch carries one for the processor, NNPACK's, but never chooses it for
one image; here it is asked for by name. It adds an error of up to 1e-4 of the output's standard
deviation (3e-5 to 8e-5 measured for 32 to 256 channels; 2e-6 without it), so it is for networks
whose outputs stay the same within 1e-4; their tests say so. It gives the same bits each time and is
safe in threads: each has its own workspace, which it keeps.
`torch.backends.nnpack.flags(enabled=False)` turns it off.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import apply_to_pixels

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


def conv3x3(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A 3x3 convolution of stride 1, padded by a pixel of zeros.

    Args:
        x: (B, C, H, W).
        weight: (D, C, 3, 3).
        bias: (D,).

    Returns:
        (B, D, H, W).
    """
    if not saves(x, weight, bias):
        return F.conv2d(x, weight, bias, padding=1)
    convolve = torch.ops.aten._nnpack_spatial_convolution
    weight = weight.contiguous()
    # one image at a time: its way of several is slower
    images = [convolve(i, weight, bias, [1, 1], [1, 1]) for i in x.contiguous().split(1)]
    return images[0] if len(images) == 1 else torch.cat(images)


class Conv3x3(nn.Conv2d):
    """`conv3x3` as a layer."""

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, D, H, W)."""
        return conv3x3(x, self.weight, self.bias)


class Enlarge(nn.ConvTranspose2d):
    """A transposed 2x2 convolution of stride 2: each pixel becomes four."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 2, 2)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(B, C, H, W) to (B, D, 2 H, 2 W)."""
        if output_size or not saves(x, self.weight, self.bias):
            return super().forward(x, output_size)
        matrix = self.weight.permute(2, 3, 1, 0).flatten(0, 2)  # (4 D, C)
        four = apply_to_pixels(matrix, x).unflatten(1, (4, -1))
        a, b, c, d = four.unbind(1)
        rows = torch.stack((a, b), -1), torch.stack((c, d), -1)  # (B, D, H, W, 2)
        y = torch.stack(rows, 3).flatten(4).flatten(2, 3)
        return y.add_(self.bias[:, None, None])


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
