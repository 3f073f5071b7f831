"""docs/options.md: every key of option files, written from their JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from enhancement.registry import lookup

from .blocks import LOSS, METRIC, NETWORK, SCHEDULER, Registered
from .option_schema import option_schema

Schema = dict[str, Any]

SECTIONS = {
    "train": "Train",
    "train.mixing_augs": "MixingAugs",
    "val": "Val",
    "logger": "Logger",
    "logger.wandb": "Wandb",
    "path": "PathBlock",
    "dist_params": "DistParams",
}
HEAD = """# Option files: every key

Written by `make tables` from what checks option files;
`enhance options --schema` gives the same to editors. [README.md](../README.md#option-files) says
how files are inherited and merged; `enhance options show FILE` prints one merged, each key with the
file that it comes from.

A key that no file gives has its default; null stands for nothing. Keys of one's own are written
`{name}`.
"""
BOUNDS = {
    "exclusiveMinimum": "above",
    "minimum": "from",
    "exclusiveMaximum": "below",
    "maximum": "to",
}
PYTORCH = "[PyTorch's](https://docs.pytorch.org/docs/stable/optim.html)"
PLACES = {
    "network_g": "Networks of this project. `enhance archs` lists BasicSR's and spandrel's, which "
    "take their own arguments.",
    "train.{name}_opt": "Losses; their weighted sum is trained. null takes one away that another "
    "file names.",
    "train.optim_g": f"{PYTORCH} by name, with their own arguments: `{{type: Adam, lr: 1e-3}}`.",
    "train.scheduler": f"{PYTORCH} by name, with their own arguments, and these.",
    "val.metrics.{name}": "Scored in addition to the protocol's metrics.",
}


def option_page() -> str:
    """The page, in Markdown."""
    schema = option_schema()
    return "\n".join([HEAD, *_page(schema["$defs"], schema["properties"])])


def _page(known: Mapping[str, Schema], top: Mapping[str, Schema]) -> Iterator[str]:
    yield "## The file\n"
    yield from _table(top)
    for place, name in SECTIONS.items():
        yield f"## `{place}`\n"
        yield from _table(known[name]["properties"])
    train, val = known["Train"], known["Val"]["properties"]
    blocks: dict[str, tuple[Schema, Registered]] = {
        "network_g": (top["network_g"], NETWORK),
        "train.{name}_opt": (train["patternProperties"]["_opt$"], LOSS),
        "train.optim_g": ({}, SCHEDULER),
        "train.scheduler": (train["properties"]["scheduler"], SCHEDULER),
        "val.metrics.{name}": (val["metrics"], METRIC),
    }
    yield from _datasets(top["datasets"]["properties"]["train"], known)
    for place, (block, kinds) in blocks.items():
        yield f"## `{place}`\n\n{PLACES[place]}\n"
        for name, keys in _classes(block, known).items():
            if _is_listed(place, lookup(kinds.registry, name)):
                yield from _class(name, keys)


def _is_listed(place: str, kind: Any) -> bool:
    """Whether a class is this project's, or one that BasicSR's release fixes."""
    return str(kind.__module__).startswith(
        "enhancement." if place == "network_g" else ("enhancement.", "basicsr.")
    )


def _datasets(block: Schema, known: Mapping[str, Schema]) -> Iterator[str]:
    """The keys that all of our datasets share, then those of each, of parts and degradations."""
    classes = _classes(block, known)
    keys = [classes[name]["properties"] for name in classes if name != "PairedImageDataset"]
    shared = {name for name in keys[0] if all(name in others for others in keys)} - {"type"}
    yield "## `datasets.{train,val,test}`\n\nBesides these `val_{name}` and `test_{name}`."
    yield "null takes one away that another file gives.\n"
    yield "Keys of every dataset of this project:\n"
    yield from _table({name: text for name, text in keys[0].items() if name in shared})
    for name, found in classes.items():
        left_out = () if name == "PairedImageDataset" else shared
        yield from _class(name, found, left_out)
    parts = classes["MixedDataset"]["properties"]["parts"]
    in_parts = _classes(parts, known)
    yield f"## `datasets.train.parts.{{name}}`\n\n{', '.join(in_parts)}, with their keys and:\n"
    yield from _table({"repeat": in_parts["PairedDataset"]["properties"]["repeat"]})
    yield "## `datasets.train.degradation`\n"
    degradations = classes["SynthesisDataset"]["properties"]["degradation"]
    for name, found in _classes(degradations, known).items():
        yield from _class(name, found)


def _classes(block: Schema, known: Mapping[str, Schema]) -> dict[str, Schema]:
    """The keys of each class that the `type` of a block may name."""
    for inner in (*block.get("anyOf", ()), block.get("additionalProperties")):
        if isinstance(inner, dict) and (found := _classes(inner, known)):
            return found
    return {
        branch["if"]["properties"]["type"]["const"]: known[branch["then"]["$ref"].split("/")[-1]]
        for branch in block.get("allOf", ())
    }


def _class(name: str, keys: Schema, left_out: Iterable[str] = ()) -> Iterator[str]:
    yield f"### `{name}`\n\n{keys['description']}\n"
    yield from _table({k: v for k, v in keys["properties"].items() if k not in (*left_out, "type")})


def _table(properties: Mapping[str, Schema]) -> Iterator[str]:
    if not properties:
        return
    yield "| key | type | default | |\n| --- | --- | --- | --- |"
    for name, found in properties.items():
        default = json.dumps(found.get("default", {}))  # that of a block stands in its own table
        default = "" if default.startswith("{") else f"`{default}`"
        cells = (f"`{name}`", _type(found), default, found.get("description", ""))
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""


def _type(found: Schema) -> str:
    """A type in words."""
    if "anyOf" in found:
        return " or ".join(dict.fromkeys(map(_type, found["anyOf"])))
    kind = str(found.get("type", ""))
    if "allOf" in found or "$ref" in found or kind == "object":
        return "block"
    if "const" in found:
        return f"`{json.dumps(found['const'])}`"
    if "enum" in found:
        return ", ".join(f"`{name}`" for name in found["enum"])
    if "prefixItems" in found:
        return f"[{', '.join(map(_type, found['prefixItems']))}]"
    if kind == "array":
        inner = _type(found.get("items", {}))
        return f"list of {inner}" if inner else "list"
    bounds = (f"{word} {found[key]:g}" for key, word in BOUNDS.items() if key in found)
    return " ".join([kind, *bounds])
