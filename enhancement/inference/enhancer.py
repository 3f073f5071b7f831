"""The library's front door: `enhancement.load("photo")(image)`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from enhancement.colour import LUMA
from enhancement.device import named_device
from enhancement.errors import UserError
from enhancement.inference.engines import prepare
from enhancement.inference.frames import FrameEnhancer
from enhancement.inference.onnx_network import OnnxNetwork, open_network
from enhancement.units import parse_bytes
from enhancement.weights.shipped import DEFAULT

Array = NDArray[Any]
Picture = TypeVar("Picture", Array, Tensor, Image.Image)

UNKNOWN_RANGE = ("I", "F")  # Pillow's modes of 32 bits, which it would cut off at 255
DEEP_GREY = ("I;16", "I;16L", "I;16B", "I;16N")  # Pillow's modes of 16 bits


class Enhancer:
    """Enhances images of every form that Python has for them, each given back as what it was.

    - NumPy: (H, W, 3), (H, W, 4) with alpha, (H, W) or (H, W, 1) grey; uint8, uint16, or floats in
      [0, 1].
    - PyTorch: (3, H, W) or (B, 3, H, W), on any device; uint8 or floats in [0, 1].
    - Pillow: of any mode; those that are neither grey, RGB nor RGBA come back in RGB or RGBA.

    Grey images are enhanced as colour, and come back as the luma of that; alpha stays as it is.

    Attributes:
        core: What enhances the RGB frames that those become.
    """

    def __init__(self, core: FrameEnhancer) -> None:
        self.core = core

    def __call__(self, image: Picture) -> Picture:
        """Enhance one image, or a batch of tensors.

        Args:
            image: See the class; sRGB.

        Returns:
            The same type, shape and range.

        Raises:
            UserError: Of another type, shape or range; too large for `max_memory`.
        """
        if (
            isinstance(image, Tensor)
            and image.ndim == 4
            and image.layout == torch.strided
            and len(image) > 1
        ):
            return torch.stack([self(one) for one in image])
        self.core.reset()
        return self._one(image)

    def frames(self, images: Iterable[Picture]) -> Iterator[Picture]:
        """Enhance a video's frames in their order, with the `smoothing` that was asked for.

        One video after the other: an enhancer remembers the frames of one.

        Raises:
            UserError: As for one image.
        """
        self.core.reset()
        for image in images:
            yield self._one(image)

    def _one(self, image: Picture) -> Picture:
        if isinstance(image, Tensor):
            return self._tensor(image)
        if isinstance(image, Image.Image):
            return self._pillow(image)
        if isinstance(image, np.ndarray):
            return self._array(image)
        raise UserError(
            f"expected a NumPy array, a tensor or a Pillow image, but got {type(image).__name__}"
        )

    def _array(self, image: Array) -> Array:
        if not image.dtype.isnative:
            return self._array(image.astype(image.dtype.newbyteorder("="))).astype(image.dtype)
        if image.dtype.kind == "f" and image.dtype != np.float32:
            return self._array(image.astype(np.float32)).astype(image.dtype)
        if image.ndim == 2:
            return self._array(image[..., None])[..., 0]
        if image.ndim == 3 and image.shape[2] == 4:
            return np.dstack((self.core(image[..., :3]), image[..., 3]))
        if image.ndim == 3 and image.shape[2] == 1:
            grey = self.core(np.repeat(image, 3, axis=2)) @ LUMA
            whole = image.dtype != np.float32
            return (grey.round() if whole else grey)[..., None].astype(image.dtype)
        return self.core(image)

    def _tensor(self, images: Tensor) -> Tensor:
        whole = images.dtype == torch.uint8 or images.is_floating_point()
        if images.layout != torch.strided or images.is_meta or not whole or not images.numel():
            raise UserError(
                f"expected a dense tensor of pixels, uint8 or floats, but got "
                f"{tuple(images.shape)} of {images.dtype}, {images.layout}, on {images.device}"
            )
        if images.ndim == 4:
            return torch.stack([self._tensor(image) for image in images])
        if images.ndim != 3 or images.shape[0] != 3:
            raise UserError(
                f"expected a tensor (3, H, W) or (B, 3, H, W), but got {tuple(images.shape)}"
            )
        array = images.detach().permute(1, 2, 0).cpu()
        array = array if array.dtype == torch.uint8 else array.float()
        done = torch.from_numpy(self._array(array.numpy())).permute(2, 0, 1)
        return done.to(images.device, images.dtype)

    def _pillow(self, image: Image.Image) -> Image.Image:
        if image.mode in DEEP_GREY:
            return Image.fromarray(self._array(np.asarray(image).astype(np.uint16)))
        if image.mode in UNKNOWN_RANGE:
            raise UserError(
                f"expected a Pillow image of 8 or 16 bits, but got mode {image.mode}; "
                f"give it as an array"
            )
        plain = image.mode == "RGBA" or not image.has_transparency_data
        if image.mode not in ("L", "RGB", "RGBA") or not plain:
            try:
                image = image.convert("RGBA" if image.has_transparency_data else "RGB")
            except ValueError as error:
                raise UserError(
                    f"cannot take a Pillow image of mode {image.mode} ({error}); convert it to RGB"
                ) from error
        done = Image.fromarray(self._array(np.asarray(image)))
        done.info = dict(image.info)
        return done


def load(
    weights: str | Path | nn.Module = DEFAULT,
    *,
    device: str | torch.device = "auto",
    engine: str = "auto",
    precision: str = "fp32",
    max_memory: str | int | None = None,
    strength: float = 1.0,
    smoothing: float = 0.0,
    ensemble: bool = False,
) -> Enhancer:
    """An enhancer by the name of weights that come with this package, or by a file.

        bright = enhancement.load("photo")(image)

    Args:
        weights: A name such as "photo"; a file of ours or a published one; an ONNX file; a network,
            which is copied as it is now.
        device: "auto", "cpu", "cuda" or "cuda:N".
        engine: "auto", "pytorch" or "onnx": what computes.
        precision: "fp32", "bf16" or "fp16" (the latter on a GPU only).
        max_memory: Such as "4GB", or bytes; larger images are enhanced in tiles. None: most of what
            is free.
        strength: In [0, 1]: the share of the output in a blend with the input, in linear light.
        smoothing: In [0, 1): how steady the brightness of `frames` is kept. HDRNet only.
        ensemble: Average over 8 flips and rotations.

    Returns:
        Takes NumPy arrays, tensors and Pillow images, and gives each back as what it was.

    Raises:
        UserError: No such weights; an argument that does not fit.
    """
    if not isinstance(weights, str | Path | nn.Module):
        raise UserError(f"expected weights by name, a file or a network, but got {weights!r}")
    limit = None if max_memory is None else parse_bytes(str(max_memory))
    place = named_device(str(device))
    if isinstance(weights, OnnxNetwork):  # nothing changes it
        network: nn.Module = weights
    elif isinstance(weights, nn.Module):
        network = deepcopy(weights)
    else:
        network = open_network(weights)[0]
    prepared = prepare(
        network.eval().to(place), place, engine, precision=precision, max_memory=limit
    )
    return Enhancer(
        FrameEnhancer(
            prepared,
            place,
            smoothing=smoothing,
            precision=precision,
            ensemble=ensemble,
            max_memory=limit,
            strength=strength,
        )
    )
