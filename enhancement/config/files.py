"""Option files: inherited by `base`, and laid over the dataset and the schedule that they name."""

from __future__ import annotations

import os
from copy import deepcopy
from pathlib import Path
from typing import Any

from enhancement.errors import UserError, hint, nearest
from enhancement.paths import OPTIONS

from .plain_yaml import parse_yaml, read_text
from .signature import KeyPath, shown

Options = dict[str, Any]
Layer = tuple[str, Options]  # a file, and what it says itself

FORCED = "--force_yml"
BY_NAME = {"dataset": "datasets", "schedule": "schedules"}  # key: the folder it names a file of
LONGEST_CHAIN, MOST_FILES = 10, 50


class OptionFile:
    """Options merged from several files, remembering which file set each key.

    `base` lists files to inherit, relative to the file that names them: deep merge, later wins. The
    keys `dataset` and `schedule` name a file in the folder `datasets` or `schedules` beside the
    option file (or one above); everything else overrides these. A dataset's name is appended to
    the run's: hdrnet on lol_v1 is `hdrnet_lol_v1`.

    Args:
        path: The file.
        chosen: Names for the keys `dataset` and `schedule` that win over the file's.

    Attributes:
        options: The merged content.

    Raises:
        UserError: A file cannot be read, is not YAML or inherits itself; there is none of a name.
    """

    def __init__(self, path: str | Path, chosen: dict[str, str | None] | None = None) -> None:
        self.path = Path(path)
        self.options: Options = {}
        self._origin: dict[KeyPath, str] = {}
        own, beneath = read_layers(self.path), []
        for key in BY_NAME:
            found = self._named(key, own, (chosen or {}).get(key))
            if found is not None:
                beneath += read_layers(found)
                if key == "dataset":
                    _append_to_name(own, found.stem)
        for origin, content in [*beneath, *own]:
            self._merge(self.options, content, (), origin)

    def _named(self, key: str, layers: list[Layer], chosen: str | None) -> Path | None:
        """The file that the key `dataset` or `schedule` names; the key is taken out."""
        given = [(origin, content.pop(key)) for origin, content in layers if key in content]
        origin, name = given[-1] if given else ("", None)
        said = f"{origin}: {key}"
        if chosen is not None:
            if name is None:
                raise UserError(f"--{key} {chosen}: {self.path} names no `{key}` to replace")
            name, said = chosen, f"--{key}"
        if name is None:
            return None
        if not isinstance(name, str):
            raise UserError(f"{said}: expected a name, but got {shown(name)}")
        known = named_files(BY_NAME[key], Path(origin))
        if name.lower() not in known:
            raise UserError(f"{said}: unknown {key} '{name}'; {hint(name, known)}")
        return known[name.lower()]

    def origin(self, at: KeyPath) -> str:
        """The file that set a key or, where it is missing, its nearest block.

        A block whose keys were forced has two origins.
        """
        nearest_first = (at[:length] for length in range(len(at), 0, -1))
        found = next((self._origin[k] for k in nearest_first if k in self._origin), str(self.path))
        forced = (k[: len(at)] for k, origin in self._origin.items() if origin == FORCED)
        return f"{found}, {FORCED}" if found != FORCED and at in forced else found

    def _merge(self, into: Options, new: Options, at: KeyPath, origin: str) -> None:
        """Deep merge, later wins; a block that changes its `type` starts afresh."""
        for key, value in new.items():
            here, old = (*at, key), into.get(key)
            merged = isinstance(old, dict) and isinstance(value, dict) and _same_type(old, value)
            if key in into and not merged:
                self._origin = {k: v for k, v in self._origin.items() if k[: len(here)] != here}
            self._origin.setdefault(here, origin)
            if isinstance(value, dict):
                into[key] = old if merged else {}
                self._merge(into[key], value, here, origin)
            else:
                into[key] = value

    def force(self, settings: list[str]) -> None:
        """Apply `a:b=value` settings; the value is YAML.

        Raises:
            UserError: A setting is not of that form, or names another dataset or schedule.
        """
        for setting in settings:
            path, equals, text = setting.partition("=")
            keys = [key.strip() for key in path.split(":")]
            if not equals or not all(keys):
                raise UserError(f"{FORCED}: expected key:key=value, but got '{setting}'")
            if keys[0] in BY_NAME:
                raise UserError(f"{FORCED} {setting}: use --{keys[0]} NAME instead")
            self.set(keys, parse_yaml(text, FORCED), FORCED)

    def set(self, keys: list[str], value: Any, origin: str) -> None:
        """Set one key of a block."""
        for key in reversed(keys):
            value = {key: value}
        self._merge(self.options, deepcopy(value), (), origin)


def _same_type(old: Options, new: Options) -> bool:
    return "type" not in new or "type" not in old or new["type"] == old["type"]


def _append_to_name(layers: list[Layer], dataset: str) -> None:
    """Append the dataset's name to the run's."""
    for _, content in reversed(layers):
        if "name" in content:
            if isinstance(content["name"], str):
                content["name"] += f"_{dataset}"
            return


def read_layers(path: Path, above: tuple[Path, ...] = ()) -> list[Layer]:
    """What a file and those that it inherits say, the ones to be overridden first.

    Args:
        path: The file.
        above: The files that inherit it.
    """
    content = read_file(path, f" (base of {above[-1]})" if above else "")
    if path.resolve() in above:
        raise UserError(f"{path}: inherits itself, by way of {above[-1]}")
    if len(above) > LONGEST_CHAIN:
        raise UserError(f"{path}: is the base of a base more than {LONGEST_CHAIN} times")
    bases = content.pop("base", [])
    bases = [bases] if isinstance(bases, str) else bases
    if not isinstance(bases, list) or not all(isinstance(b, str) for b in bases):
        raise UserError(f"{path}: base: expected a list of option files, but got {shown(bases)}")
    layers: list[Layer] = []
    for base in bases:
        inherited = Path(os.path.normpath(path.parent / base))
        layers += read_layers(inherited, (*above, path.resolve()))
        if len(layers) > MOST_FILES:
            raise UserError(f"{path}: inherits more than {MOST_FILES} files")
    return [*layers, (str(path), content)]


def read_file(path: Path, said_by: str = "") -> Options:
    """The keys and values of a file.

    Raises:
        UserError: No such file (names the nearest), or not one of keys and values.
    """
    try:
        content = parse_yaml(read_text(path), str(path))
    except FileNotFoundError:
        names = [p.name for p in path.parent.glob("*.yml")] if path.parent.is_dir() else []
        guess = nearest(path.name, names)
        tail = f"; did you mean {path.parent / guess}?" if guess else ""
        raise UserError(f"{path}: no such option file{said_by}{tail}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected keys and values, got {type(content).__name__}")
    return content


def named_files(folder: str, where: Path = OPTIONS) -> dict[str, Path]:
    """The option files of `datasets/` or `schedules/` by lower-case name.

    Args:
        folder: "datasets" or "schedules".
        where: An option file; its own folder is looked into first, then the one above it, then
            this checkout's.
    """
    found: dict[str, Path] = {}
    for place in (OPTIONS, *reversed(where.resolve().parents[:2])):
        found |= {path.stem.lower(): path for path in sorted((place / folder).glob("*.yml"))}
    return found
