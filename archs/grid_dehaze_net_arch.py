"""GridDehazeNet: Attention-Based Multi-Scale Network for Image Dehazing (Liu et al., ICCV 2019).

Paper: https://arxiv.org/abs/1908.03245
Published code: github.com/proteus1991/GridDehazeNet; its files load strictly.
Differs in: the scaling of the input to [-1, 1] is the network's, not its caller's. Before training,
the bias before the last ReLU is above 0, so that no output starts dead.
"""

from __future__ import annotations

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn
from torch.nn import functional as F

from enhancement.arguments import require_at_least, require_multiple

from .contract import Network
from .parts.initialisation import start_alive
from .published import Published, Shapes, count_numbers


class DenseLayer(nn.Module):
    """A convolution whose result is appended to its input."""

    def __init__(self, in_channels: int, growth: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, growth, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C + growth, H, W)."""
        return torch.cat((x, F.relu(self.conv(x))), 1)


class ResidualDenseBlock(nn.Module):
    """Dense layers, brought back to the input's channels and added to it (section 3.1)."""

    def __init__(self, dim: int, num_layers: int, growth: int) -> None:
        super().__init__()
        self.residual_dense_layers = nn.Sequential(
            *(DenseLayer(dim + i * growth, growth) for i in range(num_layers))
        )
        self.conv_1x1 = nn.Conv2d(dim + num_layers * growth, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return x + self.conv_1x1(self.residual_dense_layers(x))


class DownSample(nn.Module):
    """One row down: half the size, twice the channels."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(dim, dim, 3, 2, 1)
        self.conv2 = nn.Conv2d(dim, 2 * dim, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, 2 C, H/2, W/2), rounded up."""
        return F.relu(self.conv2(F.relu(self.conv1(x))))


class UpSample(nn.Module):
    """One row up: twice the size, half the channels."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.deconv = nn.ConvTranspose2d(dim, dim, 3, 2, 1, output_padding=1)
        self.conv = nn.Conv2d(dim, dim // 2, 3, padding=1)

    def forward(self, x: Tensor, size: torch.Size) -> Tensor:
        """(B, C, H, W) to (B, C / 2, *size), which is twice as large or 1 less."""
        x = self.deconv(x)[..., : size[0], : size[1]]
        return F.relu(self.conv(F.relu(x)))


def _arguments(state: Shapes) -> dict[str, int]:
    num_rows, num_columns = state["coefficient"].shape[:2]
    growth, dim = state["rdb_in.residual_dense_layers.0.conv.weight"].shape[:2]
    return {
        "dim": dim,
        "num_rows": num_rows,
        "num_columns": num_columns,
        "num_layers": count_numbers(state, r"rdb_in\.residual_dense_layers\.(\d+)\."),
        "growth": growth,
    }


@ARCH_REGISTRY.register()
class GridDehazeNet(Network):
    """A grid of three scales and six columns, down in the first half, up in the second.

    958,051 parameters. A node weighs what comes along its row against what comes along its column,
    by learned factors for each channel (eq. 1).

    Args:
        dim: Channels at full size; a row further down has twice as many.
        num_rows: Scales.
        num_columns: Blocks along a row, an even number.
        num_layers: Convolutions of a dense block before the one that sums up.
        growth: Channels that each of them adds.

    Raises:
        ValueError: A number is below 1, or `num_columns` is odd.
    """

    family = "dehazing"
    published = Published(
        marks=(
            r"coefficient",
            r"rdb_module\.0_0\.conv_1x1\.weight",
            r"upsample_module\.0_3\.deconv\.weight",
            r"rdb_out\.conv_1x1\.weight",
        ),
        arguments=_arguments,
    )

    def __init__(
        self,
        dim: int = 16,
        num_rows: int = 3,
        num_columns: int = 6,
        num_layers: int = 4,
        growth: int = 16,
    ) -> None:
        super().__init__()
        require_at_least(1, dim=dim, num_rows=num_rows, num_layers=num_layers, growth=growth)
        require_multiple(2, num_columns=num_columns)
        self.num_rows, self.num_columns = num_rows, num_columns
        half, dims = num_columns // 2, [dim * 2**i for i in range(num_rows)]

        def block(width: int) -> ResidualDenseBlock:
            return ResidualDenseBlock(width, num_layers, growth)

        self.coefficient = nn.Parameter(torch.ones(num_rows, num_columns, 2, dims[-1]))
        self.rdb_module = nn.ModuleDict(
            {f"{i}_{j}": block(dims[i]) for i in range(num_rows) for j in range(num_columns - 1)}
        )
        self.downsample_module = nn.ModuleDict(
            {f"{i}_{j}": DownSample(dims[i]) for i in range(num_rows - 1) for j in range(half)}
        )
        self.upsample_module = nn.ModuleDict(
            {
                f"{i}_{j}": UpSample(dims[i + 1])
                for i in range(num_rows - 1)
                for j in range(half, num_columns)
            }
        )
        self.conv_in = nn.Conv2d(3, dim, 3, padding=1)
        self.rdb_in, self.rdb_out = block(dim), block(dim)
        self.conv_out = start_alive(nn.Conv2d(dim, 3, 3, padding=1))

    def _along(self, row: int, column: int, left: Tensor) -> Tensor:
        """What a node gets from the one before it in its row."""
        return self.rdb_module[f"{row}_{column - 1}"](left)

    def _join(self, row: int, column: int, along: Tensor, across: Tensor) -> Tensor:
        """A node with two inputs, both (B, C, H, W)."""
        first, second = self.coefficient[row, column, :, : along.shape[1], None, None]
        return first * along + second * across

    def forward(self, x: Tensor) -> Tensor:
        """Clear an image: (B, 3, H, W) in [0, 1] to the same shape, at least 0."""
        x = self.rdb_in(self.conv_in(2 * x - 1))
        rows, half = range(self.num_rows), self.num_columns // 2
        column = [x]  # the nodes of the present column, the finest scale first
        for i in rows[1:]:
            column.append(self.downsample_module[f"{i - 1}_0"](column[-1]))
        for j in range(1, half):
            nodes = [self._along(0, j, column[0])]
            for i in rows[1:]:
                below = self.downsample_module[f"{i - 1}_{j}"](nodes[-1])
                nodes.append(self._join(i, j, self._along(i, j, column[i]), below))
            column = nodes
        for j in range(half, self.num_columns):
            node = self._along(rows[-1], j, column[-1])
            nodes = [node]
            for i in reversed(rows[:-1]):
                node = self.upsample_module[f"{i}_{j}"](node, column[i].shape[-2:])
                node = self._join(i, j, self._along(i, j, column[i]), node)
                nodes.append(node)
            column = nodes[::-1]
        return F.relu(self.conv_out(self.rdb_out(column[0])))
