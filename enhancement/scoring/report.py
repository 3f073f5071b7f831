"""Tables of scores: on the terminal, and as CSV and JSON files."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

from tabulate import SEPARATING_LINE

from enhancement.files import write_text, writing
from enhancement.scoring.evaluation import Scores
from enhancement.scoring.metrics import METRICS
from enhancement.scoring.protocols import DETECTION, VIDEO
from enhancement.terminal import text_table
from enhancement.units import counted

INPUT, MEAN = "untouched input", "mean"
SCORES_FILE = "scores.json"
OTHER_DIGITS = 4  # of a metric that is not ours (`val.metrics`)


def heading(metric: str) -> str:
    """The title of a metric's column."""
    return METRICS[metric].title if metric in METRICS else metric.upper()


def cell(metric: str, value: float | None) -> str:
    """A score as text; "-" where there is none."""
    digits = METRICS[metric].digits if metric in METRICS else OTHER_DIGITS
    return "-" if value is None else f"{value:.{digits}f}"


def caption(scores: Scores) -> str:
    """How, and on what, a table was scored."""
    scored = counted(len(scores.rows), "clip" if scores.protocol == VIDEO.name else "image")
    if scores.protocol == DETECTION.name:  # all images make one row
        scored = scores.rows[0].name
    return f"Protocol {scores.protocol}, dataset {scores.dataset}, {scored}"


def table(scores: Scores) -> str:
    """The untouched input's mean first, where there is one, then each image, then the mean."""

    def line(name: str, values: dict[str, float | None]) -> list[str]:
        return [name, *(cell(metric, values[metric]) for metric in scores.metrics)]

    rows = [line(row.name, row.output) for row in scores.rows]
    if given := scores.mean("input"):
        rows.insert(0, line(INPUT, given))
    rows += [[SEPARATING_LINE], line(MEAN, scores.mean())]
    shown = text_table(["", *map(heading, scores.metrics)], rows)
    return "\n".join([caption(scores), shown, *(f"note: {note}" for note in scores.notes)])


def sides_table(sides: dict[str, Scores]) -> str:
    """Mean scores side by side, one row a side: what each image was before it was scored."""
    first = next(iter(sides.values()))
    rows = [
        [side, *(cell(metric, value) for metric, value in scores.mean().items())]
        for side, scores in sides.items()
    ]
    return f"{caption(first)}\n{text_table(['', *map(heading, first.metrics)], rows)}"


def _plain(values: dict[str, float | None]) -> dict[str, float | str | None]:
    """JSON knows neither infinity nor NaN."""
    return {k: v if v is None or math.isfinite(v) else str(v) for k, v in values.items()}


def as_csv(scores: Scores) -> str:
    """One line an image, the mean last."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["protocol", "dataset", "image", *scores.metrics]
        + [f"input_{metric}" for metric in scores.mean("input")]
    )
    rows = [(row.name, row.output, row.input) for row in scores.rows]
    for name, output, given in [*rows, (MEAN, scores.mean(), scores.mean("input"))]:
        values = [*output.values(), *given.values()]
        writer.writerow([scores.protocol, scores.dataset, name, *values])
    return text.getvalue()


def as_json(scores: Scores, about: dict[str, Any]) -> str:
    """Means, every image's scores, and what else is known about them."""
    content = {
        "protocol": scores.protocol,
        "dataset": scores.dataset,
        **about,
        "notes": scores.notes,
        "mean": _plain(scores.mean()),
        "input_mean": _plain(scores.mean("input")),
        "images": [
            {"name": r.name, "output": _plain(r.output), "input": _plain(r.input)}
            for r in scores.rows
        ],
    }
    return json.dumps(content, indent=2) + "\n"


def write_scores(folder: Path, scores: Scores, about: dict[str, Any]) -> tuple[Path, Path]:
    """Write scores.csv and scores.json.

    Args:
        folder: Made where it is missing.
        scores: The table.
        about: What else the JSON says: network, weights and how they were run.

    Raises:
        UserError: The folder cannot be written.
    """
    csv_file, json_file = folder / "scores.csv", folder / SCORES_FILE
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_text(csv_file, as_csv(scores))
        write_text(json_file, as_json(scores, about))
    return csv_file, json_file
