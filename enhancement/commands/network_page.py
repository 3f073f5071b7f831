"""`enhance archs NAME`: one network's paper, arguments, parts, cost, weights and option files."""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import asdict
from typing import Any

from torch import nn

from enhancement.archs.contract import contract_of
from enhancement.config.blocks import Block
from enhancement.config.building import build_on_meta
from enhancement.config.docs import argument_docs, summary
from enhancement.config.files import read_file
from enhancement.config.named_network import network_block
from enhancement.config.signature import parameters
from enhancement.device import named_device
from enhancement.errors import first_line
from enhancement.inference.anatomy import cost_of, parts_of
from enhancement.inference.complexity import parameter_count
from enhancement.inference.figures import weights_by_network
from enhancement.inference.speed import machine
from enhancement.paths import OPTIONS
from enhancement.registry import is_ours
from enhancement.terminal import indented, text_table
from enhancement.units import parse_size, readable_bytes

ENTRY = re.compile(r"^(?:Papers?:|Extension:|Published |Differs in|No link )", re.MULTILINE)
LINK = re.compile(r"(https?://)?[\w-]+(\.[\w-]+)*\.(com|org|edu|net|io|cc|ai|de)/[^\s;,]*[\w/]")
CODE = "github.com"
NOT_RUN = "it cannot be run on a single image"


def show(text: str, size: str, as_json: bool) -> None:
    """Print what is known of the network `NAME:key=value`.

    Raises:
        UserError: No such network, argument or size.
    """
    width, height = parse_size(size, "--size")
    facts = facts_of(network_block(text, "enhance archs"), width, height)
    print(json.dumps(facts, indent=2, default=str) if as_json else as_text(facts))


def facts_of(block: Block, width: int, height: int) -> dict[str, Any]:
    """All that is known of a network, and measured on an image of a size."""
    build_on_meta(block.build)  # refuses one that is too large
    network: nn.Module = block.build()
    declared = contract_of(network)
    return {
        "name": block.type,
        "family": declared.family if is_ours(block.kind) else None,
        **publication(block.kind),
        "arguments": arguments_of(block),
        "size_multiple": declared.size_multiple,
        "smallest_size": declared.smallest_size,
        "size": [width, height],
        **measured(network, width, height),
        "weights": weights_by_network().get(block.type, []),
        "recognised": bool(declared.published) or block.kind.__module__.startswith("spandrel"),
        "option_files": option_files(block.type),
    }


def publication(kind: type[nn.Module]) -> dict[str, str | None]:
    """The paper's title, mostly with authors and year, its link, and where its code is published.

    They are what the network's file begins with; another project's class has its docstring alone.
    """
    text = (inspect.getmodule(kind).__doc__ or "").strip() if is_ours(kind) else summary(kind)
    links = [found[0] for found in LINK.finditer(text)]
    return {
        "paper": " ".join(ENTRY.split(text)[0].split()),
        "link": next((link for link in links if CODE not in link), None),
        "code": next((link for link in links if CODE in link), None),
    }


def arguments_of(block: Block) -> list[dict[str, Any]]:
    """Each argument's name, type, value, and what its docstring says."""
    docs = argument_docs(block.kind)
    return [
        {
            "name": name,
            "type": inspect.formatannotation(p.annotation).replace("typing.", "")
            if p.annotation is not p.empty
            else None,
            "default": None if p.default is p.empty else p.default,
            "value": block.arguments.get(name, None if p.default is p.empty else p.default),
            "description": docs.get(name, ""),
        }
        for name, p in parameters(block.kind).items()
    ]


def measured(network: nn.Module, width: int, height: int) -> dict[str, Any]:
    """Parts with their figures, and what an image takes; parameters alone where none is taken."""
    device = named_device("auto")
    try:
        parts = parts_of(network, height, width)
        cost = cost_of(network, height, width, device)
    except Exception as error:  # other projects' networks for video or training raise anything
        reason = first_line(error)
        parameters = parameter_count(network)
        return {"parameters": parameters, "not_run": f"{NOT_RUN} ({reason})"}
    return {
        "parameters": parts[0].parameters,
        "multiply_adds": parts[0].multiply_adds,
        "parts": [asdict(part) for part in parts[1:]],
        "cost": {**asdict(cost), "engine": "PyTorch", "machine": machine(device)},
    }


def option_files(name: str) -> list[str]:
    """The option files of a network that come with this package."""
    paths = sorted(OPTIONS.rglob("*.yml"), key=lambda path: (len(path.parts), path))
    return [
        f"options/{path.relative_to(OPTIONS).as_posix()}"
        for path in paths
        if (read_file(path).get("network_g") or {}).get("type") == name
    ]


def as_text(facts: dict[str, Any]) -> str:
    """The facts for the terminal."""
    texts = [facts["name"], indented(facts["paper"] or "no publication is named")]
    texts += [indented(facts[key]) for key in ("link", "code") if facts[key]]
    texts += ["", "arguments"]
    for argument in facts["arguments"]:
        given = json.dumps(argument["value"], default=str)
        kind = f": {argument['type']}" if argument["type"] else ""
        texts.append(indented(f"{argument['name']}{kind} = {given}"))
        texts += [indented(argument["description"], 6)] if argument["description"] else []
    texts += [] if facts["arguments"] else ["  none"]
    width, height = facts["size"]
    texts += ["", f"parts, and multiply-adds for an image of {width}x{height}"]
    texts += [facts["not_run"]] if "not_run" in facts else [parts_table(facts)]
    if "cost" in facts:
        texts += ["", cost_line(facts)]
    texts += [f"sizes are padded to multiples of {facts['size_multiple']}"]
    texts += ["", "weights"]
    named = ", ".join(facts["weights"]) or "none"
    texts += [f"  with this package: {named}"]
    where = f": {facts['code']}" if facts["code"] else ""
    known = "recognised without an option file" if facts["recognised"] else "not recognised"
    texts += [f"  its authors' files are {known}{where}"]
    texts += ["", f"option files: {', '.join(facts['option_files']) or 'none'}"]
    return "\n".join(texts)


def parts_table(facts: dict[str, Any]) -> str:
    """The parts, the second level indented, and the whole."""

    def line(name: str, kind: str, figures: dict[str, Any]) -> list[str]:
        count = f"{figures['multiply_adds'] / 1e9:.3f} G"
        return [name, kind, f"{figures['parameters']:,}", count]

    rows = [line(part["name"], part["kind"], part) for part in facts["parts"]]
    head = ["part", "kind", "parameters", "multiply-adds"]
    return text_table(head, [*rows, line("all", "", facts)], names=2)


def cost_line(facts: dict[str, Any]) -> str:
    """Time and memory in a line."""
    cost = facts["cost"]
    return (
        f"{cost['seconds'] * 1e3:,.1f} ms and {readable_bytes(cost['memory'])} beside "
        f"{readable_bytes(cost['weights'])} of weights, by {cost['engine']} on {cost['machine']}"
    )
