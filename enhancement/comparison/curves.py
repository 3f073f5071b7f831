"""What a run's TensorBoard files show: learning curves, and how long it trained."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path

from enhancement.errors import UserError
from enhancement.files import require_file

LOSS = "losses/l_total"
SCORE = re.compile(r"metrics/(?P<set>.+)/(?P<protocol>[^/]+)/psnr")
POINTS = 400  # of a curve, at most

Curve = list[tuple[int, float]]


@dataclass
class Training:
    """How a run was trained.

    Attributes:
        seconds: Time spent, without pauses between an interruption and the restart; None where not
            recorded.
        loss: (iteration, total loss).
        psnr: (iteration, PSNR in dB) of the first validation set.
        validated: That set and the protocol, in words.
    """

    seconds: float | None = None
    loss: Curve = field(default_factory=list)
    psnr: Curve = field(default_factory=list)
    validated: str = ""


def thinned(curve: Curve, limit: int = POINTS) -> Curve:
    """At most about `limit` points: neighbours are averaged, the last one is kept as it is."""
    size = math.ceil(len(curve) / limit)
    if size < 2:
        return curve
    parts = [curve[i : i + size] for i in range(0, len(curve) - 1, size)]
    means = [(part[-1][0], math.fsum(v for _, v in part) / len(part)) for part in parts]
    return [*(p for p in means if p[0] < curve[-1][0]), curve[-1]]


def read_training(run: Path) -> Training:
    """Read a run folder's event files: there is one for each time that it was started or resumed.

    A later file replaces what earlier ones hold from its first iteration on.

    Raises:
        UserError: A file cannot be read.
    """
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = Training()
    curves: dict[str, Curve] = {}
    for file in sorted(run.glob("events.out.tfevents.*")):
        require_file(file)
        accumulator = EventAccumulator(str(file), size_guidance={"scalars": 0, "images": 1})
        try:
            accumulator.Reload()
        except Exception as error:  # TensorBoard has no error class of its own
            raise UserError(
                f"{file}: is not a TensorBoard file that can be read ({error})"
            ) from error
        times = []
        for tag in accumulator.Tags()["scalars"]:
            events = accumulator.Scalars(tag)
            times += [event.wall_time for event in events]
            kept = [p for p in curves.get(tag, []) if p[0] < events[0].step]
            new = [(e.step, e.value) for e in events if math.isfinite(e.value)]
            curves[tag] = kept + new
        if times:
            began = accumulator.FirstEventTimestamp()
            found.seconds = (found.seconds or 0) + max(times) - min(began, *times)
    found.loss = thinned(curves.get(LOSS, []))
    for tag, curve in sorted(curves.items()):
        match = SCORE.fullmatch(tag)
        if match:
            found.psnr = thinned(curve)
            found.validated = f"{match['set']} ({match['protocol']})"
            break
    return found
