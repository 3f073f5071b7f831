"""`enhance archs`: the registered networks."""

from __future__ import annotations

import argparse
import inspect
import json
import shutil
import textwrap
from pathlib import Path
from typing import Any

from enhancement.archs.contract import contract_of
from enhancement.inference.complexity import multiply_adds, parameter_count
from enhancement.registry import ARCH_REGISTRY, is_ours
from enhancement.scoring.report import text_table
from enhancement.weights.state_dicts import read_weights

HELP = "list the registered networks"
EXAMPLES = """
enhance archs
enhance archs --format json
"""
SIDE = 256  # of the image that multiply-adds are given for
SHIPPED = Path(__file__).resolve().parents[2] / "pretrained_weights"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The format."""
    parser.add_argument("--format", choices=("table", "json"), default="table")


def shipped_weights() -> dict[str, list[str]]:
    """The weights files of this checkout, by the type of their network."""
    found: dict[str, list[str]] = {}
    for path in sorted(SHIPPED.glob("*.pth")):
        kind = read_weights(path)[1].get("network_g", {}).get("type", "?")
        found.setdefault(kind, []).append(path.name)
    return found


def describe() -> list[dict[str, Any]]:
    """The facts of each of our networks, in the order of their names."""
    weights = shipped_weights()
    rows = []
    for name, kind in sorted(ARCH_REGISTRY):
        if not is_ours(kind):
            continue
        network = kind()
        paper = (inspect.getmodule(kind).__doc__ or "").strip().split("\n\n")[0]
        row = {
            "name": name,
            "parameters": parameter_count(network),
            "multiply_adds_256": multiply_adds(network, SIDE, SIDE),
            "size_multiple": contract_of(network).size_multiple,
            "weights": weights.get(name, []),
            "paper": " ".join(paper.split()),
        }
        rows.append(row)
    return rows


def as_text(rows: list[dict[str, Any]]) -> str:
    """A table of figures, then each network's paper and the weights that this checkout has."""
    head = ["network", "parameters", "multiply-adds", "multiple"]
    lines = [
        [
            row["name"],
            f"{row['parameters']:,}",
            f"{row['multiply_adds_256'] / 1e9:.3f} G",
            str(row["size_multiple"]),
        ]
        for row in rows
    ]
    note = f"multiply-adds: for an image of {SIDE}x{SIDE}; multiple: what sizes are padded to\n"
    width = max(60, min(100, shutil.get_terminal_size((100, 24)).columns))
    texts = [text_table(head, lines), note]
    for row in rows:
        weights = ", ".join(row["weights"]) or "none here"
        texts.append(row["name"])
        texts += [
            textwrap.fill(text, width, initial_indent="  ", subsequent_indent="  ")
            for text in (row["paper"], f"weights: {weights}")
        ]
    return "\n".join(texts)


def run(arguments: argparse.Namespace) -> int:
    """Print the networks."""
    rows = describe()
    print(json.dumps(rows, indent=2) if arguments.format == "json" else as_text(rows))
    return 0
