"""Files shared out between processes, and what each has done summed up by the last to finish.

No process waits for another, or knows whether it lives. The files are dealt out by rank; beside
the outputs each process leaves a small file that says what it has done, and the one that finds the
files of all others there prints the sum.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from enhancement.data.image_headers import open_header
from enhancement.distributed import Place
from enhancement.errors import UserError
from enhancement.files import replace_file
from enhancement.inference.engines import WORTH_CONVERTING
from enhancement.inference.jobs import Job
from enhancement.inference.video_source import VideoSource


@dataclass
class Part:
    """What one process has done.

    Attributes:
        done: How many files it has enhanced.
        total: How many were its share.
        existing: How many of these were there already.
        seconds: How long it took.
        engine: What computed the network.
        faults: A line for each file that could not be enhanced.
    """

    done: int = 0
    total: int = 0
    existing: int = 0
    seconds: float = 0.0
    engine: str = ""
    faults: list[str] = field(default_factory=list)


def share(jobs: Sequence[Job], place: Place) -> list[Job]:
    """This process's files: every n-th of the images, then of the videos.

    They are dealt out before those that exist already are left out: what exists changes while
    others work.
    """
    dealt = sorted(jobs, key=lambda job: job.is_video)
    return dealt[place.rank :: place.world_size]


def worth_converting(jobs: Sequence[Job]) -> bool:
    """Whether all files together have pixels enough for a graph to be converted.

    Every process asks for the whole list, so that its images come out as they would in one process.
    """
    pixels = 0
    for job in jobs:
        with suppress(UserError, OSError):
            pixels += _pixels(job)
        if pixels >= WORTH_CONVERTING:
            return True
    return False


def _pixels(job: Job) -> int:
    """How many pixels a file has, all frames together, by its header."""
    if not job.is_video:
        with job.source.open("rb") as file, open_header(file, str(job.source)) as header:
            return header.size[0] * header.size[1]
    source = VideoSource(job.source)
    source.close()
    return max(source.frames_expected, 1) * source.stream.width * source.stream.height


class Parts:
    """The files by which the processes of a run say what they have done.

    Args:
        folder: Where they lie; all processes must see it.
        place: This process.
    """

    def __init__(self, folder: Path, place: Place) -> None:
        # named as temporary files are, so that those of a run that was cut off go in time
        names = (f".parts-{place.run}.{rank}.tmp.json" for rank in range(place.world_size))
        self.place = place
        self.files = [folder / name for name in names]
        self.own = self.files[place.rank]
        self.own.unlink(missing_ok=True)

    def leave(self, part: Part) -> None:
        """Say what this process has done."""
        self.own.parent.mkdir(parents=True, exist_ok=True)
        replace_file(self.own, json.dumps(asdict(part)).encode())

    def sum(self) -> Part | None:
        """What all have done, for the last one that leaves its part; None for the others."""
        try:
            found = [Part(**json.loads(file.read_bytes())) for file in self.files]
            self.files[0].unlink()  # of two that come to this at once, only one succeeds
        except FileNotFoundError:
            return None
        for file in self.files[1:]:
            file.unlink(missing_ok=True)
        return Part(
            sum(part.done for part in found),
            sum(part.total for part in found),
            sum(part.existing for part in found),
            max(part.seconds for part in found),
            " and ".join(sorted({name for part in found for name in part.engine.split(" and ")})),
            [fault for part in found for fault in part.faults],
        )
