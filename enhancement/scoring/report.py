"""Score tables on the terminal, as CSV and JSON, and comparison pictures."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

from enhancement.errors import UserError
from enhancement.scoring.evaluation import Scores

DIGITS = {"psnr": 3, "ssim": 4, "lpips": 4, "dice": 4, "miou": 4}
INPUT, MEAN = "untouched input", "mean"
SCORES_FILE = "scores.json"


def cell(metric: str, value: float | None) -> str:
    """A score as text; "-" where there is none."""
    return "-" if value is None else f"{value:.{DIGITS.get(metric, 4)}f}"


def table(scores: Scores) -> str:
    """The untouched input's mean first, where there is one, then each image, then the mean."""
    rows = [(INPUT, given)] if (given := scores.mean("input")) else []
    rows += [(row.name, row.output) for row in scores.rows]
    rows += [(MEAN, scores.mean())]
    width = max(len(name) for name, _ in rows)
    head = "  ".join([f"{'':{width}}", *(f"{m.upper():>8}" for m in scores.metrics)])
    lines = [f"Protocol {scores.protocol}, dataset {scores.dataset}, {len(scores.rows)} images"]
    lines += [head, "-" * len(head)]
    for name, values in rows:
        if name == MEAN:
            lines.append("-" * len(head))
        cells = (f"{cell(m, values[m]):>8}" for m in scores.metrics)
        lines.append("  ".join([f"{name:{width}}", *cells]))
    return "\n".join([*lines, *(f"note: {note}" for note in scores.notes)])


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
    """Means, every image, and what else is to be known of the scores."""
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
    try:
        folder.mkdir(parents=True, exist_ok=True)
        csv_file.write_text(as_csv(scores), encoding="utf-8")
        json_file.write_text(as_json(scores, about), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error})") from error
    return csv_file, json_file


def sides_table(sides: dict[str, Scores]) -> str:
    """Mean scores side by side, one row a side: what each image was before it was scored."""
    first = next(iter(sides.values()))
    width = max(map(len, sides))
    head = f"{'':{width}}" + "".join(f"{m.upper():>9}" for m in first.metrics)
    lines = [f"Protocol {first.protocol}, dataset {first.dataset}, {len(first.rows)} images", head]
    for side, scores in sides.items():
        cells = "".join(f"{cell(m, value):>9}" for m, value in scores.mean().items())
        lines.append(f"{side:{width}}{cells}")
    return "\n".join(lines)
