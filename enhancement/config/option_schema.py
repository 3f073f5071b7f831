"""The JSON Schema of option files, for editors: what the checks of this package are made from."""

from __future__ import annotations

from typing import Any

from .files import BY_NAME, named_files
from .json_schema import OptionSchema
from .schema import Config

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def option_schema() -> dict[str, Any]:
    """The JSON Schema of an option file, whole or in parts.

    It knows keys, types, ranges and the classes that `type` may name. What one key asks of another,
    and whether files and folders are there, is told when the options are read.
    """
    schema = Config.model_json_schema(schema_generator=OptionSchema)
    definitions = schema.pop("$defs")
    properties = {**_named_by_files(), **schema.pop("properties")}
    for part in (properties, dict(definitions)):
        _share(part, definitions)
    return {
        "$schema": DRAFT,
        "title": "Option file",
        **schema,
        "description": "An option file of `enhancement`, or a part of one.",
        "properties": properties,
        "$defs": definitions,
    }


def _share(part: Any, definitions: dict[str, Any]) -> None:
    """Put the keys of each class that `type` may name among the definitions, once."""
    if isinstance(part, dict):
        for inner in part.values():
            _share(inner, definitions)
        keys = part.get("then", {})
        if "title" in keys:
            name = keys["title"]
            while definitions.setdefault(name, keys) != keys:  # another class of the same name
                name += "_"
            part["then"] = {"$ref": f"#/$defs/{name}"}
    elif isinstance(part, list):
        for inner in part:
            _share(inner, definitions)


def _named_by_files() -> dict[str, Any]:
    """The keys by which a file names others (files.py)."""
    bases = {"type": "array", "items": {"type": "string"}}
    found: dict[str, Any] = {
        "base": {
            "anyOf": [{"type": "string"}, bases],
            "description": "Option files to inherit, relative to this one; later ones win.",
        }
    }
    for key, folder in BY_NAME.items():
        found[key] = {
            "anyOf": [{"enum": sorted(named_files(folder))}, {"type": "string"}],
            "description": f"A file of `{folder}/` that lies beneath what this file says.",
        }
    return found
