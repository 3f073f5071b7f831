"""LYT-NET: Lightweight YUV Transformer-based Network for Low-Light Image Enhancement.

Brateanu et al., IEEE Signal Processing Letters 2025.

Paper: https://arxiv.org/abs/2401.15204
Two networks bear the name: this is the authors' in PyTorch, whose published files load strictly;
their TensorFlow one has other tokens, ranges and activations.
Differs in: nothing. As published, attention reads an image's memory as its tokens, so that channels
and positions are mixed; the weights were trained so.
"""

from __future__ import annotations

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from enhancement.arguments import require_multiple
from enhancement.colour import LUMA

from .contract import Network
from .parts.attention import attend
from .parts.normalization import ChannelNorm
from .published import Published

TO_YUV = (LUMA, (-0.14713, -0.28886, 0.436), (0.615, -0.51499, -0.10001))
NUM_HEADS = 4
POOLING = 8  # of the luminance before attention


def start(*layers: nn.Conv2d | nn.Linear) -> None:
    """Initialise layers as the authors do: He, biases 0."""
    for layer in layers:
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def conv3x3(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """A 3x3 convolution, zero-padded, initialised by `start`."""
    conv = nn.Conv2d(in_channels, out_channels, 3, stride, 1)
    start(conv)
    return conv


def enlarge(x: Tensor, scale: int = 2) -> Tensor:
    """By nearest neighbours, (B, C, H, W) to (B, C, scale H, scale W)."""
    return F.interpolate(x, scale_factor=scale, mode="nearest")


class SelfAttention(nn.Module):
    """Attention between the rows of an image's memory, cut into pieces of `dim` numbers."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.query_dense = nn.Linear(dim, dim)
        self.key_dense = nn.Linear(dim, dim)
        self.value_dense = nn.Linear(dim, dim)
        self.combine_heads = nn.Linear(dim, dim)
        for layer in self.children():
            assert isinstance(layer, nn.Linear)
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        tokens = x.reshape(x.shape[0], -1, x.shape[1])  # as it lies: see "Differs in"
        q, k, v = (
            rearrange(dense(tokens), "b n (h d) -> b h n d", h=NUM_HEADS)
            for dense in (self.query_dense, self.key_dense, self.value_dense)
        )
        attended = attend(q, k, v)
        combined = self.combine_heads(rearrange(attended, "b h n d -> b n (h d)"))
        return combined.transpose(1, 2).reshape(x.shape)


class ChannelwiseDenoiser(nn.Module):
    """A small U-shaped network with attention at an eighth of the size (the paper's CWD)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(1, dim)
        self.conv2 = conv3x3(dim, dim, 2)
        self.conv3 = conv3x3(dim, dim, 2)
        self.conv4 = conv3x3(dim, dim, 2)
        self.bottleneck = SelfAttention(dim)
        self.output_layer = conv3x3(1, 1)
        self.res_layer = conv3x3(dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, H, W), H and W multiples of 8, to the same shape, in [-1, 1]."""
        x1 = torch.relu(self.conv1(x))
        x2 = torch.relu(self.conv2(x1))
        x3 = torch.relu(self.conv3(x2))
        x = self.bottleneck(torch.relu(self.conv4(x3)))
        x = enlarge(enlarge(enlarge(x) + x3) + x2) + x1
        return torch.tanh(self.output_layer(2 * self.res_layer(x)))


class SqueezeExcitation(nn.Module):
    """Weighs channels by their means over the image."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, max(1, dim // 16))
        self.fc2 = nn.Linear(max(1, dim // 16), dim)
        start(self.fc1, self.fc2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        weights = torch.tanh(self.fc2(torch.relu(self.fc1(x.mean((2, 3))))))
        return x * weights[..., None, None]


class NormFirst(nn.Module):
    """Layer norm over the channels, under its published name."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return self.norm(x)


class MSEF(nn.Module):
    """Multi-stage squeeze and excite fusion."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layer_norm = NormFirst(dim)
        self.depthwise_conv = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.se_attn = SqueezeExcitation(dim)
        start(self.depthwise_conv)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        normed = self.layer_norm(x)
        return self.depthwise_conv(normed) * self.se_attn(normed) + x


@ARCH_REGISTRY.register()
class LYTNet(Network):
    """Luminance and chrominance apart: chrominance is denoised, then guided by luminance.

    44,923 parameters. It must see the whole image: what attention compares depends on its size.

    Args:
        dim: Channels, a multiple of 8.

    Raises:
        ValueError: `dim` is not a multiple of 8.
    """

    size_multiple = 8
    whole_image = True
    published = Published(
        marks=(
            r"denoiser_cb\.bottleneck\.query_dense\.weight",
            r"lum_mhsa\.combine_heads\.weight",
            r"final_adjustments\.weight",
        ),
        arguments=lambda state: {"dim": state["final_adjustments.weight"].shape[1]},
    )

    def __init__(self, dim: int = 32) -> None:
        super().__init__()
        require_multiple(8, dim=dim)
        self.to_yuv: Tensor
        self.register_buffer("to_yuv", torch.tensor(TO_YUV)[..., None, None], persistent=False)
        self.process_y = nn.Sequential(nn.Conv2d(1, dim, 3, padding=1), nn.ReLU())
        self.process_cb = nn.Sequential(nn.Conv2d(1, dim, 3, padding=1), nn.ReLU())
        self.process_cr = nn.Sequential(nn.Conv2d(1, dim, 3, padding=1), nn.ReLU())
        self.denoiser_cb = ChannelwiseDenoiser(dim // 2)
        self.denoiser_cr = ChannelwiseDenoiser(dim // 2)
        self.lum_mhsa = SelfAttention(dim)
        self.lum_conv = nn.Conv2d(dim, dim, 1)
        self.ref_conv = nn.Conv2d(2 * dim, dim, 1)
        self.msef = MSEF(dim)
        self.recombine = conv3x3(2 * dim, dim)
        self.final_adjustments = conv3x3(dim, 3)
        start(self.lum_conv, self.ref_conv)

    def forward(self, x: Tensor) -> Tensor:
        """Enhance: (B, 3, H, W) in [0, 1], H and W multiples of 8, to the same shape in [0, 1]."""
        y, cb, cr = F.conv2d(x, self.to_yuv).split(1, 1)
        cb, cr = cb + 0.5, cr + 0.5
        blue = self.process_cb(self.denoiser_cb(cb) + cb)
        red = self.process_cr(self.denoiser_cr(cr) + cr)
        light = self.process_y(y)
        light = light + enlarge(self.lum_mhsa(F.max_pool2d(light, POOLING)), POOLING)
        color = self.ref_conv(torch.cat((blue, red), 1))
        color = self.msef(color + 0.2 * self.lum_conv(light)) + color
        recombined = self.recombine(torch.cat((color, light), 1))
        return torch.sigmoid(self.final_adjustments(recombined))
