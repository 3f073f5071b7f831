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
from enhancement.registry import ARCH_REGISTRY
from enhancement.weights.state_dicts import read_weights

HELP = "list the registered networks"
EXAMPLES = """
enhance archs
enhance archs --format json
"""
SHIPPED = Path(__file__).resolve().parents[2] / "pretrained_weights"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How to print."""
    parser.add_argument("--format", choices=("table", "json"), default="table")


def shipped_weights() -> dict[str, list[str]]:
    """The weights files of this checkout, by the type of their network."""
    found: dict[str, list[str]] = {}
    for path in sorted(SHIPPED.glob("*.pth")):
        kind = read_weights(path)[1].get("network_g", {}).get("type", "?")
        found.setdefault(kind, []).append(path.name)
    return found


def describe() -> list[dict[str, Any]]:
    """What there is to say of each network of ours, by name."""
    weights = shipped_weights()
    rows = []
    for name, kind in sorted(ARCH_REGISTRY):
        if not kind.__module__.startswith("enhancement.archs"):
            continue
        network = kind()
        paper = (inspect.getmodule(kind).__doc__ or "").strip().split("\n\n")[0]
        rows.append({
            "name": name,
            "parameters": parameter_count(network),
            "multiply_adds_256": multiply_adds(network),
            "size_multiple": contract_of(network).size_multiple,
            "weights": weights.get(name, []),
            "paper": " ".join(paper.split()),
        })  # fmt: skip
    return rows


def run(arguments: argparse.Namespace) -> int:
    """Print each network of ours; multiply-adds are those of an image of 256x256."""
    rows = describe()
    if arguments.format == "json":
        print(json.dumps(rows, indent=2))
        return 0
    width = max(60, min(100, shutil.get_terminal_size((100, 24)).columns))
    print(f"{'network':<16}{'parameters':>12}{'multiply-adds':>15}{'multiple':>10}")
    for row in rows:
        giga = f"{row['multiply_adds_256'] / 1e9:.3f} G"
        print(f"{row['name']:<16}{row['parameters']:>12,}{giga:>15}{row['size_multiple']:>10}")
        for text in (row["paper"], "weights: " + (", ".join(row["weights"]) or "none here")):
            print(textwrap.fill(text, width, initial_indent="    ", subsequent_indent="      "))
    print("multiply-adds: for an image of 256x256; multiple: what sizes are padded to")
    return 0
