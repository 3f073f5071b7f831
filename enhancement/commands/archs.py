"""`enhance archs`: the registered networks."""

from __future__ import annotations

import argparse
import json
import shutil
import textwrap
from typing import Any

from enhancement.inference.catalogue import SIDE, catalogue
from enhancement.terminal import text_table

HELP = "list the registered networks"
EXAMPLES = """
enhance archs
enhance archs --format json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The format."""
    parser.add_argument("--format", choices=("table", "json"), default="table")


def as_text(rows: list[dict[str, Any]], others: dict[str, list[str]]) -> str:
    """A table of figures by family, each network's paper and weights, and others' networks."""
    head = ["family", "network", "parameters", "multiply-adds", "multiple"]
    lines = [
        [
            row["family"] if before is None or before["family"] != row["family"] else "",
            row["name"],
            f"{row['parameters']:,}",
            f"{row['multiply_adds_256'] / 1e9:.3f} G",
            str(row["size_multiple"]),
        ]
        for before, row in zip([None, *rows], rows, strict=False)
    ]
    note = f"multiply-adds: for an image of {SIDE}x{SIDE}; multiple: what sizes are padded to\n"
    texts = [text_table(head, lines, names=2), note]
    for row in rows:
        weights = ", ".join(row["weights"]) or "none come with this package"
        texts += [row["name"], indented(row["paper"]), indented(f"weights: {weights}")]
    for title, names in others.items():
        texts += [title, indented(", ".join(names))]
    return "\n".join(texts)


def indented(text: str) -> str:
    """A text in lines that fit the terminal."""
    width = max(60, min(100, shutil.get_terminal_size((100, 24)).columns))
    return textwrap.fill(text, width, initial_indent="  ", subsequent_indent="  ")


def run(arguments: argparse.Namespace) -> int:
    """Print the networks."""
    found = catalogue()
    if arguments.format == "json":
        print(json.dumps(found["ours"], indent=2))
    else:
        print(as_text(found["ours"], found["others"]))
    return 0
