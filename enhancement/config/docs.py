"""What docstrings say of a class or function, and of its arguments."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import Any

from docstring_parser import DocstringStyle, ParseError, parse


def summary(of: Any) -> str:
    """The first paragraph of a class's or function's own docstring on one line; "" without one."""
    kinds = [of]
    if inspect.isclass(of):  # one made around another project's network bears that one's module
        kinds = [kind for kind in of.__mro__ if kind.__module__ == of.__module__]
    text = next((kind.__doc__ for kind in kinds if kind.__doc__), "")
    return " ".join(re.split(r"\n\n|\nArgs:", inspect.cleandoc(text))[0].split())


@cache
def argument_docs(of: Any) -> dict[str, str]:
    """What the sections `Args:` and `Attributes:` say of each name, on one line.

    Args:
        of: A class, whose bases count too, or a function.
    """
    return {
        name.strip(): " ".join((found.description or "").split())
        for text in _docstrings(of)
        for found in _parsed(text)
        for name in found.arg_name.split(",")
    }


def _docstrings(of: Any) -> Iterator[str]:
    """Those of a class's bases first, so that its own win."""
    for kind in reversed(of.__mro__) if inspect.isclass(of) else [of]:
        yield kind.__doc__ or ""
        yield getattr(vars(kind).get("__init__"), "__doc__", None) or ""


def _parsed(text: str) -> list[Any]:
    with suppress(ParseError):  # of another project, in a form of its own
        return parse(text, DocstringStyle.GOOGLE).params
    return []


def describe(schema: dict[str, Any], *kinds: Any) -> None:
    """Put what docstrings say into the JSON Schema of a block.

    Args:
        schema: Of the block; it is changed.
        kinds: The classes or functions that take its keys; the first one describes the block.
    """
    texts = {name: text for kind in reversed(kinds) for name, text in argument_docs(kind).items()}
    schema["description"] = summary(kinds[0])
    for name, inner in schema.get("properties", {}).items():
        if texts.get(name) and isinstance(inner, dict):
            inner["description"] = re.sub(r"\bNone\b", "null", texts[name])  # as YAML has it
