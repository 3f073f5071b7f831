"""Enhanced video from files and cameras: timestamps, sound and size stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

from enhancement.errors import UserError
from enhancement.inference.frames import Frame
from enhancement.inference.stream import enhance_frames
from enhancement.inference.video_sink import VideoSink
from enhancement.inference.video_source import CAMERA_TICKS, Camera, Timed, VideoSource


def enhance_video(
    source: VideoSource,
    target: Path,
    enhancer: Callable[[Frame], Frame],
    progress: Callable[[], Any],
) -> None:
    """Enhance a video file.

    Args:
        source: The video.
        target: Written completely or not at all.
        enhancer: Maps a frame to an enhanced one of the same size.
        progress: Called after each frame.

    Raises:
        UserError: The video is damaged or cut off; the target cannot be written.
    """
    try:
        sink = VideoSink(target, source.time_base, source.rate, source)
    except UserError:
        source.close()
        raise

    def enhanced(item: Timed) -> Timed:
        try:
            return item[0], enhancer(item[1])
        except UserError as error:
            raise UserError(f"{source.path}: {error}") from error

    done = enhance_frames(source, enhanced)
    try:
        for timestamp, frame in done:
            sink.write(timestamp, frame)
            progress()
        sink.finish()
    finally:
        done.close()
        sink.abandon()


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
