"""A comparison as one self-contained page: assets/ filled with JSON."""

from __future__ import annotations

import base64
import io
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from PIL import Image

from enhancement.comparison.results import LARGEST, ImageScores, Result, mean_and_spread
from enhancement.comparison.tables import columns, metrics_of, untouched
from enhancement.data.image_headers import check_memory, open_header
from enhancement.data.images import read_file
from enhancement.scoring.metrics import METRICS
from enhancement.scoring.report import INPUT, cell, heading
from enhancement.scoring.thumbnails import SIDE, THUMBNAILS, as_webp, thumbnail_path
from enhancement.units import counted

LIMIT = 14_000_000  # bytes of the page
SIDES = (SIDE, 480, 360, 256)  # of thumbnails in pixels; the first that fits is taken
INPUT_KEY, GT_KEY = "input", "gt"


def build_page(rows: list[Result]) -> str:
    """The page.

    Raises:
        UserError: A thumbnail cannot be read.
    """
    source = files(__package__) / "assets"
    page, css, script = (
        (source / name).read_text(encoding="utf-8") for name in ("page.html", "page.css", "page.js")
    )
    content = page_data(rows)
    room = LIMIT - len(page + css + script) - len(json.dumps(content))
    content["images"], left_out = thumbnails(rows, room)
    if left_out:
        content["notes"].append(f"{left_out} images have no picture here")
    # inside a script element only "<" can end it
    data = json.dumps(content, ensure_ascii=True).replace("<", "\\u003c")
    for mark, text in (("css", css), ("script", script), ("data", data)):
        page = page.replace(f"/*{{{mark}}}*/", text)
    return page


def page_data(rows: list[Result]) -> dict[str, Any]:
    """Everything but the thumbnails."""
    first, more = rows[0], columns(rows)
    heads = [
        {"key": "run", "title": "Run", "text": True},
        {"key": "network", "title": "Network", "text": True},
        *({"key": m, "title": heading(m), "best": _better(m)} for m in metrics_of(rows)),
        *({"key": c.key, "title": c.title.capitalize(), "best": "low"} for c in more),
    ]
    lines = [{**_line(rows, r.label, r.outputs, r), "index": i} for i, r in enumerate(rows)]
    given = untouched(rows)
    if given:
        lines.insert(0, _line(rows, INPUT, given, None))
    scored = counted(len(first.images), first.of)
    title = first.label if len(rows) == 1 else f"{len(rows)} runs"
    return {
        "title": f"{title} on {first.dataset}",
        "caption": f"Scored by protocol {first.protocol} on {scored}.",
        "notes": list(dict.fromkeys(f"{r.label}: {n}" for r in rows for n in r.notes)),
        "columns": heads,
        "rows": lines,
        "choices": [
            {"key": INPUT_KEY, "label": "input"},
            *({"key": f"run{i}", "label": r.label, "run": True} for i, r in enumerate(rows)),
            {"key": GT_KEY, "label": "ground truth"},
        ],
        "charts": _charts(rows),
    }


def _better(metric: str) -> str:
    """Which scores are the better ones, "high" or "low"; "" of metrics that are not ours."""
    return METRICS[metric].better if metric in METRICS else ""


def _line(
    rows: list[Result], label: str, scores: list[ImageScores], row: Result | None
) -> dict[str, Any]:
    """One line of the table, of a run or (without one) of the untouched input."""
    network = row.network if row else "-"
    cells: dict[str, Any] = {"run": {"text": label}, "network": {"text": network}}
    for metric in metrics_of(rows):
        mean, spread = mean_and_spread(scores, metric)
        value = mean if mean is None else max(-LARGEST, min(mean, LARGEST))  # JSON has no infinity
        cells[metric] = {"text": cell(metric, mean), "value": value}
        if spread is not None:
            cells[metric]["spread"] = cell(metric, spread)
    for column in columns(rows):
        value = column.value(row) if row else None
        cells[column.key] = {"text": column.text(row), "value": value}
    return {"cells": cells, "baseline": row is None}


def _charts(rows: list[Result]) -> list[dict[str, Any]]:
    """The learning curves: training loss, and PSNR on the validation set."""
    validated = {r.training.validated for r in rows if r.training.psnr}
    same = len(validated) == 1
    title = "Validation PSNR in dB" + (f", {validated.pop()}" if same else "")
    psnr = [
        (
            r.label if same or not validated else f"{r.label}: {r.training.validated}",
            r.training.psnr,
        )
        for r in rows
    ]
    return [
        _chart("Training loss", [(r.label, r.training.loss) for r in rows]),
        _chart(title, psnr),
    ]


def _chart(title: str, curves: list[tuple[str, list[tuple[int, float]]]]) -> dict[str, Any]:
    return {
        "title": title,
        "curves": [
            {"index": index, "label": label, "points": [[x, float(f"{y:.5g}")] for x, y in points]}
            for index, (label, points) in enumerate(curves)
            if points
        ],
    }


def _words(scores: ImageScores) -> str:
    return ", ".join(f"{heading(m)} {cell(m, v)}" for m, v in scores.items())


def thumbnails(rows: list[Result], room: int) -> tuple[list[dict[str, Any]], int]:
    """The images' thumbnails as data URIs.

    Args:
        rows: The runs.
        room: Bytes that all of them may take; to fit, they are made smaller, then left out.

    Returns:
        An entry for each image with thumbnails; and how many images have none.

    Raises:
        UserError: A thumbnail cannot be read.
    """
    found = [_image(rows, index) for index in range(min(THUMBNAILS, len(rows[0].images)))]
    found = [image for image in found if image["pictures"]]
    for side in SIDES:
        fitted = [_fitted(image, side) for image in found]
        sizes = [len(json.dumps(image)) + 2 for image in fitted]
        if sum(sizes) <= room:
            break
    while sum(sizes) > room:
        sizes.pop()
        fitted.pop()
    return fitted, len(rows[0].images) - len(fitted)


def _image(rows: list[Result], index: int) -> dict[str, Any]:
    """The files of one image: each run's output, and the first input and gt that was kept."""
    paths = {f"run{i}": thumbnail_path(r.folder, index, "output") for i, r in enumerate(rows)}
    for key in (INPUT_KEY, GT_KEY):
        kept = (thumbnail_path(row.folder, index, key) for row in rows)
        paths[key] = next((p for p in kept if p.is_file()), Path())
    scores = {f"run{i}": _words(row.outputs[index]) for i, row in enumerate(rows)}
    given = untouched(rows)
    if given:
        scores[INPUT_KEY] = _words(given[index])
    kept_files = {key: path for key, path in paths.items() if path.is_file()}
    return {"name": rows[0].images[index], "pictures": kept_files, "scores": scores}


def _fitted(image: dict[str, Any], side: int) -> dict[str, Any]:
    uris, size = {}, (0, 0)
    for key, path in image["pictures"].items():
        data = read_file(path)
        with open_header(io.BytesIO(data), str(path)) as header:
            check_memory(header, str(path))
            picture = header.image
            size = max(size, picture.size)
            if max(picture.size) > side or picture.format != "WEBP":
                smaller = picture.convert("RGB")
                smaller.thumbnail((side, side), Image.Resampling.LANCZOS)
                data = as_webp(smaller)
        uris[key] = "data:image/webp;base64," + base64.b64encode(data).decode()
    return {**image, "pictures": uris, "width": size[0], "height": size[1]}
