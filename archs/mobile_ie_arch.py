"""MobileIE: An Extremely Lightweight and Effective ConvNet for Real-Time Image Enhancement.

Yan et al., ICCV 2025.

Paper: https://arxiv.org/abs/2507.01838
Published files load strictly, in the slim form and in the training form, whose second tail for the
warm-up (`tail_warm`) is left out.
Differs in: there is no warm-up, so neither DropBlock nor the second tail that only it uses.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn
from torch.nn import functional as F

from enhancement.arguments import require_at_least, require_one_of

from .contract import Network
from .parts.tile_context import global_statistics
from .published import Published, Shapes

BRANCHES = {  # kernels by name, in the order that `conv_out` takes them
    5: {
        "conv": (5, 5),
        "conv1": (1, 1),
        "conv2": (3, 3),
        "conv_crossh": (3, 1),
        "conv_crossv": (1, 3),
    },
    3: {"conv": (3, 3), "conv1": (1, 1), "conv_crossh": (3, 1), "conv_crossv": (1, 3)},
    1: {"conv": (1, 1)},
}


class MultiBranchConv(nn.Module):
    """A convolution spread over branches of several kernels (the paper's MBRConv).

    A branch counts twice: as it is, and batch-normalised. All are mixed by a 1x1 convolution, first
    the raw ones, then the normalised ones. In evaluation mode that is one convolution: `fold`.

    Args:
        in_channels, out_channels: Of the whole.
        kernel_size: Of the largest branch: 5, 3 or 1.
        expansion: Channels of a branch for each output channel.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, expansion: int
    ) -> None:
        super().__init__()
        self.kernel_size, self.branches = kernel_size, tuple(BRANCHES[kernel_size])
        width = expansion * out_channels
        for name, (height, breadth) in BRANCHES[kernel_size].items():
            padding = (height // 2, breadth // 2)
            self.add_module(name, nn.Conv2d(in_channels, width, (height, breadth), 1, padding))
            self.add_module(f"{name}_bn", nn.Sequential(nn.BatchNorm2d(width)))
        self.conv_out = nn.Conv2d(2 * len(self.branches) * width, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, out_channels, H, W)."""
        raw = {name: self.get_submodule(name)(x) for name in self.branches}
        normalised = (self.get_submodule(f"{name}_bn")(y) for name, y in raw.items())
        return self.conv_out(torch.cat((*raw.values(), *normalised), 1))

    @torch.no_grad()
    def fold(self) -> nn.Conv2d:
        """The same as one convolution, also at the borders, which all branches pad by zeros."""
        kernels, biases, scales, shifts = [], [], [], []
        for name in self.branches:
            conv: Any = self.get_submodule(name)
            norm: Any = self.get_submodule(f"{name}_bn")[0]  # type: ignore[index]
            above, left = ((self.kernel_size - n) // 2 for n in conv.kernel_size)
            kernels.append(F.pad(conv.weight.double(), (left, left, above, above)))
            biases.append(conv.bias.double())
            scales.append(norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt())
            shifts.append(norm.bias.double() - norm.running_mean.double() * scales[-1])
        raw, normalised = self.conv_out.weight.double().flatten(1).chunk(2, 1)
        mix = raw + normalised * torch.cat(scales)
        weight = torch.tensordot(mix, torch.cat(kernels), 1)
        bias = mix @ torch.cat(biases) + normalised @ torch.cat(shifts)
        n_out, n_in, size, _ = weight.shape
        folded = nn.Conv2d(n_in, n_out, size, padding=size // 2)
        folded.weight.copy_(weight)
        assert folded.bias is not None
        assert self.conv_out.bias is not None
        folded.bias.copy_(bias + self.conv_out.bias)
        return folded.to(self.conv_out.weight)


class FeatureSelfTransform(nn.Module):
    """(w1 f)(w2 f) + b of a block's feature f (the paper's FST)."""

    def __init__(self, block1: nn.Module, dim: int) -> None:
        super().__init__()
        self.block1 = block1
        self.weight1 = nn.Parameter(torch.randn(1))
        self.weight2 = nn.Parameter(torch.randn(1))
        self.bias = nn.Parameter(torch.randn(1, dim, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """What the block gives, its shape kept."""
        feature = self.block1(x)
        return self.weight1 * self.weight2 * feature.square() + self.bias


class GlobalMean(nn.Module):
    """The channels' means over the whole image, (B, C, H, W) to (B, C, 1, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        """The means."""
        return global_statistics(lambda: x.mean((2, 3), keepdim=True))


def published_arguments(state: Shapes) -> dict[str, Any]:
    """Width, form and expansion of a published file."""
    dim = state["head.bias"].shape[1]
    if "tail.weight" in state:
        return {"dim": dim, "form": "slim"}
    expansion = state["tail.conv.weight"].shape[0] // 3
    return {"dim": dim, "expansion": expansion, "form": "training"}


@ARCH_REGISTRY.register()
class MobileIE(Network):
    """Four convolutions, two squares and an attention over channels and pixels.

    4,075 parameters in the slim form, which `fold` makes of the training form's 47,239.

    Args:
        dim: Channels.
        expansion: Channels of a branch for each output channel, in the training form.
        form: "training" has several branches for each convolution, "slim" one.

    Raises:
        ValueError: `dim` or `expansion` is below 1, or `form` is neither of the two.
    """

    published = Published(
        marks=(r"head\.weight1", r"body\.weight2", r"att1\.0\.(conv\.)?weight"),
        arguments=published_arguments,
        dropped=(r"^tail_warm\.",),
    )

    def __init__(
        self, dim: int = 12, expansion: int = 4, form: Literal["training", "slim"] = "training"
    ) -> None:
        super().__init__()
        require_at_least(1, dim=dim, expansion=expansion)
        require_one_of(("training", "slim"), form=form)
        self.dim, self.form = dim, form
        self.smallest_batch = 1 if form == "slim" else 2  # whose means are normalised over it

        def conv(n_in: int, n_out: int, kernel_size: int) -> nn.Module:
            if form == "slim":
                return nn.Conv2d(n_in, n_out, kernel_size, padding=kernel_size // 2)
            return MultiBranchConv(n_in, n_out, kernel_size, expansion)

        first = nn.Sequential(conv(3, dim, 5), nn.PReLU(dim), conv(dim, dim, 3))
        self.head = FeatureSelfTransform(first, dim)
        self.body = FeatureSelfTransform(conv(dim, dim, 3), dim)
        self.att = nn.Sequential(GlobalMean(), conv(dim, dim, 1), nn.Sigmoid())
        self.att1 = nn.Sequential(conv(1, dim, 1), nn.Sigmoid())
        self.tail = conv(dim, 3, 3)

    def fold(self) -> nn.Module:
        """The slim form with the same weights."""
        if self.form == "slim":
            return self
        slim = MobileIE(self.dim, form="slim").to(self.head.bias)
        ours, theirs = dict(self.named_modules()), slim.state_dict()
        state = {name: value for name, value in self.state_dict().items() if name in theirs}
        for name, module in ours.items():
            if isinstance(module, MultiBranchConv):
                state |= {f"{name}.{k}": v for k, v in module.fold().state_dict().items()}
        slim.load_state_dict(state)
        return slim.train(self.training)

    def forward(self, x: Tensor) -> Tensor:
        """Enhance: (B, 3, H, W) in [0, 1] to the same shape, not clamped."""
        feature = self.body(self.head(x))
        weighted = self.att(feature) * feature
        return self.tail(self.att1(weighted.amax(1, keepdim=True)) * weighted)
