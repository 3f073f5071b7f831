"""DarkIR: Robust Low-Light Image Restoration (Feijoo et al., CVPR 2025), by default DarkIR-m.

Paper: https://arxiv.org/abs/2412.13443
Published code: github.com/cidautai/DarkIR; its state dict loads strictly (3,321,638 parameters).
Differs in: nothing.
"""

from __future__ import annotations

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn
from torch.nn import functional as F

from enhancement.arguments import require_at_least

from .contract import Network
from .parts.fourier_blocks import NO_ONNX, direction, half_spectrum, pointwise_pair
from .parts.normalization import ChannelNorm
from .parts.precision import full_precision
from .published import Published, Shapes, count_numbers

DILATIONS = (1, 4, 9)  # of the decoder's branches


def gate(x: Tensor) -> Tensor:
    """One half of the channels times the other."""
    a, b = x.chunk(2, 1)
    return a * b


class AmplitudeMLP(nn.Module):
    """1x1 convolutions of the amplitudes; phases are kept."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.process1 = pointwise_pair(dim, 2 * dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        spectrum = half_spectrum(x)
        return torch.fft.irfft2(self.process1(spectrum.abs()) * direction(spectrum), s=x.shape[-2:])


class DilatedBranch(nn.Module):
    """A dilated depthwise convolution."""

    def __init__(self, dim: int, dilation: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(dim, dim, 3, padding=dilation, dilation=dilation, groups=dim)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape.

        In float32 at least on a CPU, where PyTorch's gradient of this convolution in bf16 is wrong.
        """
        if x.device.type != "cpu":
            return self.branch(x)
        with full_precision(x):
            return self.branch(x.to(torch.promote_types(x.dtype, torch.float32))).to(x.dtype)


class Block(nn.Module):
    """Base of both kinds of blocks: two residual branches, each scaled.

    Args:
        dim: Channels.
        dilations: Of the depthwise branches that are summed before the gate.
    """

    def __init__(self, dim: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.norm1 = ChannelNorm(dim, eps=1e-6)
        self.conv1 = nn.Conv2d(dim, 2 * dim, 1)
        self.branches = nn.ModuleList(DilatedBranch(2 * dim, d) for d in dilations)
        self.sca = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(dim, dim, 1))
        self.conv3 = nn.Conv2d(dim, dim, 1)
        self.norm2 = ChannelNorm(dim, eps=1e-6)
        self.beta = nn.Parameter(torch.zeros(1, dim, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, dim, 1, 1))

    def attend(self, wide: Tensor) -> Tensor:
        """Branches, gate and channel attention: (B, 2 C, H, W) to (B, C, H, W)."""
        x = gate(torch.stack([branch(wide) for branch in self.branches]).sum(0))
        return self.conv3(self.sca(x) * x)


class EncoderBlock(Block):
    """EBlock: spatial attention, then amplitudes that scale the feature."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim, (1,))
        self.extra_conv = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.freq = AmplitudeMLP(dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        y = x + self.beta * self.attend(self.conv1(self.extra_conv(self.norm1(x))))
        return y + self.gamma * (y * self.freq(self.norm2(y)))


class DecoderBlock(Block):
    """DBlock: dilated spatial attention, then a gated feed-forward layer."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim, DILATIONS)
        self.extra_conv = nn.Conv2d(2 * dim, 2 * dim, 3, padding=1, groups=dim)
        self.conv4 = nn.Conv2d(dim, 2 * dim, 1)
        self.conv5 = nn.Conv2d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        y = x + self.beta * self.attend(self.extra_conv(self.conv1(self.norm1(x))))
        return y + self.gamma * self.conv5(gate(self.conv4(self.norm2(y))))


