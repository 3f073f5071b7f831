"""How bright a colour is: BT.601's luma."""

from __future__ import annotations

from torch import Tensor

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue


def luma(image: Tensor) -> Tensor:
    """The luma of RGB images, (B, 3, H, W) to (B, 1, H, W)."""
    return (image * image.new_tensor(LUMA).view(3, 1, 1)).sum(1, keepdim=True)
