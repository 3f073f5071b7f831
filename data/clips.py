"""Frames of videos as images of a dataset, and how a decoded frame becomes RGB."""

from __future__ import annotations

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


def videos_in(folder: Path) -> list[Path]:
    """The videos below a folder, sorted."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in VIDEO_EXTENSIONS
        and not path.name.startswith(".")
        and path.is_file()
    )


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__


class ClipSource:
    """Frames of every video below a folder, named `clip.mp4/000050.png` by their numbers.

    Args:
        root: The folder.
        step: Take one frame in so many; neighbouring frames are nearly alike.

    Raises:
        UserError: A file is no video, or has no frames.
    """

    def __init__(self, root: str | Path, step: int = 1):
        self.root, self.folder = str(root), locate(root)
        self._times: dict[str, list[int]] = {}
        for path in videos_in(self.folder):
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
        height, width = self.read(name).shape[:2]
        return height, width

    def read(self, name: str) -> Array:
        clip, _, number = name.rpartition("/")
        time = self._times[clip][int(Path(number).stem)]
        path = self.folder / clip
        try:
            with open_video(path) as container:
                stream = container.streams.video[0]
                colours = colours_of(stream.codec_context)
                container.seek(time, stream=stream)  # to the key frame before it
                for frame in container.decode(stream):
                    if frame.pts is not None and frame.pts >= time and not frame.is_corrupt:
                        return rgb_frame(frame, *colours)
        except (av.error.FFmpegError, OSError) as error:
            raise UserError(f"{self.where(name)}: cannot be decoded ({_reason(error)})") from error
        raise UserError(f"{self.where(name)}: cannot be decoded; the video is damaged or cut off")