class Level(nn.Module):
    """Blocks of one kind in a row."""

    def __init__(self, block: type[EncoderBlock] | type[DecoderBlock], dim: int, n: int) -> None:
        super().__init__()
        self.modules_list = nn.Sequential(*(block(dim) for _ in range(n)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return self.modules_list(x)


def _arguments(state: Shapes) -> dict[str, object]:
    def blocks(part: str) -> int:
        return count_numbers(state, rf"{part}\.modules_list\.(\d+)\.")

    levels = range(count_numbers(state, r"encoders\.(\d+)\."))
    return {
        "dim": len(state["intro.weight"]),
        "encoder_blocks": [blocks(rf"encoders\.{i}") for i in levels],
        "decoder_blocks": [blocks(rf"decoders\.{i}") for i in levels],
        "middle_blocks": [blocks("middle_blks_enc"), blocks("middle_blks_dec")],
    }


@ARCH_REGISTRY.register()
class DarkIR(Network):
    """A U-Net: amplitudes lighten the image in the encoder, the decoder sharpens; 3.3 M parameters.

    Args:
        dim: Channels at full size, doubled at each level (m: 32, l: 64).
        encoder_blocks: Of each level, the outermost first.
        decoder_blocks: Of each level, the innermost first; as many levels.
        middle_blocks: Encoder blocks and decoder blocks at the bottom.

    Raises:
        ValueError: `dim` is below 1, the levels of encoder and decoder differ in number, or
            `middle_blocks` has not 2 entries.
    """

    whole_image = True
    no_onnx = NO_ONNX
    fp16 = False
    extra_outputs = ("side",)
    published = Published(
        marks=(
            r"encoders\.0\.modules_list\.0\.freq\.process1\.0\.weight",
            r"middle_blks_enc\.modules_list\.0\.gamma",
            r"side_out\.weight",
        ),
        arguments=_arguments,
    )

    def __init__(
        self,
        dim: int = 32,
        encoder_blocks: tuple[int, ...] = (1, 2, 3),
        decoder_blocks: tuple[int, ...] = (3, 1, 1),
        middle_blocks: tuple[int, ...] = (2, 2),
    ) -> None:
        super().__init__()
        require_at_least(1, dim=dim)
        if len(encoder_blocks) != len(decoder_blocks) or len(middle_blocks) != 2:
            raise ValueError(
                "Expected as many `decoder_blocks` as `encoder_blocks` and 2 `middle_blocks`, "
                f"but got {list(decoder_blocks)}, {list(encoder_blocks)}, {list(middle_blocks)}."
            )
        self.multiple = 2 ** len(encoder_blocks)
        dims = [dim * 2**i for i in range(len(encoder_blocks) + 1)]
        inward = list(zip(dims[:-1], encoder_blocks, strict=True))
        outward = list(zip(dims[-2::-1], decoder_blocks, strict=True))
        self.intro = nn.Conv2d(3, dim, 3, padding=1)
        self.encoders = nn.ModuleList(Level(EncoderBlock, c, n) for c, n in inward)
        self.downs = nn.ModuleList(nn.Conv2d(c, 2 * c, 2, 2) for c in dims[:-1])
        self.middle_blks_enc = Level(EncoderBlock, dims[-1], middle_blocks[0])
        self.middle_blks_dec = Level(DecoderBlock, dims[-1], middle_blocks[1])
        self.side_out = nn.Conv2d(dims[-1], 3, 3, padding=1)
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(2 * c, 4 * c, 1, bias=False), nn.PixelShuffle(2))
            for c, _ in outward
        )
        self.decoders = nn.ModuleList(Level(DecoderBlock, c, n) for c, n in outward)
        self.ending = nn.Conv2d(dim, 3, 3, padding=1)

    def _restore(self, image: Tensor) -> tuple[Tensor, Tensor]:
        height, width = image.shape[-2:]
        padded = F.pad(image, (0, -width % self.multiple, 0, -height % self.multiple))
        x, skips = self.intro(padded), []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            skips.append(encoder(x))
            x = down(skips[-1])
        light = self.middle_blks_enc(x)
        x = self.middle_blks_dec(light) + light
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            x = decoder(up(x) + skips.pop())
        return (self.ending(x) + padded)[..., :height, :width], light

    def outputs(self, lq: Tensor, gt: Tensor | None = None) -> dict[str, Tensor]:
        """The output; the small image that training compares as well, (B, 3, H / 2^L, W / 2^L).

        L is the number of levels; sizes are rounded up.
        """
        output, light = self._restore(lq)
        return {"output": output, "side": self.side_out(light)}

    def forward(self, x: Tensor) -> Tensor:
        """Enhance: (B, 3, H, W) in [0, 1] of any size to the same shape, not clamped."""
        return self._restore(x)[0]
