"""Enhanced video from files and cameras: timestamps, other streams and size stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from enhancement.errors import UserError, naming
from enhancement.inference.frames import Frame
from enhancement.inference.stream import enhance_frames
from enhancement.inference.video_sink import VideoSink
from enhancement.inference.video_source import CAMERA_TICKS, Camera, Timed, VideoSource


def enhance_video(
    source: VideoSource,
    target: Path,
    enhancer: Callable[[Frame], Frame],
    progress: Callable[[], Any],
    comparison: Path | None = None,
) -> list[str]:
    """Enhance a video file.

    Args:
        source: The video.
        target: Written completely or not at all.
        enhancer: Maps a frame to an enhanced one of the same size.
        progress: Called after each frame.
        comparison: A video of input and output side by side, or None.

    Returns:
        A description of each of its streams that the target's format does not take.

    Raises:
        UserError: The video is damaged or cut off; the target cannot be written.
    """
    sinks: list[VideoSink] = []

    def enhanced(item: Timed) -> tuple[int, Frame, Frame]:
        with naming(str(source.path)):
            return *item, enhancer(item[1])

    try:
        # the target last: it marks the job as done
        for path in [comparison, target] if comparison else [target]:
            sinks.append(VideoSink(path, source.time_base, source.rate, source))
    except UserError:
        source.close()
        for sink in sinks:
            sink.abandon()
        raise
    done = enhance_frames(source, enhanced)
    try:
        for timestamp, frame, bright in done:
            sinks[-1].write(timestamp, bright)
            if comparison:
                sinks[0].write(timestamp, np.concatenate((frame, bright), axis=1))
            progress()
        for sink in sinks:
            sink.finish()
    finally:
        done.close()
        for sink in sinks:
            sink.abandon()
    return sinks[-1].left_out


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
        progress()
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
