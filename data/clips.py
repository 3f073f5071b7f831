"""Frames of videos as images of a dataset, and how a decoded frame becomes RGB."""

from __future__ import annotations

import math
import os
import threading
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from enhancement.errors import UserError
from enhancement.files import require_file
from enhancement.paths import locate

from .images import Array

VIDEO_EXTENSIONS = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v", ".mpg", ".mpeg")
# the only parsers that a file reaches: those of playlists, for one, open other files or addresses
CONTAINERS = "mov,matroska,avi,mpeg,mpegts,mpegvideo"
MATRICES = (1, 4, 5, 7, 9)  # the colour matrices that the scaler knows
BT601, NARROW, FULL = 5, 1, 2
NEAR = 32  # frames: decoding so many is no dearer than starting at a key frame
MOST_OPEN = 4  # videos a thread: an input, a ground truth, and those of the clip before


def open_video(path: Path) -> Any:
    """PyAV's container of a video file, for reading; nothing but that file is opened.

    Raises:
        av.error.FFmpegError: It is no video in one of `CONTAINERS`.
        OSError: It cannot be read.
        UserError: It is a pipe or a device.
    """
    only = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
    return av.open(f"file:{require_file(path)}", options=only)


def colours_of(context: Any) -> tuple[bool, int, int]:
    """Whether a codec context's frames have more than 8 bits; their colour matrix and range."""
    deep = context.format is not None and context.format.components[0].bits > 8
    matrix = int(context.colorspace) if int(context.colorspace) in MATRICES else BT601
    return deep, matrix, FULL if int(context.color_range) == FULL else NARROW


def rgb_frame(frame: Any, deep: bool, matrix: int, color_range: int) -> Array:
    """A decoded frame as upright RGB (H, W, 3): uint16 if `deep`, else uint8."""
    rgb = frame.reformat(
        format="rgb48le" if deep else "rgb24",
        src_colorspace=matrix,
        src_color_range=color_range,
        dst_color_range=FULL,
    ).to_ndarray()
    return np.ascontiguousarray(np.rot90(rgb, round(frame.rotation / 90)))


def is_video(path: Path) -> bool:
    """Whether a path's ending is a video's."""
    return path.suffix.lower() in VIDEO_EXTENSIONS


def videos_in(folder: Path) -> list[Path]:
    """The videos below a folder, sorted."""
    return sorted(
        path
        for path in folder.rglob("*")
        if is_video(path) and not path.name.startswith(".") and path.is_file()
    )


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__


class ClipSource:
    """Frames of every video below a folder, named `clip.mp4/000050.png` by their numbers.

    Args:
        root: The folder; or one video.
        step: Take one frame in so many; neighbouring frames are nearly alike.

    Raises:
        UserError: A file is no video, or has no frames.
    """

    def __init__(self, root: str | Path, step: int = 1):
        self.root, place = str(root), locate(root)
        self.folder = place.parent if place.is_file() else place
        self._times: dict[str, list[int]] = {}
        self._sizes: dict[str, tuple[int, int]] = {}
        for path in [place] if place.is_file() else videos_in(place):
            clip = path.relative_to(self.folder).as_posix()
            self._times[clip] = self._timestamps(path)
        self.names = [
            f"{clip}/{number:06d}.png"
            for clip, times in self._times.items()
            for number in range(0, len(times), step)
        ]

    @staticmethod
    def _timestamps(path: Path) -> list[int]:
        """When each frame is shown, read without decoding any."""
        try:
            with open_video(path) as container:
                stream = container.streams.video[0]
                times = sorted(p.pts for p in container.demux(stream) if p.pts is not None)
        except (av.error.FFmpegError, OSError, IndexError) as error:
            raise UserError(f"{path}: cannot be read as a video ({_reason(error)})") from error
        if not times:
            raise UserError(f"{path}: has no frames")
        return times

    def where(self, name: str) -> str:
        return str(self.folder / name)

    def encoded(self, name: str) -> bytes:
        return cv2.imencode(".png", self.read(name)[..., ::-1])[1].tobytes()

    def size(self, name: str) -> tuple[int, int]:
        clip = name.rpartition("/")[0]
        if clip not in self._sizes:
            height, width = self.read(name).shape[:2]
            self._sizes[clip] = height, width
        return self._sizes[clip]

    def read(self, name: str) -> Array:
        clip, _, number = name.rpartition("/")
        path, times, index = self.folder / clip, self._times[clip], int(Path(number).stem)
        decoders = _decoders.by_path
        decoder = decoders.pop(path, None) or _Decoder(path)
        try:
            frame = decoder.frame(times[index], times[max(0, index - NEAR)])
        except (av.error.FFmpegError, OSError) as error:
            raise UserError(f"{self.where(name)}: cannot be decoded ({_reason(error)})") from error
        if frame is None:
            raise UserError(
                f"{self.where(name)}: cannot be decoded; the video is damaged or cut off"
            )
        decoders[path] = decoder
        if len(decoders) > MOST_OPEN:
            del decoders[next(iter(decoders))]
        return frame


class _Decoder:
    """An open video that goes on from the frame it gave last, where the next one is near."""

    def __init__(self, path: Path):
        self._path, self._last = path, -math.inf
        self._container: Any = None

    def frame(self, time: int, near: int) -> Array | None:
        """The first frame at `time` or later; None if there is none.

        Args:
            time: Of presentation, in the stream's units.
            near: How far behind `time` the last frame may lie to be gone on from.
        """
        if self._container is None:
            self._container = open_video(self._path)
            self._stream = self._container.streams.video[0]
            self._colours = colours_of(self._stream.codec_context)
        if not near <= self._last < time:
            self._container.seek(time, stream=self._stream)  # to the key frame before it
            self._frames = self._container.decode(self._stream)
        for frame in self._frames:
            if frame.pts is not None and frame.pts >= time and not frame.is_corrupt:
                self._last = frame.pts
                return rgb_frame(frame, *self._colours)
        return None


class _Decoders(threading.local):
    """The open videos of a thread, the one used last at the end."""

    def __init__(self) -> None:
        self.by_path: dict[Path, _Decoder] = {}


_decoders = _Decoders()
os.register_at_fork(after_in_child=lambda: _decoders.by_path.clear())  # they share their positions
