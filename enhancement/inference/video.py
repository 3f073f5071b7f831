"""Video files and cameras in, enhanced video out: timestamps, sound and size stay as they are."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from enhancement.errors import UserError
from enhancement.inference.frames import Frame
from enhancement.inference.stream import enhance_frames

ENCODERS = {
    ".mp4": "libx264", ".m4v": "libx264", ".mov": "libx264", ".mkv": "libx264", ".avi": "libx264",
    ".webm": "libvpx-vp9",
}  # fmt: skip
QUALITY = {
    "libx264": {"crf": "16", "preset": "veryfast"},
    "libvpx-vp9": {"crf": "24", "b": "0", "deadline": "realtime", "cpu-used": "6"},
}
MATRICES = (1, 4, 5, 7, 9)  # the colour matrices that the scaler knows
BT601, NARROW, FULL = 5, 1, 2
COLOURS = ("colorspace", "color_primaries", "color_trc")
CAMERA_TICKS = 1000  # a second
Timed = tuple[int, Frame]


class VideoSource:
    """A video file, open for reading once: it closes when its last frame is read, or none more is.

    Args:
        path: The file.

    Attributes:
        stream: Its first video stream.
        colours: How its colours are to be understood, by the names of codec contexts' attributes.
        texts: Its metadata.
        seconds: How long the pictures last, as far as the file says; else None.
        frames_expected: How many frames there are, as far as the file says; else 0.
        frames_read: How many have been read.

    Raises:
        UserError: Not a video, or one without pictures.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.container = av.open(str(path))
        except (av.error.FFmpegError, OSError) as error:
            raise self._fault(error) from error
        if not self.container.streams.video:
            self.container.close()
            raise UserError(f"{path}: has no video in it")
        self.stream = self.container.streams.video[0]
        self.stream.thread_type = "AUTO"
        context = self.stream.codec_context
        self.deep = context.format is not None and context.format.components[0].bits > 8
        self.matrix = int(context.colorspace) if int(context.colorspace) in MATRICES else BT601
        self.range = FULL if int(context.color_range) == FULL else NARROW
        self.time_base = self.stream.time_base or Fraction(1, av.time_base)
        self.rate = self.stream.average_rate or self.stream.guessed_rate or Fraction(25)
        self.colours = {name: getattr(context, name) for name in COLOURS}
        self.texts = dict(self.container.metadata)
        self.seconds = self._seconds()
        self.frames_read = 0
        self.frames_expected = self.stream.frames or round((self.seconds or 0) * self.rate)

    def close(self) -> None:
        """Close the file, where no frame is being read."""
        self.container.close()

    def _seconds(self) -> float | None:
        if self.stream.duration:
            return float(self.stream.duration * self.time_base)
        written = self.stream.metadata.get("DURATION", "")
        with suppress(ValueError):
            hours, minutes, seconds = map(float, written.split(":"))
            return hours * 3600 + minutes * 60 + seconds
        if self.container.duration and len(self.container.streams) == 1:
            return self.container.duration / av.time_base
        return None

    def __iter__(self) -> Iterator[Timed]:
        """(timestamp, RGB frame), uint8, or uint16 where the video has more than 8 bits.

        Raises:
            UserError: Damaged, or at its end before its time.
        """
        try:
            yield from self._frames()
        finally:
            self.close()

    def _frames(self) -> Iterator[Timed]:
        last, size = 0, None
        start = self.stream.start_time or 0
        try:
            for i, frame in enumerate(self.container.decode(self.stream)):
                if frame.is_corrupt:
                    raise self._cut_off(last)
                if frame.pts is None:
                    frame.pts = round(i / self.rate / self.time_base)
                rgb: Frame = frame.reformat(
                    format="rgb48le" if self.deep else "rgb24", src_colorspace=self.matrix,
                    src_color_range=self.range, dst_color_range=FULL,
                ).to_ndarray()  # fmt: skip
                rgb = np.ascontiguousarray(np.rot90(rgb, round(frame.rotation / 90)))
                if rgb.shape != (size or rgb.shape):
                    raise UserError(f"{self.path}: its frames change size; split it there")
                last, size = frame.pts, rgb.shape
                self.frames_read += 1
                yield frame.pts, rgb
        except av.error.FFmpegError as error:
            raise self._fault(error) from error
        if size is None:
            raise UserError(f"{self.path}: has no frame that can be decoded")
        ends = (last - start) * self.time_base + 1 / self.rate
        if self.seconds and ends < self.seconds - max(0.5, float(3 / self.rate)):
            raise self._cut_off(last)

    def _cut_off(self, last: int) -> UserError:
        at, of = float(last * self.time_base), self.seconds
        whole = f" of {of:.1f} s" if of else ""
        return UserError(f"{self.path}: is damaged or cut off after {at:.1f} s{whole}")

    def _fault(self, error: Exception) -> UserError:
        reason = getattr(error, "strerror", None) or type(error).__name__
        return UserError(f"{self.path}: cannot be read as a video ({reason})")


