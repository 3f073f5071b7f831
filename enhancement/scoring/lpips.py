"""LPIPS (Zhang et al., CVPR 2018) with AlexNet, by the `lpips` package."""

from __future__ import annotations

import warnings
from functools import cache

import torch
from torch import Tensor, nn

from enhancement.errors import UserError


@cache
def lpips_network() -> nn.Module:
    """The network with its published weights, which are downloaded once.

    Raises:
        UserError: The package is not installed, or the weights cannot be downloaded.
    """
    try:
        import lpips
    except ImportError as error:
        raise UserError("lpips not computed: pip install lpips") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # it calls torchvision in an old way
            return lpips.LPIPS(net="alex", verbose=False).eval()
    except OSError as error:  # urllib's errors are OSErrors
        raise UserError("lpips not computed: AlexNet's weights could not be downloaded") from error


def load_lpips(device: torch.device) -> None:
    """Have the network ready on a device; errors as those of `lpips_network`."""
    lpips_network().to(device)


@torch.inference_mode()
def lpips_distance(output: Tensor, gt: Tensor) -> float:
    """Of two images (1, 3, H, W) in [0, 1]; 0 where they are equal."""
    network = lpips_network().to(output.device)
    return network(output.float() * 2 - 1, gt.float() * 2 - 1).item()
