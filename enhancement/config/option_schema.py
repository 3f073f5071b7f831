"""The JSON Schema of option files, for editors: what the checks of this package are made from."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from .files import BY_NAME, named_files
from .schema import Config


class OptionSchema(GenerateJsonSchema):
    """Pydantic's generator; nothing is required, as a file may leave to another what it lacks."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}

    def field_is_required(self, field: Any, total: bool) -> bool:
        """Nothing is."""
        return False

    def field_title_should_be_set(self, schema: Any) -> bool:
        """The key says the same."""
        return False

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> JsonSchemaValue:
        """A type that is not JSON's, of another project's network, is not checked."""
        return {}


def option_schema() -> dict[str, Any]:
    """The JSON Schema of an option file, whole or in parts.

    It knows keys, types, ranges and the classes that `type` may name. What one key asks of another,
    and whether files and folders are there, is told when the options are read.
    """
    schema = Config.model_json_schema(schema_generator=OptionSchema)
    return {
        "$schema": OptionSchema.schema_dialect,
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
