"""Where video comes from: files and cameras, as timestamps and RGB frames."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from enhancement.data.clips import colours_of, decoder_of, open_video, rgb_frame
from enhancement.errors import UserError
from enhancement.inference.frames import Frame

COLOURS = ("colorspace", "color_primaries", "color_trc")
CAMERA_TICKS = 1000  # a second
Timed = tuple[int, Frame]


class VideoSource:
    """A video file, open for one pass: it closes when reading ends, at its last frame or before.

    Args:
        path: The file.

    Attributes:
        stream: Its first video stream.
        colours: Its colour description, by the names of a codec context's attributes.
        shape: Width by height of a pixel, as its frames are stored; None if it does not say.
        sampling: Of its colours: "420", "422" or "444"; "420" of one that holds no YUV.
        texts: Its metadata.
        begins: When the first of its streams begins, in seconds.
        seconds: How long the video stream lasts; None if the file does not say.
        frames_expected: How many frames it has; 0 if the file does not say.
        frames_read: How many have been read.

    Raises:
        UserError: Not a video file, or one without a video stream.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.container = open_video(path)
        except (av.error.FFmpegError, OSError) as error:
            raise self._fault(error) from error
        if not self.container.streams.video:
            self.container.close()
            raise UserError(f"{path}: has no video in it")
        self.stream = self.container.streams.video[0]
        try:
            context = decoder_of(self.stream, path)
        except UserError:
            self.container.close()
            raise
        self.stream.thread_type = "AUTO"
        self.deep, self.matrix, self.range = colours_of(context)
        self.time_base = self.stream.time_base or Fraction(1, av.time_base)
        self.rate = self.stream.average_rate or self.stream.guessed_rate or Fraction(25)
        self.colours = {name: getattr(context, name) for name in COLOURS}
        self.shape = self.stream.sample_aspect_ratio
        self.sampling = _sampling(context.format)
        parts = context.format.components if context.format else ()
        noted = {key.lower(): text for key, text in self.stream.metadata.items()}
        # WebM keeps transparency beside the pictures that FFmpeg's own decoders give
        self.has_alpha = any(part.is_alpha for part in parts) or noted.get("alpha_mode") == "1"
        self.texts = dict(self.container.metadata)
        self.begins = Fraction(self.container.start_time or 0, av.time_base)
        self.seconds = self._seconds()
        self.frames_read = 0
        self.frames_expected = self.stream.frames or round((self.seconds or 0) * self.rate)

    def close(self) -> None:
        """Close the file; not while a frame is being read."""
        self.container.close()

    def _seconds(self) -> float | None:
        if self.stream.duration:
            return float(self.stream.duration * self.time_base)
        written = self.stream.metadata.get("DURATION", "")
        with suppress(ValueError):
            hours, minutes, seconds = map(float, written.split(":"))
            starts = (self.stream.start_time or 0) * self.time_base  # Matroska's counts from 0
            return hours * 3600 + minutes * 60 + seconds - float(starts)
        if self.container.duration and len(self.container.streams) == 1:
            return self.container.duration / av.time_base
        return None

    def __iter__(self) -> Iterator[Timed]:
        """(timestamp, RGB frame), uint8, or uint16 where the video has more than 8 bits.

        Raises:
            UserError: Damaged or cut off.
        """
        try:
            yield from self._frames()
        finally:
            self.close()

    def _frames(self) -> Iterator[Timed]:
        last, shown, size = 0, 0, None
        start = self.stream.start_time or 0
        tick = max(1, round(1 / self.rate / self.time_base))
        times = self._times_of_avi() if self.container.format.name == "avi" else None
        try:
            for i, frame in enumerate(self.container.decode(self.stream)):
                if frame.is_corrupt:
                    raise self._cut_off(last)
                frame.pts = next(times, None) if times else frame.pts
                if frame.pts is None:
                    frame.pts = last + tick if i else start
                elif i and frame.pts <= last:  # given twice: the frames after it keep their times
                    frame.pts = last + 1
                rgb: Frame = rgb_frame(frame, self.deep, self.matrix, self.range)
                if rgb.shape != (size or rgb.shape):
                    raise UserError(f"{self.path}: its frames change size; split it there")
                last, shown, size = frame.pts, frame.duration or tick, rgb.shape
                self.frames_read += 1
                yield frame.pts, rgb
        except av.error.FFmpegError as error:
            raise self._fault(error) from error
        if size is None:
            raise UserError(f"{self.path}: has no frame that can be decoded")
        ends = (last + max(shown, tick) - start) * self.time_base
        if self.seconds and ends < self.seconds - max(0.5, float(3 / self.rate)):
            raise self._cut_off(last)

    def _times_of_avi(self) -> Iterator[int]:
        """The times of its frames in the order in which they are shown.

        AVI gives times in the order in which frames are stored, and decoders hand these on.
        """
        with open_video(self.path) as file:
            packets = file.demux(file.streams.video[0])
            return iter(sorted(p.dts for p in packets if p.size and p.dts is not None))

    def _cut_off(self, last: int) -> UserError:
        at, of = float(last * self.time_base), self.seconds
        whole = f" of {of:.1f} s" if of else ""
        return UserError(f"{self.path}: is damaged or cut off after {at:.1f} s{whole}")

    def _fault(self, error: Exception) -> UserError:
        reason = getattr(error, "strerror", None) or type(error).__name__
        return UserError(f"{self.path}: cannot be read as a video ({reason})")


def _sampling(pixels: av.VideoFormat | None) -> str:
    """The coarsest of 4:2:0, 4:2:2 and 4:4:4 in which YUV of a pixel format loses nothing."""
    if pixels is None or pixels.is_rgb or len(pixels.components) < 3:
        return "420"
    if pixels.chroma_width(2) == 2:
        return "444"
    return "422" if pixels.chroma_height(2) == 2 else "420"


class Camera:
    """Frames of a camera with their time, until `stopped` is set.

    Args:
        index: Its number.
        seconds: How long to read it at most.

    Attributes:
        height, width: Of its frames, as it says.
        rate: Frames a second, as it says.

    Raises:
        UserError: No such camera.
    """

    def __init__(self, index: int, seconds: float | None = None) -> None:
        self.index, self.device = index, cv2.VideoCapture(index)
        if not self.device.isOpened():
            raise UserError(f"camera {index}: cannot be opened; is it there, and free?")
        self.seconds, self.stopped = seconds, False
        sides = (cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH)
        self.height, self.width = (max(1, round(self.device.get(side))) for side in sides)
        rate = self.device.get(cv2.CAP_PROP_FPS)
        self.rate = Fraction(rate).limit_denominator(1001) if 1 <= rate <= 1000 else Fraction(30)

    def __iter__(self) -> Iterator[Timed]:
        """(milliseconds, RGB frame)."""
        began, last = time.monotonic(), -1
        try:
            while not self.stopped:
                there, bgr = self.device.read()
                ticks = round((time.monotonic() - began) * CAMERA_TICKS)
                if not there or (self.seconds and ticks > self.seconds * CAMERA_TICKS):
                    return
                last = max(last + 1, ticks)  # no two frames share a timestamp
                yield last, np.ascontiguousarray(bgr[..., ::-1])
        finally:
            self.device.release()
