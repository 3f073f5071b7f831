"""Where video goes: a file with the timestamps, colours and sound of its source."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from enhancement.data.clips import BT601, FULL, NARROW
from enhancement.errors import UserError
from enhancement.files import flush_to_disk, temporary_for
from enhancement.inference.frames import Frame
from enhancement.inference.video_source import VideoSource
from enhancement.inference.video_streams import Companions, copy_description

ENCODERS = {
    ".mp4": "libx264",
    ".m4v": "libx264",
    ".mov": "libx264",
    ".mkv": "libx264",
    ".avi": "libx264",
    ".webm": "libvpx-vp9",
}
QUALITY = {
    "libx264": {"crf": "16", "preset": "veryfast"},
    "libvpx-vp9": {"crf": "24", "b": "0", "deadline": "realtime", "cpu-used": "6"},
}
RGB = 0  # the colour matrix of videos that hold no YUV
DEEP_FORMAT = "yuv420p10le"
# a frame's place is its time: frames are stored in the order in which they are shown
COUNTS_FRAMES = ".avi"
UNEVEN_TIMES = "the times of frames at a varying rate"
UNEVEN = 0.1  # frames by which a time may lie beside its place, apart from its rounding


class VideoSink:
    """A video file that gets its name once it is complete.

    Args:
        path: The file; its suffix is that of a container format.
        time_base: Of the timestamps.
        rate: Frames a second, as noted in the file.
        source: Whose colour description, metadata and other streams are taken over.

    Attributes:
        left_out: A description of each stream of the source that the format does not take.

    Raises:
        UserError: Not a known format, or one for fewer bits; it cannot be written.
    """

    def __init__(
        self, path: Path, time_base: Fraction, rate: Fraction, source: VideoSource | None = None
    ) -> None:
        self.path, self.source, self.time_base, self.rate = path, source, time_base, rate
        self._counts, self._place = path.suffix.lower() == COUNTS_FRAMES, -1
        self._origin = source.begins if source and self._counts else Fraction(0)
        self._shift: Fraction | None = None  # of the first frame's time beside its place
        check_video_name(path)
        if source and source.deep:
            _check_depth(path)
        self.temporary = temporary_for(path)
        self.matrix = source.matrix if source else BT601
        self.range = source.range if source else NARROW
        self.companions: Companions | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.container = av.open(f"file:{self.temporary}", "w")
            encoder = ENCODERS[path.suffix.lower()]
            options = QUALITY[encoder] | ({"bf": "0"} if self._counts else {})
            self.stream: Any = self.container.add_stream(encoder, rate=rate, options=options)
            self.stream.codec_context.time_base = 1 / rate if self._counts else time_base
            if source:
                copy_description(source.stream, self.stream)
                suffix = path.suffix.lower()
                self.companions = Companions(source, self.container, suffix, self._origin)
        except UserError as error:
            self.abandon()
            raise UserError(f"{path}: {error}") from error
        except (av.error.FFmpegError, OSError, ValueError) as error:
            self.abandon()
            raise self._fault(error) from error
        self.left_out = ["transparency"] if source and source.has_alpha else []
        self.left_out += self.companions.left_out if self.companions else []
        self._started = False

    def _start(self, frame: Frame) -> None:
        context, (height, width) = self.stream.codec_context, frame.shape[:2]
        context.width, context.height = width, height
        sampling = sampling_for(self.source, height, width)
        context.pix_fmt = f"yuv{sampling}p" + ("10le" if frame.dtype == np.uint16 else "")
        context.color_range = self.range
        if self.source:
            for name, value in self.source.colours.items():
                setattr(context, name, value)
            if self.source.colours["colorspace"] == RGB:
                context.colorspace = self.matrix
            if self.source.shape:
                lying = (width, height) == (self.source.stream.width, self.source.stream.height)
                context.sample_aspect_ratio = self.source.shape if lying else 1 / self.source.shape
            self.container.metadata.update(self.source.texts)
        self._started = True

    def write(self, timestamp: int, frame: Frame) -> None:
        """Encode a frame and copy the other streams up to it.

        Raises:
            UserError: The file cannot be written.
        """
        try:
            if not self._started:
                self._start(frame)
            kind = "rgb48le" if frame.dtype == np.uint16 else "rgb24"
            rgb = av.VideoFrame.from_ndarray(frame, kind)
            picture = rgb.reformat(
                format=self.stream.codec_context.pix_fmt,
                dst_colorspace=self.matrix,
                src_color_range=FULL,
                dst_color_range=self.range,
            )
            picture.pts, picture.time_base = self._when(timestamp)
            self.container.mux(self.stream.encode(picture))
            if self.companions:
                self.companions.copy_until(float(timestamp * self.time_base))
        except (av.error.FFmpegError, OSError) as error:
            raise self._fault(error) from error

    def _when(self, timestamp: int) -> tuple[int, Fraction]:
        """The time at which a frame is stored, and its unit."""
        if not self._counts:
            return timestamp, self.time_base
        place = (timestamp * self.time_base - self._origin) * self.rate
        self._place = max(self._place + 1, round(place))
        if self._shift is None:
            self._shift = self._place - place
        beside = abs(self._place - place - self._shift)
        uneven = beside > UNEVEN + self.time_base * self.rate  # to which times were rounded
        if uneven and UNEVEN_TIMES not in self.left_out:
            self.left_out.append(UNEVEN_TIMES)
        return self._place, 1 / self.rate

    def finish(self) -> None:
        """Write the rest and give the file its name.

        Raises:
            UserError: It cannot be written.
        """
        try:
            self.container.mux(self.stream.encode(None))
            if self.companions:
                self.companions.copy_until(float("inf"))
            self.container.close()
            flush_to_disk(self.temporary)  # before its name says that it is whole
            self.temporary.replace(self.path)
        except (av.error.FFmpegError, OSError) as error:
            raise self._fault(error) from error

    def abandon(self) -> None:
        """Remove what was written, unless it was finished."""
        if self.companions:
            self.companions.close()
        with suppress(Exception):
            self.container.close()
        with suppress(OSError):  # a parent of the path is a file
            self.temporary.unlink(missing_ok=True)

    def _fault(self, error: Exception) -> UserError:
        reason = getattr(error, "strerror", None) or str(error)
        return UserError(f"{self.path}: cannot be written ({reason})")


def sampling_for(source: VideoSource | None, height: int, width: int) -> str:
    """The colour sampling, as "420", in which frames of a size lose nothing of their source's."""
    sampling = source.sampling if source else "420"
    if width % 2 or (height % 2 and sampling == "420"):
        return "444"  # 4:2:2 takes even widths only, and 4:2:0 even heights too
    turned = source and (height, width) != (source.stream.height, source.stream.width)
    return "444" if turned and sampling == "422" else sampling


def check_video_name(path: Path) -> None:
    """Refuse a name whose suffix is not that of a video format.

    Raises:
        UserError: Lists the formats.
    """
    if path.suffix.lower() not in ENCODERS:
        raise UserError(
            f"{path}: expected a video's name, ending in {', '.join(ENCODERS)}; "
            f"but got '{path.suffix}'"
        )


def _check_depth(path: Path) -> None:
    """Refuse more than 8 bits where the format's encoder does not write them.

    Raises:
        UserError: It does not.
    """
    encoder = ENCODERS[path.suffix.lower()]
    formats = av.codec.Codec(encoder, "w").video_formats or []
    if not any(known.name == DEEP_FORMAT for known in formats):
        raise UserError(
            f"{path}: the video has more than 8 bits a channel, which {encoder} does not write "
            f"here; name an .mkv or .mp4 file"
        )
