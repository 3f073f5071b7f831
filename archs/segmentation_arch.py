"""Lesion segmentation: the decoders of segmentation_models_pytorch on encoders of timm.

No paper of its own; the default decoder is U-Net (Ronneberger et al., MICCAI 2015,
https://arxiv.org/abs/1505.04597).
Published code: https://github.com/qubvel-org/segmentation_models.pytorch
It gives a mask, not an image: trained by `SegmentationModel`, frozen behind WSGM, and used to
measure what enhancement does for segmentation.
Differs in: images in [0, 1] are normalised inside the network.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor

from .contract import Network

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TIMM = "tu-"


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what timm and PyTorch say of each tensor of an encoder's weights.

    Its classifier is left out on purpose, and a network that is built to be checked alone has no
    memory that weights could be copied to.
    """
    timm = logging.getLogger("timm")
    level = timm.level
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "for .*: copying from a non-meta parameter")
        timm.setLevel(logging.ERROR)
        try:
            yield
        finally:
            timm.setLevel(level)


@ARCH_REGISTRY.register()
class SegmentationNet(Network):
    """A mask's logits from an image.

    Args:
        decoder: The architecture, by its name in segmentation_models_pytorch.
        encoder: A timm network that gives features at several sizes, by its timm name.
        encoder_weights: "pretrained" downloads timm's; null starts at random.

    Raises:
        ValueError: No such encoder, or its weights cannot be had.
    """

    family = "segmentation"

    mean: Tensor
    std: Tensor
    size_multiple = 32
    gives = "mask"
    only_before_training = ("encoder_weights",)

    def __init__(
        self,
        decoder: Literal["unet", "unetplusplus", "fpn", "linknet", "manet"] = "unet",
        encoder: str = "resnet18",
        encoder_weights: Literal["pretrained"] | None = None,
    ) -> None:
        import segmentation_models_pytorch as smp  # a second that other networks need not wait
        import timm

        super().__init__()
        if not timm.is_model(encoder):  # "hf-hub:..." and "local-dir:..." would be looked up
            raise ValueError(
                f"Expected `encoder` to be a timm network with features, but got '{encoder}' "
                "(timm has none of that name)."
            )
        try:
            with _quiet():
                self.network = smp.create_model(
                    decoder, TIMM + encoder, encoder_weights and True, in_channels=3, classes=1
                )
            self._try_sizes()
        except OSError as error:
            raise ValueError(
                f"The weights of `encoder` '{encoder}' cannot be downloaded; "
                "`encoder_weights: null` starts at random."
            ) from error
        except (RuntimeError, KeyError, ValueError, AssertionError) as error:
            raise ValueError(
                f"Expected `encoder` to be a timm network with features, but got '{encoder}' "
                f"({str(error).splitlines()[0]})."
            ) from error
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)

    def _try_sizes(self) -> None:
        """Run once, for some of timm's encoders take images of a single size.

        Raises:
            AssertionError: This one does.
        """
        device = next(self.network.parameters()).device
        with torch.no_grad():
            self.network.eval()(torch.zeros(1, 3, 32, 64, device=device))
        self.network.train()

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1], H and W multiples of 32, to logits (B, 1, H, W)."""
        return self.network((x - self.mean) / self.std)
