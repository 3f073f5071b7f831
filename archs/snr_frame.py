"""The frame of SNR-Aware, FourLLIE and FLOL: a near branch where the signal outweighs the noise.

Where it does not, a branch that sees the whole image takes over (Xu et al., SNR-Aware Low-Light
Image Enhancement, CVPR 2022, https://openaccess.thecvf.com/content/CVPR2022/html/Xu_SNR-Aware_Low-Light_Image_Enhancement_CVPR_2022_paper.html).
The last two networks put an enhancement of the Fourier amplitudes before it.
"""

from __future__ import annotations

import math

import torch
from basicsr.archs.arch_util import ResidualBlockNoBN, make_layer
from torch import Tensor, nn
from torch.nn import functional as F

from enhancement.colour import luma

from .contract import Network
from .parts.fourier_blocks import NO_ONNX, SLOPE
from .parts.padding import pad_to_multiple
from .parts.tile_context import global_statistics

SNR_FLOOR = 1e-4
AMPLITUDE_FLOOR = 1e-8
GAUSSIAN = [math.exp(-(n**2) / (2 * 1.5**2)) for n in range(-2, 3)]  # of sigma 1.5
LIGHT_BLOCKS = 6  # residual blocks of the near branch


def snr_map(image: Tensor, kernel: Tensor) -> Tensor:
    """Signal to noise: the blurred grey image, divided by what the blur takes away (eq. 2).

    Args:
        image: (B, 3, H, W), from 3x3.
        kernel: Of the blur, (1, 1, 5, 5).

    Returns:
        (B, 1, H, W) in [0, 1], relative to each image's maximum.
    """
    grey = luma(image)
    signal = F.conv2d(F.pad(grey, (2, 2, 2, 2), "reflect"), kernel)
    ratio = signal / ((grey - signal).abs() + SNR_FLOOR)
    peak = global_statistics(lambda: ratio.amax((2, 3), keepdim=True))
    return (ratio / (peak + SNR_FLOOR)).clamp(0, 1)


class SNRFrame(Network):
    """Encoder, near and far branch blended by an SNR map, decoder.

    Args:
        in_channels: Of what the encoder sees.
        dim: Channels at every scale.
        transformer: The far branch.
        kernel: Of the blur in the SNR map, 5 taps on either axis.
    """

    kernel: Tensor

    def __init__(
        self, in_channels: int, dim: int, transformer: nn.Module, kernel: list[float]
    ) -> None:
        super().__init__()
        taps = torch.tensor(kernel)
        taps = taps / taps.sum()
        self.register_buffer("kernel", (taps[:, None] * taps)[None, None], persistent=False)
        self.conv_first_1 = nn.Conv2d(in_channels, dim, 3, padding=1)
        self.conv_first_2 = nn.Conv2d(dim, dim, 3, 2, 1)
        self.conv_first_3 = nn.Conv2d(dim, dim, 3, 2, 1)
        self.feature_extraction = make_layer(ResidualBlockNoBN, 1, num_feat=dim)
        self.recon_trunk_light = make_layer(ResidualBlockNoBN, LIGHT_BLOCKS, num_feat=dim)
        self.transformer = transformer
        self.recon_trunk = make_layer(ResidualBlockNoBN, 1, num_feat=dim)
        self.upconv1 = nn.Conv2d(2 * dim, 4 * dim, 3, padding=1)
        self.upconv2 = nn.Conv2d(2 * dim, 4 * dim, 3, padding=1)
        self.HRconv = nn.Conv2d(2 * dim, dim, 3, padding=1)
        self.conv_last = nn.Conv2d(dim, 3, 3, padding=1)
        self.act = nn.LeakyReLU(SLOPE, inplace=True)

    def far(self, features: Tensor, mask: Tensor) -> Tensor:
        """The far branch, for networks whose own does not need the mask."""
        return self.transformer(features)

    def restore(self, image: Tensor, seen: Tensor, mask: Tensor) -> Tensor:
        """Enhance an image of a size that is a multiple of 4.

        Args:
            image: (B, 3, H, W), added at the end.
            seen: What the encoder sees, (B, in_channels, H, W).
            mask: How much the near branch counts, (B, 1, H / 4, W / 4) in [0, 1].
        """
        full = self.act(self.conv_first_1(seen))
        half = self.act(self.conv_first_2(full))
        quarter = self.act(self.conv_first_3(half))
        features = self.feature_extraction(quarter)
        near, far = self.recon_trunk_light(features), self.far(features, mask)
        x = self.recon_trunk(far * (1 - mask) + near * mask)
        x = self.act(F.pixel_shuffle(self.upconv1(torch.cat((x, quarter), 1)), 2))
        x = self.act(F.pixel_shuffle(self.upconv2(torch.cat((x, half), 1)), 2))
        x = self.act(self.HRconv(torch.cat((x, full), 1)))
        return self.conv_last(x) + image


class FourierFrame(SNRFrame):
    """First new Fourier amplitudes with the image's own phase, then the frame.

    Args:
        dim: Channels of the frame.
        amplitude: Predicts the map that amplitudes are divided by, before its sigmoid, from an
            image.
        transformer: The far branch.
    """

    whole_image = True
    no_onnx = NO_ONNX
    fp16 = False
    extra_outputs = ("amplitude", "center", "mask")

    def __init__(self, dim: int, amplitude: nn.Module, transformer: nn.Module) -> None:
        super().__init__(6, dim, transformer, GAUSSIAN)
        self.AmpNet = nn.Sequential(amplitude, nn.Sigmoid())

    def _enhance(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        # the published phase times amplitude / map is the spectrum / map: the map is positive
        spectrum = torch.fft.fft2(x) / (self.AmpNet(x) + AMPLITUDE_FLOOR)
        image, center = (pad_to_multiple(y, 8) for y in (x, torch.fft.ifft2(spectrum).real))
        mask = snr_map(center, self.kernel)[..., ::4, ::4]
        output = self.restore(image, torch.cat((center, image), 1), mask)
        return output[..., : x.shape[-2], : x.shape[-1]], spectrum, center, mask

    def outputs(self, lq: Tensor, gt: Tensor | None = None) -> dict[str, Tensor]:
        """The output; the new amplitudes (B, 3, H, W), unnormalised; the image they give, "center".

        "center" is padded to multiples of 8, and "mask", the SNR map, is a quarter of its size.
        """
        output, spectrum, center, mask = self._enhance(lq)
        return {"output": output, "amplitude": spectrum.abs(), "center": center, "mask": mask}

    def forward(self, x: Tensor) -> Tensor:
        """Enhance: (B, 3, H, W) in [0, 1] to the same shape, not clamped."""
        return self._enhance(x)[0]
