"""A comparison as text, Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass

from enhancement.comparison.results import SIDE, ImageScores, Result, mean_and_spread
from enhancement.scoring.report import INPUT, cell
from enhancement.units import duration


@dataclass
class Column:
    """A column of the table.

    Attributes:
        title: As shown.
        key: As a name in CSV and JSON.
        value: Of a row; None where there is none.
        show: A value in words.
    """

    title: str
    key: str
    value: Callable[[Result], float | None]
    show: Callable[[float], str]


def _operations(count: float) -> str:
    return f"{count / 1e9:.3g} G" if count >= 1e9 else f"{count / 1e6:.3g} M"


def columns(rows: list[Result]) -> list[Column]:
    """What rows are compared by, beside their scores; only what is known of a row at least."""
    every = [
        Column("parameters", "parameters", lambda r: r.parameters, lambda v: f"{v:,.0f}"),
        Column(f"multiply-adds {SIDE}x{SIDE}", "multiply_adds",
               lambda r: r.multiply_adds, _operations),
        Column(f"latency {SIDE}x{SIDE}", "latency_ms",
               lambda r: None if r.latency is None else 1000 * r.latency, lambda v: f"{v:.1f} ms"),
        Column("training", "training_seconds", lambda r: r.training.seconds, duration),
    ]  # fmt: skip
    return [c for c in every if any(c.value(row) is not None for row in rows)]


def score_cell(rows: list[ImageScores], metric: str) -> str:
    """ "21.905 ± 2.279": mean and standard deviation over images."""
    mean, spread = mean_and_spread(rows, metric)
    tail = "" if spread is None else f" ± {cell(metric, spread)}"
    return cell(metric, mean) + tail


def untouched(rows: list[Result]) -> list[ImageScores] | None:
    """The scores of the input itself, where a row has them."""
    return next((row.inputs for row in rows if row.inputs[0]), None)


def caption(rows: list[Result]) -> str:
    """What the scores of a table stand for."""
    first = rows[0]
    return (
        f"Protocol {first.protocol}, dataset {first.dataset}, {len(first.images)} images; "
        f"mean ± standard deviation over images"
    )


def cells(rows: list[Result]) -> list[list[str]]:
    """The table as texts, its head first, then the untouched input, then the runs."""
    metrics, more = rows[0].metrics, columns(rows)
    table = [["run", "network", *(m.upper() for m in metrics), *(c.title for c in more)]]
    given = untouched(rows)
    if given:
        scores = [score_cell(given, m) for m in metrics]
        table.append([INPUT, "-", *scores, *("-" for _ in more)])
    for row in rows:
        values = [(c, c.value(row)) for c in more]
        table.append([
            row.label, row.network, *(score_cell(row.outputs, m) for m in metrics),
            *("-" if v is None else c.show(v) for c, v in values),
        ])  # fmt: skip
    return table


def as_text(rows: list[Result]) -> str:
    """For the terminal."""
    table = cells(rows)
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    lines = [
        "  ".join(text.ljust(w) if i < 2 else text.rjust(w)
                  for i, (text, w) in enumerate(zip(row, widths, strict=True))).rstrip()
        for row in table
    ]  # fmt: skip
    rule = "-" * max(map(len, lines))
    return "\n".join([caption(rows), lines[0], rule, *lines[1:]])


def as_markdown(rows: list[Result]) -> str:
    """A GitHub table."""

    def line(texts: list[str]) -> str:
        safe = (t.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;") for t in texts)
        return f"| {' | '.join(' '.join(t.split()) for t in safe)} |"

    head, *body = cells(rows)
    rule = "| --- | --- |" + " ---: |" * (len(head) - 2)
    return "\n".join([f"{caption(rows)}.", "", line(head), rule, *map(line, body)]) + "\n"


def as_csv(rows: list[Result]) -> str:
    """One line a run, in plain numbers."""
    metrics, more = rows[0].metrics, columns(rows)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([
        "run", "network", "dataset", "protocol", "images",
        *(name for m in metrics for name in (m, f"{m}_std")), *(c.key for c in more),
    ])  # fmt: skip
    for row in rows:
        scores = [v for m in metrics for v in mean_and_spread(row.outputs, m)]
        writer.writerow([
            row.label, row.network, row.dataset, row.protocol, len(row.images), *scores,
            *(c.value(row) for c in more),
        ])  # fmt: skip
    return text.getvalue()
