"""`enhance archs`: the registered networks, and one of them looked at."""

from __future__ import annotations

import argparse
import json
from typing import Any

from enhancement.errors import UserError
from enhancement.inference.catalogue import SIDE, catalogue
from enhancement.terminal import indented, text_table

HELP = "list the registered networks, or look at one"
EXAMPLES = """
enhance archs
enhance archs --format json
enhance archs HDRNet
enhance archs CPGANet:variant=plus --size 640x480
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The network, and the format."""
    add = parser.add_argument
    add("network", nargs="?", metavar="NAME[:key=value]", help="a network to look at")
    add("--size", help="WIDTHxHEIGHT of the image it is measured on; default: 256x256")
    add("--format", choices=("table", "json"), default="table")
    add("--json", action="store_const", dest="format", const="json", help="as --format json")


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


def run(arguments: argparse.Namespace) -> int:
    """Print the networks, or the facts of one."""
    as_json = arguments.format == "json"
    if arguments.network:
        from enhancement.commands import network_page  # which imports PyTorch

        network_page.show(arguments.network, arguments.size or f"{SIDE}x{SIDE}", as_json)
        return 0
    if arguments.size:
        raise UserError("--size needs a network: enhance archs NAME --size WIDTHxHEIGHT")
    found = catalogue()
    if as_json:
        print(json.dumps(found["ours"], indent=2))
    else:
        print(as_text(found["ours"], found["others"]))
    return 0
