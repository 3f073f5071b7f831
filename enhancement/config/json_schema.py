"""JSON Schema (draft 2020-12) of what pydantic's models of option files describe.

Nothing is required, since a file may leave to another what it does not say itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from .docs import argument_docs, summary

Handler = Any  # pydantic's GetJsonSchemaHandler, called with a core schema


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


def describe(schema: JsonSchemaValue, of: Iterable[Any]) -> None:
    """Put what docstrings say into the schema of a block.

    Args:
        schema: Of the block; it is changed.
        of: The classes or functions that take its keys; the first one describes the block.
    """
    kinds = list(of)
    texts = {name: text for kind in reversed(kinds) for name, text in argument_docs(kind).items()}
    schema["description"] = summary(kinds[0])
    for name, inner in schema.get("properties", {}).items():
        if texts.get(name) and isinstance(inner, dict):
            inner["description"] = re.sub(r"\bNone\b", "null", texts[name])  # as YAML has it


def block_schema(
    kinds: Mapping[str, Any],
    model: Callable[[Any], type[BaseModel]],
    handler: Handler,
    documented: Callable[[Any], Iterable[Any]] = lambda kind: (kind,),
) -> JsonSchemaValue:
    """The schema of a block whose other keys depend on its `type`.

    Without a `type`, which another file may give, its keys are not checked.

    Args:
        kinds: The classes or functions by the names that `type` may have.
        model: Gives the model of the keys of one.
        handler: Pydantic's.
        documented: Gives those whose docstrings describe the keys of one.
    """
    branches = []
    for name, kind in kinds.items():
        reference = handler(model(kind).__pydantic_core_schema__)
        keys = handler.resolve_ref_schema(reference)
        describe(keys, documented(kind))
        keys.setdefault("properties", {})["type"] = True
        given = {"properties": {"type": {"const": name}}, "required": ["type"]}
        branches.append({"if": given, "then": reference})
    names = list(kinds)
    shown = [summary(next(iter(documented(kind)))) for kind in kinds.values()]
    return {
        "type": "object",
        "properties": {"type": {"enum": names, "enumDescriptions": shown}},
        "allOf": branches,
    }
