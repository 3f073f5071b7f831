"""Merged options as YAML, each key with the file that it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from enhancement.terminal import printable

from .files import OptionFile, Options
from .plain_yaml import as_line
from .signature import KeyPath

WIDEST = 60  # characters before the column of files


def with_origins(file: OptionFile) -> str:
    """Options as YAML that reads as the same, a comment behind each value naming its file."""
    lines = list(_lines(file, file.options, ()))
    width = min(WIDEST, max((len(text) for text, origin in lines if origin), default=0))
    return "".join(
        f"{text:<{width}}  # {origin}\n" if origin else f"{text}\n" for text, origin in lines
    )


def _lines(file: OptionFile, block: Options, at: KeyPath) -> Iterator[tuple[str, str]]:
    """Each line of a block, and the file that its value comes from."""
    indent = "  " * len(at)
    for key, value in block.items():
        here = (*at, key)
        if isinstance(value, dict) and value:
            yield f"{indent}{as_line({key: None}).removesuffix(' null')}", ""
            yield from _lines(file, value, here)
        else:
            yield f"{indent}{as_line({key: value})}", _near(file.origin(here))


def _near(origin: str) -> str:
    """A file's name as seen from the current folder, on one line."""
    path = Path(origin)
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        origin = str(path.relative_to(Path.cwd()))
    return " ".join(printable(origin).split())