class VideoSink:
    """A video file that appears under its name once it is whole.

    Args:
        path: The file; its ending says the kind.
        time_base: Of the timestamps.
        rate: Frames a second, for those who ask the file.
        source: Whose colours, sound and texts are taken over.

    Raises:
        UserError: No such kind of file; it cannot be written.
    """

    def __init__(
        self, path: Path, time_base: Fraction, rate: Fraction, source: VideoSource | None = None
    ) -> None:
        self.path, self.source, self.time_base = path, source, time_base
        check_video_name(path)
        self.temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
        self.matrix = source.matrix if source else BT601
        self.range = source.range if source else NARROW
        self.sound: Sound | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.container = av.open(str(self.temporary), "w")
            encoder = ENCODERS[path.suffix.lower()]
            self.stream: Any = self.container.add_stream(
                encoder, rate=rate, options=QUALITY[encoder]
            )
            self.stream.codec_context.time_base = time_base
            self.sound = Sound(source, self.container) if source else None
        except (av.error.FFmpegError, OSError, ValueError) as error:
            self.abandon()
            raise self._fault(error) from error
        self._started = False

    def _start(self, frame: Frame) -> None:
        context, (height, width) = self.stream.codec_context, frame.shape[:2]
        context.width, context.height = width, height
        whole = "420" if width % 2 == height % 2 == 0 else "444"  # half a colour sample is none
        context.pix_fmt = f"yuv{whole}p" + ("10le" if frame.dtype == np.uint16 else "")
        context.color_range = self.range
        if self.source:
            for name, value in self.source.colours.items():
                setattr(context, name, value)
            self.container.metadata.update(self.source.texts)
        self._started = True

    def write(self, timestamp: int, frame: Frame) -> None:
        """Encode a frame, and copy the sound up to it.

        Raises:
            UserError: The file cannot be written.
        """
        try:
            if not self._started:
                self._start(frame)
            kind = "rgb48le" if frame.dtype == np.uint16 else "rgb24"
            rgb = av.VideoFrame.from_ndarray(frame, kind)
            picture = rgb.reformat(
                format=self.stream.codec_context.pix_fmt, dst_colorspace=self.matrix,
                src_color_range=FULL, dst_color_range=self.range,
            )  # fmt: skip
            picture.pts, picture.time_base = timestamp, self.time_base
            self.container.mux(self.stream.encode(picture))
            if self.sound:
                self.sound.copy_until(float(timestamp * self.time_base))
        except (av.error.FFmpegError, OSError) as error:
            raise self._fault(error) from error

    def finish(self) -> None:
        """Write what is left; the file gets its name.

        Raises:
            UserError: It cannot be written.
        """
        try:
            self.container.mux(self.stream.encode(None))
            if self.sound:
                self.sound.copy_until(float("inf"))
            self.container.close()
            self.temporary.replace(self.path)
        except (av.error.FFmpegError, OSError) as error:
            raise self._fault(error) from error

    def abandon(self) -> None:
        """Leave nothing behind, if it was not finished."""
        if self.sound:
            self.sound.close()
        with suppress(Exception):
            self.container.close()
        with suppress(OSError):  # where a file is taken for a folder
            self.temporary.unlink(missing_ok=True)

    def _fault(self, error: Exception) -> UserError:
        reason = getattr(error, "strerror", None) or str(error)
        return UserError(f"{self.path}: cannot be written ({reason})")


class Sound:
    """Copies a file's sound, packet by packet, without decoding it."""

    def __init__(self, source: VideoSource, target: Any) -> None:
        self.container = av.open(str(source.path))
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
    """Refuse a name that asks for no kind of video that can be written.

    Raises:
        UserError: Lists the kinds.
    """
    if path.suffix.lower() not in ENCODERS:
        raise UserError(
            f"{path}: expected a video's name, ending in {', '.join(ENCODERS)}; "
            f"but got '{path.suffix}'"
        )


def enhance_video(
    source: VideoSource,
    target: Path,
    enhancer: Callable[[Frame], Frame],
    progress: Callable[[], Any],
) -> None:
    """Enhance a video file.

    Args:
        source: The video.
        target: Written whole or not at all.
        enhancer: Takes a frame to an enhanced one of the same size.
        progress: Called after each frame.

    Raises:
        UserError: The video is damaged or cut off; the target cannot be written.
    """
    try:
        sink = VideoSink(target, source.time_base, source.rate, source)
    except UserError:
        source.close()
        raise
    done = enhance_frames(source, lambda item: (item[0], enhancer(item[1])))
    try:
        for timestamp, frame in done:
            sink.write(timestamp, frame)
            progress()
        sink.finish()
    finally:
        done.close()
        sink.abandon()


class Camera:
    """Frames of a camera with the time they were taken at, until `stop` or so many seconds.

    Raises:
        UserError: No such camera.
    """

    def __init__(self, index: int, seconds: float | None = None) -> None:
        self.device = cv2.VideoCapture(index)
        if not self.device.isOpened():
            raise UserError(f"camera {index}: cannot be opened; is it there, and free?")
        self.seconds, self.stopped = seconds, False
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
                last = max(last + 1, ticks)  # two frames never share a timestamp
                yield last, np.ascontiguousarray(bgr[..., ::-1])
        finally:
            self.device.release()


def enhance_camera(
    camera: Camera, target: Path, enhancer: Callable[[Frame], Frame], progress: Callable[[], Any]
) -> None:
    """Record a camera, enhanced, until it ends or Ctrl-C is pressed.

    Raises:
        UserError: It gave no frame; the target cannot be written.
    """
    frames = iter(camera)
    first = next(frames, None)
    if first is None:
        raise UserError("the camera gave no frame")
    sink = VideoSink(target, Fraction(1, CAMERA_TICKS), camera.rate)
    done = enhance_frames(frames, lambda item: (item[0], enhancer(item[1])))
    try:
        sink.write(first[0], enhancer(first[1]))
        with suppress(KeyboardInterrupt):
            for timestamp, frame in done:
                sink.write(timestamp, frame)
                progress()
        camera.stopped = True
        sink.finish()
    finally:
        camera.stopped = True
        done.close()
        sink.abandon()
