"""A video enhanced with frames a second, and a camera's frames as they come."""

from __future__ import annotations

import time
from collections import deque
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from enhancement.app.jobs import Job
from enhancement.app.networks import Networks
from enhancement.inference.video import enhance_video
from enhancement.inference.video_sink import ENCODERS
from enhancement.inference.video_source import VideoSource

PLAYED = (".mp4", ".webm")
RECENT = 20  # frames over which a camera's rate is the mean


@dataclass
class Progress:
    """How far a video is.

    Attributes:
        expected: How many frames it has; 0 if it does not say.
        frames: How many are done.
        began: When the first was begun, by `time.perf_counter`.
        rate: Frames a second so far.
    """

    expected: int = 0
    frames: int = 0
    began: float = 0.0
    rate: float = 0.0

    @property
    def share(self) -> float | None:
        """How much is done, in [0, 1]; None if the file does not say."""
        return min(1.0, self.frames / self.expected) if self.expected else None

    def advance(self) -> None:
        """Count a frame."""
        self.frames += 1
        self.rate = self.frames / (time.perf_counter() - self.began)


def target_for(path: Path, network: str, folder: Path) -> Path:
    """Where the enhanced video goes: of its own format where that can be written, or MP4."""
    suffix = path.suffix.lower() if path.suffix.lower() in ENCODERS else ".mp4"
    return folder / f"{path.stem}_{Path(network).stem}{suffix}"


def enhance_video_file(
    path: Path,
    network: str,
    networks: Networks,
    strength: float,
    smoothing: float,
    target: Path,
    progress: Progress,
    job: Job,
) -> None:
    """Enhance a video file; the target is complete at the end, or not there.

    Args:
        path: The file.
        network: By name.
        networks: Those of the page.
        strength: In [0, 1].
        smoothing: In [0, 1); HDRNet only.
        target: By `target_for`.
        progress: Kept up to date.
        job: May be cancelled at each frame.

    Raises:
        UserError: Not a video, damaged, or too large for the memory.
        CancelledError: The job was.
    """
    loaded = networks.load(network, smoothing)
    source = VideoSource(path)
    if loaded.limit:
        loaded.limit.admit_video(source)
    progress.expected, progress.began = source.frames_expected, time.perf_counter()

    def one_done() -> None:
        progress.advance()
        job.check()

    enhance_video(source, target, lambda frame: loaded(frame, strength), one_done)


def plays_in_browsers(path: Path) -> bool:
    """Whether most browsers play a video that was written here: 8 bits in 4:2:0."""
    if path.suffix not in PLAYED:
        return False
    with closing(VideoSource(path)) as written:
        return not written.deep and written.sampling == "420"


@dataclass
class Rate:
    """Frames a second over the last frames."""

    times: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))

    def count(self, now: float) -> float:
        """Count a frame that is done now; the rate, 0 at the first.

        Args:
            now: In seconds.
        """
        self.times.append(now)
        passed = now - self.times[0]
        return (len(self.times) - 1) / passed if passed > 0 else 0.0
