"""Frames enhanced one after the other, as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enhancement.archs.bilateral.launch import can_run, run_kernel
from enhancement.archs.bilateral.slicing import pack_grid
from enhancement.archs.contract import contract_of
from enhancement.archs.hdrnet_arch import DARKEST, HDRNet
from enhancement.errors import UserError
from enhancement.inference.onnx_network import OnnxNetwork
from enhancement.inference.run import autocast, enhance, self_ensemble
from enhancement.inference.strength import LEVELS, Frame, blend, check_strength
from enhancement.inference.tiles import BoundedMemory

PRECISIONS = ("fp32", "bf16", "fp16")
THUMBNAIL = 16  # scenes are compared at this side, where a sensor's noise averages out
BELOW_BLACK = -0.5  # floats below it come from another range, such as [-1, 1]
BEYOND_WHITE = 2.0  # floats above it are no light that a sensor or a codec rounded past 1
# two thumbnails' absolute differences, by the sum of their larger values: beyond, a new scene
SCENE_CUT = 0.3
DARK_SCENE = 0.01  # added to both thumbnails, so that noise in the dark is no change of scene


class FrameEnhancer:
    """Enhances frames one after the other: RGB (H, W, 3) in, the same type and size out.

    On the CPU HDRNet makes one fused pass over the frame (archs/bilateral/kernels.py), in float32
    and with little more memory than the frame's own. Every other network, and a GPU, takes the
    ordinary path, in tiles where memory is short (tiles.py). Frames are uint8, uint16 or float32
    in [0, 1].

    Args:
        network: Any registered network with its weights, or one that `engines.prepare` returned;
            put into evaluation mode.
        device: Where to compute; None leaves the network where it is.
        smoothing: In [0, 1): the weight of the previous bilateral grid in an exponential moving
            average, which keeps brightness from flickering; a new scene starts a new one. HDRNet
            only.
        precision: "fp32", "bf16" or "fp16" (the latter on a GPU only).
        ensemble: Average over 8 flips and rotations.
        max_memory: In bytes; see `BoundedMemory`.
        strength: In [0, 1]: the share of the output in a blend with the input, in linear light.

    Raises:
        UserError: `smoothing` with another network than HDRNet, or with `ensemble`; an argument
            is out of range.
    """

    def __init__(
        self,
        network: nn.Module,
        device: torch.device | None = None,
        smoothing: float = 0.0,
        precision: str = "fp32",
        ensemble: bool = False,
        max_memory: int | None = None,
        strength: float = 1.0,
    ) -> None:
        check_strength(strength)
        declared = contract_of(network)
        if declared.gives != "image":
            raise UserError(f"{declared.title} gives masks, not images; it enhances nothing")
        if not (isinstance(smoothing, int | float | np.floating) and 0 <= smoothing < 1):
            raise UserError(f"smoothing must be in [0, 1), but got {smoothing!r}")
        grid_network = network if isinstance(network, HDRNet) else None
        if smoothing and not grid_network:
            raise UserError(
                f"smoothing works with HDRNet alone, but this is {declared.title}; "
                f"use weights such as `video`, or leave smoothing at 0"
            )
        if smoothing and ensemble:
            raise UserError("smoothing and self_ensemble exclude each other; leave one of them")
        self.network = network.eval().to(device) if device else network.eval()
        at = device if device and not isinstance(network, OnnxNetwork) else torch.device("cpu")
        self.device = next((p.device for p in network.parameters()), at)
        if precision not in PRECISIONS:
            raise UserError(f"precision must be {', '.join(PRECISIONS)}, but got {precision!r}")
        if precision == "fp16" and self.device.type == "cpu":
            raise UserError("precision fp16 needs a GPU; use bf16 or fp32 on a CPU")
        if precision == "fp16" and not declared.fp16:
            raise UserError(
                f"{declared.title} is not known to compute in fp16; use precision bf16 or fp32"
            )
        if isinstance(network, OnnxNetwork) and (max_memory or precision != "fp32"):
            raise UserError(
                f"{declared.title} runs on whole images in fp32; leave out max_memory and precision"
            )
        if declared.whole_image and max_memory:
            raise UserError(
                f"{declared.title} must see the whole image, so its memory cannot be limited; "
                f"leave out max_memory"
            )
        self.bounded = (
            self.network if declared.whole_image else BoundedMemory(self.network, max_memory)
        )
        self.run = self_ensemble if ensemble else enhance
        fused = self.device.type == "cpu" and not ensemble
        self.by_grid = grid_network if smoothing or fused else None
        self.fuses, self.ensemble = fused and bool(grid_network), ensemble
        self.precision, self.smoothing = precision, smoothing
        self.strength = strength
        self.reset()

    def reset(self) -> None:
        """Forget the previous frames."""
        self._grid: Tensor | None = None
        self._thumbnail: Tensor | None = None

    def __call__(self, frame: Frame) -> Frame:
        """Enhance one frame.

        Raises:
            UserError: Not (H, W, 3), or of another type or range; too large for `max_memory`;
                the output is not finite.
        """
        return self.together([frame])[0]

    def together(self, frames: list[Frame]) -> list[Frame]:
        """Enhance frames of one size and type, in one batch where that is faster.

        Raises:
            UserError: As for one frame.
        """
        frames = [np.require(checked(frame), requirements=("C", "W")) for frame in frames]
        with torch.inference_mode():
            done = self._enhanced(frames)
        return [blend(*pair, self.strength) for pair in zip(frames, done, strict=True)]

    def _enhanced(self, frames: list[Frame]) -> list[Frame]:
        if self.by_grid and (self.smoothing or can_run()):
            return [self._by_grid(self.by_grid, frame) for frame in frames]
        images = torch.cat([self._tensor(frame) for frame in frames])
        with autocast(self.device, self.precision):
            done = self.run(self.bounded, images)
        del images
        check_finite(*done.aminmax())
        return [self._frame(output, frames[0].dtype) for output in done]

    def _by_grid(self, network: HDRNet, frame: Frame) -> Frame:
        if self.device.type == "cpu" and can_run():
            return self._fused(network, frame)
        image = self._tensor(frame)
        small = network.coefficients.shrink(image)
        grid = self._steady(network.coefficients.predict(small), small)
        done = network.render(grid, image)[0]
        check_finite(*done.aminmax())
        return self._frame(done[0], frame.dtype)

    def _fused(self, network: HDRNet, frame: Frame) -> Frame:
        levels = np.float32(LEVELS[str(frame.dtype)])
        side = network.coefficients.low_resolution
        small = torch.empty(1, 3, side, side)
        run_kernel("shrink", frame, levels, small[0].numpy())
        grid = self._steady(network.coefficients.predict(small), small)
        features, hinges, bias = network.guide.as_hinges()
        # the kernel gives integers, which hide NaN; these bound all that it computes
        check_finite(grid.abs().sum(), bias + hinges.abs().sum() * (1 + features.abs().sum()))
        out = np.empty_like(frame)
        run_kernel(
            "enhance_frame",
            frame,
            pack_grid(grid)[0].contiguous().numpy(),
            features.numpy(),
            hinges.numpy(),
            np.float32(bias.item()),
            network.guide.sigmoid,
            network.mode == "illumination",
            np.float32(DARKEST),
            levels,
            np.float32(0 if frame.dtype == np.float32 else 0.5),
            out,
        )
        return out

    def _steady(self, grid: Tensor, small: Tensor) -> Tensor:
        """The grid averaged with those of the previous frames, unless the scene has changed."""
        if not self.smoothing:
            return grid
        thumbnail = F.adaptive_avg_pool2d(small, THUMBNAIL) + DARK_SCENE
        before, self._thumbnail = self._thumbnail, thumbnail
        if self._grid is not None and before is not None:
            change = (thumbnail - before).abs().sum()
            if change <= SCENE_CUT * torch.maximum(thumbnail, before).sum():
                grid = torch.lerp(grid, self._grid, self.smoothing)
        self._grid = grid
        return grid

    def _tensor(self, frame: Frame) -> Tensor:
        image = torch.from_numpy(frame).to(self.device).permute(2, 0, 1)[None]
        return image.to(torch.float32, copy=True).div_(LEVELS[str(frame.dtype)])

    @staticmethod
    def _frame(output: Tensor, dtype: np.dtype[Any]) -> Frame:
        """(3, H, W) in [0, 1] to a frame (H, W, 3)."""
        values = output.float().clamp(0, 1).mul_(LEVELS[str(dtype)])
        if dtype != np.float32:
            values.add_(0.5).floor_()
        return np.ascontiguousarray(values.cpu().numpy().astype(dtype).transpose(1, 2, 0))


def check_finite(*values: Tensor) -> None:
    """Refuse an output in which these numbers occur, or which is computed from them.

    Raises:
        UserError: One of them is NaN or infinite.
    """
    if not all(bool(value.isfinite()) for value in values):
        raise UserError(
            "the network's output has NaN or infinite numbers; take other weights, or "
            "--precision fp32"
        )


def checked(frame: Frame) -> Frame:
    """The frame itself.

    Raises:
        UserError: Not (H, W, 3), or of another type or range.
    """
    kind = str(frame.dtype)
    if frame.ndim != 3 or frame.shape[2] != 3 or kind not in LEVELS or not frame.size:
        raise UserError(
            f"expected a frame (H, W, 3) of {', '.join(LEVELS)}, but got {frame.shape} of {kind}"
        )
    if kind == "float32":
        _check_range(frame)
    return frame


def _check_range(frame: Frame) -> None:
    """Refuse floats that are not numbers, or clearly not in [0, 1].

    Raises:
        UserError: They are not.
    """
    lowest, highest = frame.min(), frame.max()
    if not np.isfinite([lowest, highest]).all():
        raise UserError("the image has NaN or infinite numbers; expected floats in [0, 1]")
    if highest > BEYOND_WHITE:
        raise UserError(
            f"expected floats in [0, 1], but the image's largest is {highest:g}; divide it by its "
            f"white, or give it as uint8 or uint16"
        )
    if lowest < BELOW_BLACK:
        raise UserError(
            f"expected floats in [0, 1], but the image's smallest is {lowest:g}; "
            f"from [-1, 1] it is image / 2 + 0.5"
        )
