"""How steady an enhanced clip is beside its ground truth: the temporal metrics of `video`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import fmean, pvariance
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from enhancement.data.images import to_8_bit

# a flow is trusted where going there and back ends within this (Sundaram et al., ECCV 2010, eq. 5)
RELATIVE, ABSOLUTE = 0.01, 0.5


@dataclass
class Clip:
    """What a clip's temporal scores are computed from, gathered frame by frame.

    Attributes:
        means: The mean of each frame, in [0, 255].
        residuals: Of each frame but the first, the mean square of what motion does not explain.
    """

    means: list[float] = field(default_factory=list)
    residuals: list[float] = field(default_factory=list)
    _last: Tensor | None = None

    def add(self, frame: Tensor, motion: Motion | None) -> None:
        """Take the next frame, (1, 3, H, W) in [0, 1], with the motion that led to it."""
        frame = to_8_bit(frame).double()
        self.means.append(frame.mean().item())
        if motion is not None and self._last is not None:
            square = (frame - motion.warp(self._last)).square().mean(1)[motion.trusted]
            self.residuals.append(square.mean().item() if len(square) else 0.0)
        self._last = frame


@dataclass(frozen=True)
class Motion:
    """Where each pixel of a frame was in the frame before it.

    Attributes:
        grid: (1, H, W, 2), in grid_sample's coordinates.
        trusted: (1, H, W), False where it came into view or the flow is not sure of itself.
    """

    grid: Tensor
    trusted: Tensor

    def warp(self, previous: Tensor) -> Tensor:
        """The frame before, (1, C, H, W), moved to where its content is now."""
        return F.grid_sample(previous, self.grid, padding_mode="border", align_corners=True)


class MotionTracker:
    """The motion of a clip's ground truth, by OpenCV's DIS optical flow (Kroeger et al., 2016)."""

    def __init__(self) -> None:
        self._flow: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._last: Any = None

    def follow(self, gt: Tensor) -> Motion | None:
        """The motion from the last frame to this one, (1, 3, H, W); None for the first."""
        rgb = to_8_bit(gt)[0].permute(1, 2, 0).to(torch.uint8).cpu().numpy()
        grey, last = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), self._last
        self._last = grey
        if last is None:
            return None
        back, forth = self._flow.calc(grey, last, None), self._flow.calc(last, grey, None)
        rows, columns = grey.shape
        y, x = np.mgrid[:rows, :columns].astype(np.float32)
        there = back + np.stack((x, y), -1)
        returned = cv2.remap(forth, there[..., 0], there[..., 1], cv2.INTER_LINEAR)
        squares = (back**2).sum(-1) + (returned**2).sum(-1)
        sure = ((back + returned) ** 2).sum(-1) < RELATIVE * squares + ABSOLUTE
        largest = np.array((columns - 1, rows - 1))
        inside = ((there >= 0) & (there <= largest)).all(-1)
        grid = 2 * there.astype(np.float64) / np.maximum(largest, 1) - 1
        return Motion(
            torch.from_numpy(grid)[None].to(gt.device),
            torch.from_numpy(sure & inside)[None].to(gt.device),
        )


def flicker(output: Clip, gt: Clip) -> float:
    """The variance of the output's frame means over the ground truth's: 1 is as steady as it."""
    own, true = pvariance(output.means), pvariance(gt.means)
    return own / true if true else math.inf if own else 1.0


def warping_error(output: Clip, gt: Clip | None = None) -> float:
    """What the ground truth's motion does not explain of the change from frame to frame.

    The root of the mean square, in levels of [0, 255], over the pixels whose motion is trusted;
    after Lai et al., ECCV 2018, eq. 7. A darker or flatter clip has less of it: compare with the
    ground truth's own.
    """
    return math.sqrt(fmean(output.residuals))
