"""JSON Schema (draft 2020-12) of what pydantic's models of option files describe.

Nothing is required, since a file may leave to another what it does not say itself.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from .docs import argument_docs, summary


class OptionSchema(GenerateJsonSchema):
    """Pydantic's generator, for files that are parts of a whole."""

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


def describe(schema: JsonSchemaValue, *kinds: Any) -> None:
    """Put what docstrings say into the schema of a block.

    Args:
        schema: Of the block; it is changed.
        kinds: The classes or functions that take its keys; the first one describes the block.
    """
    texts = {name: text for kind in reversed(kinds) for name, text in argument_docs(kind).items()}
    schema["description"] = summary(kinds[0])
    for name, inner in schema.get("properties", {}).items():
        if texts.get(name) and isinstance(inner, dict):
            inner["description"] = re.sub(r"\bNone\b", "null", texts[name])  # as YAML has it
