"""Option files read: safe YAML, inherited by `base`, joined with a dataset and a schedule."""

from __future__ import annotations

import os
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from enhancement.errors import UserError, hint, nearest
from enhancement.paths import OPTIONS

from .signature import KeyPath

Options = dict[str, Any]
FORCED = "--force_yml"
BY_NAME = {"dataset": "datasets", "schedule": "schedules"}  # key: the folder it names a file of


class OptionLoader(yaml.SafeLoader):
    """Safe YAML in which 1e-4 is a number and a key may occur only once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is not a text; quote it", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key '{key}' is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


OptionLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def parse_yaml(text: str, where: str) -> Any:
    """Parse YAML safely.

    Raises:
        UserError: It is not YAML; names the place.
    """
    try:
        return yaml.load(text, OptionLoader)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"{where}{line}: not valid YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{where}: not valid YAML: {error}") from error


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
        self._read(self.path, ())
        self._join({key: name for key, name in (chosen or {}).items() if name is not None})

    def origin(self, at: KeyPath) -> str:
        """The file that set a key or, where it is missing, its nearest block."""
        for length in range(len(at), 0, -1):
            if self._origin.get(at[:length]):
                return self._origin[at[:length]]
        return str(self.path)

    def _read(self, path: Path, chain: tuple[Path, ...]) -> None:
        if path.resolve() in chain:
            raise UserError(f"{path}: inherits itself, by way of {chain[-1]}")
        content = read_yaml(path, f" (base of {chain[-1]})" if chain else "")
        bases = content.pop("base", [])
        bases = [bases] if isinstance(bases, str) else bases
        if not isinstance(bases, list) or not all(isinstance(b, str) for b in bases):
            raise UserError(f"{path}: base: expected a list of option files, but got {bases!r}")
        for base in bases:
            inherited = Path(os.path.normpath(path.parent / base))
            self._read(inherited, (*chain, path.resolve()))
        self._merge(self.options, content, (), str(path))

    def _join(self, chosen: dict[str, str]) -> None:
        """Put the dataset and the schedule that the keys name beneath the rest."""
        own, origins = self.options, self._origin
        self.options, self._origin = {}, {}
        for key, folder in BY_NAME.items():
            named = own.pop(key, None)
            where = Path(origins.get((key,), self.path))
            if key in chosen and named is None:
                raise UserError(f"--{key} {chosen[key]}: {self.path} names no `{key}` to replace")
            name = chosen.get(key, named)
            if name is None:
                continue
            if not isinstance(name, str):
                raise UserError(f"{where}: {key}: expected a name, but got {name!r}")
            said = f"--{key}" if key in chosen else f"{where}: {key}"
            found = find_by_name(name, folder, where, said)
            self._read(found, (self.path.resolve(),))
            if key == "dataset" and isinstance(own.get("name"), str):
                own["name"] = f"{own['name']}_{found.stem}"
        self._merge(self.options, own, (), "")
        self._origin |= {at: origin for at, origin in origins.items() if self._origin.get(at) == ""}

    def _merge(self, into: Options, new: Options, at: KeyPath, origin: str) -> None:
        """Deep merge, later wins; a block that changes its `type` starts afresh."""
        for key, value in new.items():
            here = (*at, str(key))
            old = into.get(key)
            if isinstance(old, dict) and isinstance(value, dict) and _same_type(old, value):
                self._origin.setdefault(here, origin)
                self._merge(into[key], value, here, origin)
                continue
            self._origin = {k: v for k, v in self._origin.items() if k[: len(here)] != here}
            self._origin[here] = origin
            if isinstance(value, dict):
                into[key] = {}
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


def read_yaml(path: Path, said_by: str = "") -> Options:
    """The keys and values of a file.

    Raises:
        UserError: No such file (names the nearest), or not one of keys and values.
    """
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        names = [p.name for p in path.parent.glob("*.yml")] if path.parent.is_dir() else []
        guess = nearest(path.name, names)
        tail = f"; did you mean {path.parent / guess}?" if guess else ""
        raise UserError(f"{path}: no such option file{said_by}{tail}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error
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


def find_by_name(name: str, folder: str, where: Path, said: str) -> Path:
    """The file of `datasets/` or `schedules/` with a name, in any case.

    Raises:
        UserError: There is none; lists them.
    """
    known = named_files(folder, where)
    if name.lower() not in known:
        raise UserError(f"{said}: unknown {folder[:-1]} '{name}'; {hint(name, known)}")
    return known[name.lower()]
