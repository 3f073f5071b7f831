"""Frames of videos as images of a dataset, and how a decoded frame becomes RGB."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any

import av
import cv2
import numpy as np

from enhancement.errors import UserError
from enhancement.files import require_file
from enhancement.paths import locate

from .images import Array

VIDEO_EXTENSIONS = (
    *(".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v"),
    *(".mpg", ".mpeg", ".ts", ".mts", ".m2ts"),  # as recorders write
)
AVI, WITHOUT_INDEX = "avi", ("mpeg", "mpegts", "mpegvideo")  # as FFmpeg calls them
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


def decoder_of(stream: Any, path: Path) -> Any:
    """The codec context of a video stream.

    Raises:
        UserError: The library here knows no such codec.
    """
    if stream.codec_context is None:
        raise UserError(f"{path}: its video codec is not known here; convert it to H.264, say")
    return stream.codec_context


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
    return np.ascontiguousarray(_upright(rgb, frame.side_data.get("DISPLAYMATRIX")))


def _upright(rgb: Array, matrix: Any) -> Array:
    """A picture (H, W, 3) turned and mirrored as its container says.

    Args:
        rgb: As it was decoded.
        matrix: FFmpeg's display matrix, 3x3 whole numbers; it takes the column (x, y) to
            (m0 x + m3 y, m1 x + m4 y). None leaves the picture as it is.
    """
    if matrix is None:
        return rgb
    xx, xy, _, yx, yy, *_ = np.frombuffer(bytes(matrix), np.int32)
    if abs(xy) > abs(xx):  # columns become rows
        rgb, xx, yy = rgb.transpose(1, 0, 2), yx, xy
    return rgb[:: -1 if yy < 0 else 1, :: -1 if xx < 0 else 1]


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


def _frames_from(
    time: int, times: list[int], container: Any, stream: Any
) -> Iterator[tuple[int, av.VideoFrame]]:
    """A video's frames with their times, from one that is shown at a time or before it on.

    From the first one where a file has no index to find others by, as transport streams have none.
    AVI gives times in the order of storage; where that is not the order of showing, frames are
    counted.

    Args:
        time: Of the first frame that is wanted.
        times: Of all frames.
        container, stream: The open file.
    """
    decoded = container.decode(stream)
    if container.format.name == AVI and stream.codec_context.has_b_frames:
        return zip(times, decoded, strict=False)
    if container.format.name not in WITHOUT_INDEX:
        container.seek(time, stream=stream)  # to the key frame before it
    return ((f.pts, f) for f in decoded if f.pts is not None and not f.is_corrupt)


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
                if not container.streams.video:
                    raise UserError(f"{path}: has no video in it")
                stream = container.streams.video[0]
                packets = [p for p in container.demux(stream) if not p.is_discard and p.size]
                kind = "dts" if container.format.name == AVI else "pts"
                found = (getattr(packet, kind) for packet in packets)
                times = sorted(time for time in found if time is not None)
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
        return next(self.walk([name]))

    def walk(self, names: Sequence[str]) -> Iterator[Array]:
        """Frames one after the other, in the order of their clips; each clip is decoded once.

        Raises:
            UserError: A frame cannot be decoded.
        """
        for clip, members in groupby(names, key=lambda name: name.rpartition("/")[0]):
            at = [int(PurePosixPath(name).stem) for name in members]
            yield from self._decoded(clip, [(i, self._times[clip][i]) for i in at])

    def _decoded(self, clip: str, wanted: list[tuple[int, int]]) -> Iterator[Array]:
        """The frames of a clip with these numbers and times, which rise."""
        place = self.where(f"{clip}/{wanted[0][0]:06d}.png")
        try:
            with open_video(self.folder / clip) as container:
                stream = container.streams.video[0]
                colours = colours_of(decoder_of(stream, self.folder / clip))
                frames = _frames_from(wanted[0][1], self._times[clip], container, stream)
                for index, time in wanted:
                    place = self.where(f"{clip}/{index:06d}.png")
                    frame = next((f for at, f in frames if at >= time), None)
                    if frame is None:
                        raise UserError(
                            f"{place}: cannot be decoded; the video is damaged or cut off"
                        )
                    yield rgb_frame(frame, *colours)
        except (av.error.FFmpegError, OSError) as error:
            raise UserError(f"{place}: cannot be decoded ({_reason(error)})") from error
