"""SNR-Aware Low-Light Image Enhancement (Xu et al., CVPR 2022).

Paper: https://openaccess.thecvf.com/content/CVPR2022/html/Xu_SNR-Aware_Low-Light_Image_Enhancement_CVPR_2022_paper.html
Published code: github.com/dvlab-research/SNR-Aware-Low-Light-Enhance; its state dict loads
strictly. Its option files give 39,124,099 parameters, where the paper's table says 4.01 M.
Differs in: the SNR map is computed from the image where none is given; an image in tiles attends
to the patches of a reduced copy.
"""

from __future__ import annotations

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn
from torch.nn import functional as F

from enhancement.arguments import require_at_least

from .parts.precision import full_precision
from .parts.tile_context import global_statistics
from .published import Published, Shapes, count_numbers
from .snr_frame import SNRFrame, snr_map

PATCH = 4  # pixels of a patch's side, at a quarter of the size
NUM_HEADS = 8
HIDDEN_MASK = -1e9  # added to the scores of patches that are not attended to


class Attention(nn.Module):
    """Multi-head attention to the patches of a high signal-to-noise ratio, beside the identity."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(dim, eps=1e-6)
        self.w_qs = nn.Linear(dim, dim // 2, bias=False)
        self.w_ks = nn.Linear(dim, dim // 2, bias=False)
        self.w_vs = nn.Linear(dim, dim // 2, bias=False)
        self.fc = nn.Linear(dim // 2, dim, bias=False)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Patches (B, N, C), and (B, 1, 1, N) added to the scores, to (B, N, C)."""
        normed = self.layer_norm(x)
        q, k, v = (
            layer(normed).unflatten(2, (NUM_HEADS, -1)).transpose(1, 2)  # (B, heads, N, d)
            for layer in (self.w_qs, self.w_ks, self.w_vs)
        )
        k, v = global_statistics(lambda: k), global_statistics(lambda: v)
        with full_precision(x):  # in fp16 the mask would be infinite, and attention to none be 0
            q, k, v = q.float(), k.float(), v.float()
            attended = F.scaled_dot_product_attention(q, k, v, attn_mask=hidden.float())
        return self.fc(attended.to(x.dtype).transpose(1, 2).flatten(2)) + x


class FeedForward(nn.Module):
    """Two linear layers beside the identity."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(dim, eps=1e-6)
        self.w_1 = nn.Linear(dim, 2 * dim)
        self.w_2 = nn.Linear(2 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) to the same shape."""
        return self.w_2(torch.relu(self.w_1(self.layer_norm(x)))) + x


class Layer(nn.Module):
    """Attention and a feed-forward layer."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.slf_attn = Attention(dim)
        self.pos_ffn = FeedForward(dim)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        """As `Attention`."""
        return self.pos_ffn(self.slf_attn(x, hidden))


class Transformer(nn.Module):
    """Layers on patches of 4x4 that do not overlap; without positions."""

    def __init__(self, dim: int, num_layers: int) -> None:
        super().__init__()
        self.layer_stack = nn.ModuleList(Layer(PATCH**2 * dim) for _ in range(num_layers))

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """(B, C, H, W), H and W multiples of 4, and an SNR map (B, 1, H, W) to (B, C, H, W)."""
        grid = F.pixel_unshuffle(features, PATCH)  # (B, 16 C, H / 4, W / 4)
        quiet = F.avg_pool2d(mask, PATCH).flatten(2)[:, :, None] <= 0.5  # (B, 1, 1, N)
        hidden = global_statistics(lambda: quiet * HIDDEN_MASK)
        x = grid.flatten(2).transpose(1, 2)
        for layer in self.layer_stack:
            x = layer(x, hidden)
        return F.pixel_shuffle(x.transpose(1, 2).unflatten(2, grid.shape[-2:]), PATCH)


def _arguments(state: Shapes) -> dict[str, int]:
    return {
        "dim": len(state["conv_first_1.weight"]),
        "num_layers": count_numbers(state, r"transformer\.layer_stack\.(\d+)\."),
    }


@ARCH_REGISTRY.register()
class SNRNet(SNRFrame):
    """Convolutions where the signal is strong, a transformer where noise is; 39.1 M parameters.

    Args:
        dim: Channels at every scale; a patch has 16 times as many.
        num_layers: Of the transformer.

    Raises:
        ValueError: `dim` or `num_layers` is below 1.
    """

    size_multiple = 16
    extra_outputs = ("snr",)
    published = Published(
        marks=(
            r"conv_first_1\.weight",
            r"transformer\.layer_stack\.0\.slf_attn\.w_qs\.weight",
            r"recon_trunk_light\.0\.conv1\.weight",
        ),
        arguments=_arguments,
    )

    def __init__(self, dim: int = 64, num_layers: int = 6) -> None:
        require_at_least(1, dim=dim, num_layers=num_layers)
        super().__init__(3, dim, Transformer(dim, num_layers), [1.0] * 5)

    def far(self, features: Tensor, mask: Tensor) -> Tensor:
        """The transformer, which attends to patches of a high signal-to-noise ratio alone."""
        return self.transformer(features, mask)

    def outputs(
        self, lq: Tensor, gt: Tensor | None = None, mask: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The output, for a given `mask` if any; and the SNR map, (B, 1, H, W) in [0, 1]."""
        snr = snr_map(lq, self.kernel)
        mask = snr if mask is None else mask
        return {"output": self.restore(lq, lq, mask[..., ::4, ::4]), "snr": snr}

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Enhance: (B, 3, H, W) in [0, 1] to the same shape, not clamped.

        Args:
            x: Images, H and W multiples of 16.
            mask: How much convolutions count, (B, 1, H, W) in [0, 1]; if None, the SNR map of x.
        """
        return self.outputs(x, mask=mask)["output"]
