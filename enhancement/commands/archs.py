"""`enhance archs`: the registered networks."""

from __future__ import annotations

import argparse
import inspect
import json
import shutil
import textwrap
from typing import Any

from enhancement.archs.contract import FAMILIES
from enhancement.inference.figures import SIDE, figures_of
from enhancement.registry import ARCH_REGISTRY, is_ours, lookup, registered
from enhancement.scoring.report import text_table
from enhancement.weights.shipped import shipped_weights
from enhancement.weights.state_dicts import read_weights

HELP = "list the registered networks"
EXAMPLES = """
enhance archs
enhance archs --format json
"""
PROJECTS = {
    "BasicSR's (with `upscale: 1`)": "basicsr.",
    "spandrel's (with `upscale: 1` or `scale: 1`)": "spandrel",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The format."""
    parser.add_argument("--format", choices=("table", "json"), default="table")


def weights_by_network() -> dict[str, list[str]]:
    """The names of the weights that come with this package, by the type of their network."""
    found: dict[str, list[str]] = {}
    for name, path in shipped_weights().items():
        kind = read_weights(path)[1].get("network_g", {}).get("type", "?")
        found.setdefault(kind, []).append(name)
    return found


def describe() -> list[dict[str, Any]]:
    """The facts of each of our networks, in the order of their names."""
    weights = weights_by_network()
    kinds = {name: kind for name, kind in sorted(ARCH_REGISTRY) if is_ours(kind)}
    rows = []
    for name, figures in figures_of(kinds).items():
        paper = (inspect.getmodule(kinds[name]).__doc__ or "").strip().split("\n\n")[0]
        row = {
            "name": name,
            "family": kinds[name].family,
            **figures,
            "weights": weights.get(name, []),
            "paper": " ".join(paper.split()),
        }
        rows.append(row)
    return rows


def foreign() -> dict[str, list[str]]:
    """The names of other projects' networks, by project."""
    names = registered(ARCH_REGISTRY)
    modules = {name: lookup(ARCH_REGISTRY, name).__module__ for name in names}
    return {
        title: [name for name in names if modules[name].startswith(package)]
        for title, package in PROJECTS.items()
    }


def as_text(rows: list[dict[str, Any]], others: dict[str, list[str]]) -> str:
    """A table of figures by family, each network's paper and weights, and others' networks."""
    rows = sorted(rows, key=lambda row: FAMILIES.index(row["family"]))
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
    rows = describe()
    if arguments.format == "json":
        print(json.dumps(rows, indent=2))
    else:
        print(as_text(rows, foreign()))
    return 0
