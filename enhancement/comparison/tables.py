"""A comparison as text, Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass

from tabulate import tabulate

from enhancement.comparison.costs import SIDE
from enhancement.comparison.results import ImageScores, Result, mean_and_spread
from enhancement.scoring.report import INPUT, cell, heading
from enhancement.terminal import text_table
from enhancement.units import counted, duration

NAMES = 2  # columns of names: run and network


@dataclass
class Column:
    """A column of the table.

    Attributes:
        title: As shown.
        key: As a name in CSV and JSON.
        value: Of a row; None where there is none.
        show: A value as text.
    """

    title: str
    key: str
    value: Callable[[Result], float | None]
    show: Callable[[float], str]

    def text(self, row: Result | None) -> str:
        """A row's value as it is shown; "-" where there is no value, or no run."""
        value = self.value(row) if row else None
        return "-" if value is None else self.show(value)


def _operations(count: float) -> str:
    return f"{count / 1e9:.3g} G" if count >= 1e9 else f"{count / 1e6:.3g} M"


def _milliseconds(row: Result) -> float | None:
    return None if row.latency is None else 1000 * row.latency


COLUMNS = (
    Column("parameters", "parameters", lambda r: r.parameters, lambda v: f"{v:,.0f}"),
    Column(f"multiply-adds {SIDE}x{SIDE}", "multiply_adds", lambda r: r.multiply_adds, _operations),
    Column(f"latency {SIDE}x{SIDE}", "latency_ms", _milliseconds, lambda v: f"{v:.1f} ms"),
    Column("training", "training_seconds", lambda r: r.training.seconds, duration),
)


def columns(rows: list[Result]) -> list[Column]:
    """What rows are compared by besides their scores: the columns in which any row has a value."""
    return [c for c in COLUMNS if any(c.value(row) is not None for row in rows)]


def score_cell(rows: list[ImageScores], metric: str) -> str:
    """ "21.905 ± 2.279": mean and standard deviation over images."""
    mean, spread = mean_and_spread(rows, metric)
    tail = "" if spread is None else f" ± {cell(metric, spread)}"
    return cell(metric, mean) + tail


def untouched(rows: list[Result]) -> list[ImageScores] | None:
    """The scores of the input itself, where a row has them."""
    return next((row.inputs for row in rows if row.inputs[0]), None)


def metrics_of(rows: list[Result]) -> list[str]:
    """The metrics by which any row is scored."""
    return list(dict.fromkeys(metric for row in rows for metric in row.metrics))


def caption(rows: list[Result]) -> str:
    """What the scores of a table stand for."""
    first = rows[0]
    return (
        f"Protocol {first.protocol}, dataset {first.dataset}, "
        f"{counted(len(first.images), first.of)}; mean ± standard deviation over {first.of}s"
    )


def cells(rows: list[Result]) -> tuple[list[str], list[list[str]]]:
    """The table's head and its lines as texts: the untouched input, then the runs."""
    metrics, more = metrics_of(rows), columns(rows)
    head = ["run", "network", *map(heading, metrics), *(column.title for column in more)]
    given = untouched(rows)
    scored: list[tuple[str, str, list[ImageScores], Result | None]]
    scored = [(row.label, row.network, row.outputs, row) for row in rows]
    if given:
        scored.insert(0, (INPUT, "-", given, None))
    lines = [
        [label, network, *(score_cell(scores, m) for m in metrics), *(c.text(row) for c in more)]
        for label, network, scores, row in scored
    ]
    return head, lines


def as_text(rows: list[Result]) -> str:
    """For the terminal."""
    return f"{caption(rows)}\n{text_table(*cells(rows), names=NAMES)}"


def _safe(text: str) -> str:
    """A text that stays one cell of a Markdown table, and holds no HTML."""
    text = text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return " ".join(text.split())


def as_markdown(rows: list[Result]) -> str:
    """A GitHub table."""
    head, lines = cells(rows)
    align = ["left"] * NAMES + ["right"] * (len(head) - NAMES)
    safe_head, *safe = ([_safe(text) for text in line] for line in (head, *lines))
    table = tabulate(safe, safe_head, "pipe", disable_numparse=True, colalign=align)
    return f"{caption(rows)}.\n\n{table}\n"


def as_csv(rows: list[Result]) -> str:
    """One line a run, in plain numbers."""
    metrics, more = metrics_of(rows), columns(rows)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    scores = [name for metric in metrics for name in (metric, f"{metric}_std")]
    known = ["run", "network", "dataset", "protocol", "images"]
    writer.writerow([*known, *scores, *(column.key for column in more)])
    for row in rows:
        about = [row.label, row.network, row.dataset, row.protocol, len(row.images)]
        values = [value for m in metrics for value in mean_and_spread(row.outputs, m)]
        writer.writerow([*about, *values, *(column.value(row) for column in more)])
    return text.getvalue()
