"""`--max_memory` kept on a CPU: a file is admitted by its header, or refused before decoding."""

from __future__ import annotations

import numpy as np
import psutil

from enhancement.archs.bilateral.launch import bytes_to_load
from enhancement.archs.contract import contract_of
from enhancement.data.image_headers import BYTES_PER_PIXEL, Header
from enhancement.errors import UserError
from enhancement.inference.frames import FrameEnhancer
from enhancement.inference.tiles import IMAGE_BYTES, PROBE, SMALLEST_TILE, BoundedMemory
from enhancement.inference.video_sink import sampling_for
from enhancement.inference.video_source import VideoSource
from enhancement.memory import used_memory
from enhancement.units import readable_bytes

TENSOR_BYTES = 12  # a pixel of three float32
ENSEMBLE_TENSORS = 3  # that averaging over flips holds beside the network's
# of 8 bits a pixel, by colour sampling: frames on their way, and those inside the codecs
VIDEO_BYTES = {"420": 200, "422": 250, "444": 350}


class MemoryLimit:
    """Lets one file after the other be enhanced within a limit.

    Args:
        enhancer: On the CPU, with a limit. It is run once, so that libraries and kernels are
            loaded and count as held.

    Raises:
        UserError: Nothing can be enhanced within the limit.
    """

    def __init__(self, enhancer: FrameEnhancer) -> None:
        assert isinstance(enhancer.bounded, BoundedMemory)
        assert enhancer.bounded.max_memory
        self.enhancer, self.bounded = enhancer, enhancer.bounded
        self.limit = enhancer.bounded.max_memory
        if contract_of(enhancer.network).has_kernels:
            self._admit(bytes_to_load(), "the network with its compiled kernels")
        enhancer(np.zeros((PROBE, PROBE, 3), np.uint8))
        enhancer.reset()
        self._admit(0, "the network alone")

    def admit_image(self, header: Header, where: str) -> None:
        """Refuse an image that cannot be decoded, enhanced and encoded within the limit.

        Raises:
            UserError: Says what would be enough.
        """
        height, width = header.size
        decoding = height * width * BYTES_PER_PIXEL[header.bits]
        self._admit(
            max(decoding, self._enhancing(height, width)), f"{where}: {width}x{height} pixels"
        )

    def admit_video(self, source: VideoSource) -> None:
        """Refuse a video that cannot be enhanced within the limit.

        Raises:
            UserError: Says what would be enough.
        """
        height, width = source.stream.codec_context.height, source.stream.codec_context.width
        frames = height * width * VIDEO_BYTES[sampling_for(source, height, width)]
        frames *= 2 if source.deep else 1
        needed = frames + self._enhancing(height, width)
        self._admit(needed, f"{source.path}: frames of {width}x{height} pixels")

    def _enhancing(self, height: int, width: int) -> float:
        """Bytes that enhancing takes at least: all of it, or, where tiles can be made, in those."""
        pixels = height * width
        if self.enhancer.fuses:
            return pixels * BYTES_PER_PIXEL[8]
        tensors = 1 + ENSEMBLE_TENSORS * self.enhancer.ensemble
        tile = min(pixels, SMALLEST_TILE**2) * self.bounded.bytes_per_pixel
        return pixels * (IMAGE_BYTES + tensors * TENSOR_BYTES) + tile

    def _admit(self, needed: float, what: str) -> None:
        psutil.heap_trim()  # what earlier files have left
        total = used_memory() + needed
        if total > self.limit:
            raise UserError(
                f"{what}: needs about {readable_bytes(total)}, but --max_memory is "
                f"{readable_bytes(self.limit)}"
            )
