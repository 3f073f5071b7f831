"""Where video goes: a file with the timestamps, colours and sound of its source."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from enhancement.data.clips import BT601, FULL, NARROW, open_video
from enhancement.errors import UserError
from enhancement.files import flush_to_disk, temporary_for
from enhancement.inference.frames import Frame
from enhancement.inference.video_source import VideoSource

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
IN_ORDER = {".avi": {"bf": "0"}}  # no timestamps: frames must be stored in the order they are shown


class VideoSink:
    """A video file that gets its name once it is complete.

    Args:
        path: The file; its suffix is that of a container format.
        time_base: Of the timestamps.
        rate: Frames a second, as noted in the file.
        source: Whose colour description, sound and metadata are taken over.

    Raises:
        UserError: Not a known format; it cannot be written.
    """

    def __init__(
        self, path: Path, time_base: Fraction, rate: Fraction, source: VideoSource | None = None
    ) -> None:
        self.path, self.source, self.time_base = path, source, time_base
        check_video_name(path)
        self.temporary = temporary_for(path)
        self.matrix = source.matrix if source else BT601
        self.range = source.range if source else NARROW
        self.sound: Sound | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.container = av.open(f"file:{self.temporary}", "w")
            encoder = ENCODERS[path.suffix.lower()]
            options = QUALITY[encoder] | IN_ORDER.get(path.suffix.lower(), {})
            self.stream: Any = self.container.add_stream(encoder, rate=rate, options=options)
            self.stream.codec_context.time_base = time_base
            self.sound = Sound(source, self.container) if source else None
        except (av.error.FFmpegError, OSError, ValueError) as error:
            self.abandon()
            raise self._fault(error) from error
        self._started = False

    def _start(self, frame: Frame) -> None:
        context, (height, width) = self.stream.codec_context, frame.shape[:2]
        context.width, context.height = width, height
        sampling = "420" if width % 2 == height % 2 == 0 else "444"  # 4:2:0 takes even sizes only
        context.pix_fmt = f"yuv{sampling}p" + ("10le" if frame.dtype == np.uint16 else "")
        context.color_range = self.range
        if self.source:
            for name, value in self.source.colours.items():
                setattr(context, name, value)
            self.container.metadata.update(self.source.texts)
        self._started = True

    def write(self, timestamp: int, frame: Frame) -> None:
        """Encode a frame and copy the sound up to it.

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
            picture.pts, picture.time_base = timestamp, self.time_base
            self.container.mux(self.stream.encode(picture))
            if self.sound:
                self.sound.copy_until(float(timestamp * self.time_base))
        except (av.error.FFmpegError, OSError) as error:
            raise self._fault(error) from error

    def finish(self) -> None:
        """Write the rest and give the file its name.

        Raises:
            UserError: It cannot be written.
        """
        try:
            self.container.mux(self.stream.encode(None))
            if self.sound:
                self.sound.copy_until(float("inf"))
            self.container.close()
            flush_to_disk(self.temporary)  # before its name says that it is whole
            self.temporary.replace(self.path)
        except (av.error.FFmpegError, OSError) as error:
            raise self._fault(error) from error

    def abandon(self) -> None:
        """Remove what was written, unless it was finished."""
        if self.sound:
            self.sound.close()
        with suppress(Exception):
            self.container.close()
        with suppress(OSError):  # a parent of the path is a file
            self.temporary.unlink(missing_ok=True)

    def _fault(self, error: Exception) -> UserError:
        reason = getattr(error, "strerror", None) or str(error)
        return UserError(f"{self.path}: cannot be written ({reason})")


class Sound:
    """Copies a file's sound, packet by packet, without decoding it."""

    def __init__(self, source: VideoSource, target: Any) -> None:
        self.container = open_video(source.path)
        streams = self.container.streams.audio
        try:
            self.targets = {s.index: target.add_stream_from_template(s) for s in streams}
        except Exception:
            self.close()
            raise
        self.target = target
        self.packets = (
            packet
            for packet in (self.container.demux(*streams) if streams else ())
            if packet.dts is not None
        )
        self.waiting = next(self.packets, None)

    def copy_until(self, seconds: float) -> None:
        """Copy the packets that begin before a time."""
        while self.waiting and (self.waiting.dts or 0) * self.waiting.time_base <= seconds:
            self.waiting.stream = self.targets[self.waiting.stream_index]
            self.target.mux(self.waiting)
            self.waiting = next(self.packets, None)

    def close(self) -> None:
        """Close the file that the sound comes from."""
        self.container.close()


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
