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
    return {
        "$schema": DRAFT,
        **schema,
        "title": "Option file",
        "description": "An option file of `enhancement`, or a part of one.",
        "properties": {**_named_by_files(), **schema["properties"]},
    }


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
