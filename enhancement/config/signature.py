"""Signatures as pydantic models, and what pydantic finds wrong in the words of this project.

Keys, required keys and types of a block come from the class or function that is called with it.
Values are read with JSON's strictness: 1 is a number where 1.0 is meant, a list fits a tuple, "1"
fits neither.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import is_dataclass
from functools import cache, reduce
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    create_model,
)
from pydantic_core import PydanticCustomError

from enhancement.errors import UserError, hint

KeyPath = tuple[str, ...]
Fault = tuple[KeyPath, str]  # the key, and what is wrong with it

NOT_OPTIONS = ("self", "params", "optimizer", "last_epoch", "img", "img2", "args", "kwargs")
STRICT = ConfigDict(extra="forbid", strict=True, frozen=True, arbitrary_types_allowed=True)
LONGEST_SHOWN = 200
IN_WORDS: dict[Any, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "a block",
    Any: "a value",
}
MESSAGES = {
    "model_type": "a block",
    "dict_type": "a block",
    "missing": "an entry",
    "too_short": "an entry",
    "too_long": "fewer entries",
    "tuple_type": "a list",
}


def parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The arguments of a function or class that an option file may give, with resolved types."""
    # a dataclass's fields may come from several modules, each with names of its own
    plain = inspect.isclass(function) and not is_dataclass(function)
    target = function.__init__ if plain else function
    try:
        hints = get_type_hints(target, include_extras=True)
    except (NameError, TypeError):
        hints = {}
    found = inspect.signature(function).parameters
    return {
        name: p.replace(annotation=hints.get(name, p.annotation))
        for name, p in found.items()
        if name not in NOT_OPTIONS and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    }


@cache
def arguments_model(
    *functions: Callable[..., Any], types: tuple[tuple[str, Any], ...] = ()
) -> type[BaseModel]:
    """A model of the arguments of functions or classes that share a block; the last one wins.

    Args:
        functions: The functions or classes.
        types: Names of arguments, and types that take the place of the declared ones.
    """
    declared = {name: p for function in functions for name, p in parameters(function).items()}
    instead = dict(types)
    fields: dict[str, Any] = {
        f"argument_{number}": (
            instead.get(name) or _annotation(p),
            Field(... if p.default is p.empty else p.default, alias=name),
        )
        for number, (name, p) in enumerate(declared.items())
    }
    names = "_".join(function.__name__ for function in functions)
    return create_model(names, __config__=STRICT, **fields)


def _annotation(parameter: inspect.Parameter) -> Any:
    """The type that a parameter is declared with or, where that is not JSON's, its default's."""
    unresolved = isinstance(parameter.annotation, str)  # a name that its module does not import
    if parameter.annotation is not parameter.empty and not unresolved:
        with suppress(Exception):  # pydantic's errors of types that it does not know share no base
            TypeAdapter(parameter.annotation)
            return parameter.annotation
    default = parameter.default
    if isinstance(default, bool | str):
        return type(default)
    if isinstance(default, int | float):
        return float  # without a declared type, 1 and 0.5 are both numbers
    return Union[list[Any], float] if isinstance(default, list | tuple) else Any  # noqa: UP007


def validate(model: type[BaseModel], given: Mapping[str, Any]) -> Any:
    """An instance of a model.

    Raises:
        ValidationError: With every fault; `faults_in` puts them into words.
    """
    return model.model_validate_json(json.dumps(given), strict=True)


def shown(value: Any) -> str:
    """A value as an error shows it."""
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def refused(faults: list[Fault]) -> PydanticCustomError:
    """The error by which a validator of this package hands its faults to `faults_in`."""
    return PydanticCustomError("faults", "faults", {"faults": faults})


def held_to(check: Callable[[str], Any]) -> AfterValidator:
    """A validator that says what a check's UserError says of a text."""

    def read(text: str) -> str:
        try:
            check(text)
        except UserError as error:
            raise refused([((), str(error))]) from None
        return text

    return AfterValidator(read)


def faults_in(model: type[BaseModel], given: Mapping[str, Any]) -> list[Fault]:
    """What is wrong with a block: one fault for each key and kind."""
    try:
        validate(model, given)
    except ValidationError as error:
        return list(_in_words(error, model, given))
    return []


def _in_words(
    error: ValidationError, model: type[BaseModel], given: Mapping[str, Any]
) -> Iterator[Fault]:
    expected: dict[KeyPath, set[str]] = {}
    for found in error.errors(include_url=False):
        kind, loc = found["type"], found["loc"]
        path, names = _place(loc, model)
        if kind == "faults":
            at = tuple(map(str, loc))
            yield from (((*at, *inner), text) for inner, text in found["ctx"]["faults"])
        elif kind == "missing" and isinstance(loc[-1], str):
            yield path, f"missing; expected {type_in_words(names[path[-1]])}"
        elif kind == "extra_forbidden":
            yield path, f"unknown key; {hint(path[-1], names)}"
        else:
            text = MESSAGES.get(kind) or str(found["msg"]).removeprefix("Input should be ")
            where = "".join(f"[{part}]" for part in loc if isinstance(part, int))
            expected.setdefault(path, set()).add(f"{text} at {where}" if where else text)
    for path, texts in expected.items():
        value = reduce(lambda block, key: block[key], path, given)
        yield path, f"expected {' or '.join(sorted(texts))}, but got {shown(value)}"


def _is_table(kind: Any) -> bool:
    """Whether a key's type is a dictionary, or a union with one."""
    return any(get_origin(one) is dict for one in (kind, *get_args(kind)))


def _place(loc: tuple[int | str, ...], model: Any) -> tuple[KeyPath, dict[str, Any]]:
    """The key that an error lies at, and the valid keys of its block with their types.

    pydantic goes on with the members of a union and the indices of a list, which are no keys.
    """
    path: KeyPath = ()
    names: dict[str, Any] = {}
    for part in loc:
        if not (inspect.isclass(model) and issubclass(model, BaseModel)):
            if path and isinstance(part, str) and _is_table(names.get(path[-1])):
                path = (*path, part)
            break
        names = {f.alias or name: f.annotation for name, f in model.model_fields.items()}
        path = (*path, str(part))
        inner = [names.get(str(part)), *get_args(names.get(str(part)))]
        model = next((m for m in inner if inspect.isclass(m) and issubclass(m, BaseModel)), None)
    return path, names


def type_in_words(annotation: Any) -> str:
    """A type in words."""
    if get_origin(annotation) is Annotated:
        return type_in_words(annotation.__args__[0])
    plain = get_origin(annotation) or annotation
    if plain not in IN_WORDS and inspect.isclass(plain) and plain.__module__ != "builtins":
        return "a block"
    return IN_WORDS.get(plain, str(annotation).replace("typing.", ""))
