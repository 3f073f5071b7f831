"""Enhance frames as they come: one frame at a time, or a stream that decodes, enhances and encodes
at once."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from enhancement.archs.bilateral_grid import pack_grid, run_kernel
from enhancement.archs.hdrnet_arch import DARKEST, HDRNet
from enhancement.errors import UserError
from enhancement.evaluation import enhance

Frame = NDArray[Any]
T = TypeVar("T")

LEVELS = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0}
THUMBNAIL = 16  # scenes are compared at this side, where a sensor's noise averages out
DARK_SCENE = 0.01  # added to both, so that nearly black scenes do not count as changed


class FrameEnhancer:
    """Enhances frames one after the other: RGB (H, W, 3) in, the same type and size out.

    On the CPU an HDRNet takes one fused pass over the frame (archs/bilateral_kernels.py); every
    other network, and a GPU, takes the ordinary path. Frames are uint8, uint16 or float32 in
    [0, 1].

    Args:
        network: Any registered network with its weights; put into evaluation mode.
        device: Where to compute; None leaves the network where it is.
        smoothing: In [0, 1): how much of the last frame's bilateral grid stays in this one's
            (exponential average), so that brightness does not flicker. HDRNet only.
        scene_cut: In (0, 1]: a frame that differs from the one before by more starts afresh. The
            difference is the sum of absolute differences of two thumbnails over the sum of their
            larger values.

    Raises:
        UserError: `smoothing` is asked of a network without a bilateral grid, or out of range.
    """

    def __init__(
        self,
        network: nn.Module,
        device: torch.device | None = None,
        smoothing: float = 0.0,
        scene_cut: float = 0.3,
    ) -> None:
        if not 0 <= smoothing < 1 or not 0 < scene_cut <= 1:
            raise UserError(
                f"smoothing must be in [0, 1) and scene_cut in (0, 1], but got {smoothing} and "
                f"{scene_cut}"
            )
        self.grid_network = network if isinstance(network, HDRNet) else None
        if smoothing and not self.grid_network:
            raise UserError(
                f"smoothing averages a bilateral grid, but {type(network).__name__} has none; "
                f"use HDRNet or leave smoothing at 0"
            )
        self.network = network.eval().to(device) if device else network.eval()
        self.device = next(network.parameters()).device
        self.smoothing, self.scene_cut = smoothing, scene_cut
        self.reset()

    def reset(self) -> None:
        """Forget the frames before."""
        self._grid: Tensor | None = None
        self._thumbnail: Tensor | None = None

    def __call__(self, frame: Frame) -> Frame:
        """Enhance one frame.

        Raises:
            UserError: Not (H, W, 3), or of another type.
        """
        kind = str(frame.dtype)
        if frame.ndim != 3 or frame.shape[2] != 3 or kind not in LEVELS or not frame.size:
            raise UserError(
                f"expected a frame (H, W, 3) of {', '.join(LEVELS)}, "
                f"but got {frame.shape} of {kind}"
            )
        frame = np.ascontiguousarray(frame)
        with torch.inference_mode():
            if self.grid_network is None:
                return self._whole(enhance(self.network, self._tensor(frame)), frame)
            if self.device.type == "cpu":
                return self._fused(self.grid_network, frame)
            image = self._tensor(frame)
            small = self.grid_network.coefficients.shrink(image)
            grid = self._steady(self.grid_network.coefficients.predict(small), small)
            return self._whole(self.grid_network.render(grid, image)[0], frame)

    def _fused(self, network: HDRNet, frame: Frame) -> Frame:
        levels = np.float32(LEVELS[str(frame.dtype)])
        side = network.coefficients.low_resolution
        small = torch.empty(1, 3, side, side)
        run_kernel("shrink", frame, levels, small[0].numpy())
        grid = self._steady(network.coefficients.predict(small), small)
        features, hinges, bias = network.guide.as_hinges()
        out = np.empty_like(frame)
        run_kernel(
            "enhance_frame", frame, pack_grid(grid)[0].contiguous().numpy(), features.numpy(),
            hinges.numpy(), np.float32(bias.item()), network.guide.sigmoid,
            network.gives_illumination, np.float32(DARKEST), levels,
            np.float32(0 if frame.dtype == np.float32 else 0.5), out,
        )  # fmt: skip
        return out

    def _steady(self, grid: Tensor, small: Tensor) -> Tensor:
        """The grid averaged with those of the frames before, unless the scene has changed."""
        if not self.smoothing:
            return grid
        thumbnail = F.adaptive_avg_pool2d(small, THUMBNAIL) + DARK_SCENE
        before, self._thumbnail = self._thumbnail, thumbnail
        if self._grid is not None and before is not None:
            change = (thumbnail - before).abs().sum()
            if change <= self.scene_cut * torch.maximum(thumbnail, before).sum():
                grid = torch.lerp(grid, self._grid, self.smoothing)
        self._grid = grid
        return grid

    def _tensor(self, frame: Frame) -> Tensor:
        image = torch.from_numpy(frame).to(self.device).permute(2, 0, 1)[None]
        return image.float() / LEVELS[str(frame.dtype)]

    @staticmethod
    def _whole(output: Tensor, frame: Frame) -> Frame:
        values = output[0].float().clamp(0, 1).permute(1, 2, 0) * LEVELS[str(frame.dtype)]
        if frame.dtype != np.float32:
            values = values.add(0.5).floor()
        return values.cpu().numpy().astype(frame.dtype)


def read_ahead(items: Iterable[T], ahead: int = 4) -> Iterator[T]:
    """The same items, fetched by a thread of their own, at most `ahead` of them waiting.

    An error of the source is raised where its item would have come. Closing the iterator ends the
    thread as soon as the source gives its next item.
    """
    waiting: queue.Queue[tuple[str, Any]] = queue.Queue(max(1, ahead))
    stopped = threading.Event()

    def put(message: tuple[str, Any]) -> bool:
        while not stopped.is_set():
            with suppress(queue.Full):
                waiting.put(message, timeout=0.1)
                return True
        return False

    source = iter(items)

    def fetch() -> None:
        try:
            for item in source:
                if not put(("item", item)):
                    return
            put(("end", None))
        except BaseException as error:
            put(("error", error))
        finally:
            getattr(source, "close", lambda: None)()

    thread = threading.Thread(target=fetch, daemon=True, name="read_ahead")
    thread.start()
    try:
        while True:
            kind, value = waiting.get()
            if kind == "error":
                raise value
            if kind == "end":
                return
            yield value
    finally:
        stopped.set()
        thread.join(timeout=1)


def enhance_frames(
    frames: Iterable[Frame], enhancer: Callable[[Frame], Frame], ahead: int = 4
) -> Iterator[Frame]:
    """Enhance a stream of frames, in order, in bounded memory.

    Decoding runs in one thread, enhancing in a second, and what the caller does with a frame (say,
    encoding it) in the caller's own; all three overlap.

    Args:
        frames: RGB frames, a decoder for example; each an array of its own, not one buffer again.
        enhancer: Takes a frame to an enhanced one; see `FrameEnhancer`.
        ahead: How many frames may wait before and after the enhancer.

    Raises:
        UserError: Whatever decoding or enhancing raises, in the caller's thread.
    """
    decoded = read_ahead(frames, ahead)
    yield from read_ahead((enhancer(frame) for frame in decoded), ahead)
