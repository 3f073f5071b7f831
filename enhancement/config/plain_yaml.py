"""YAML of plain values alone, bounded before it is built: what an option file may hold."""

from __future__ import annotations

import math
import re
import unicodedata
from pathlib import Path
from typing import Any

import yaml

from enhancement.errors import UserError

LONGEST_FILE = 64_000  # characters
MOST_VALUES = 5_000  # each as often as aliases repeat it
DEEPEST = 20
LONGEST_TEXT, LONGEST_NAME = 2_000, 255  # bytes; a name is what lies between two slashes
LARGEST_INTEGER = 2**63 - 1

TEXT, MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"
PLAIN = ("null", "bool", "int", "float", "str", "seq", "map")


class OptionLoader(yaml.SafeLoader):
    """Safe YAML in which 1e-4 is a number, a date is a text, and a key may occur only once."""

    yaml_constructors = {
        tag: build
        for tag, build in yaml.SafeLoader.yaml_constructors.items()
        if tag is None or tag.rpartition(":")[2] in PLAIN
    }
    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in known if not tag.endswith(":timestamp")]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._values = 0
        self._values_of: dict[int, int] = {}  # by the identity of a finished node

    def compose_node(self, parent: Any, index: Any) -> Any:
        """The next node; counts it, and what an alias repeats."""
        mark, before = self.peek_event().start_mark, self._values
        alias = self.check_event(yaml.AliasEvent)
        self._depth += 1
        if self._depth > DEEPEST:
            raise _refused(f"nested more than {DEEPEST} deep", mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if alias and id(node) not in self._values_of:
            raise _refused("an alias stands inside what it repeats", mark)
        self._values += self._values_of[id(node)] if alias else 1
        if self._values > MOST_VALUES:
            raise _refused(f"more than {MOST_VALUES} values", mark)
        self._values_of.setdefault(id(node), self._values - before)
        return node

    def compose_mapping_node(self, anchor: Any) -> Any:
        """The next block, its keys texts of which each occurs once."""
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag == MERGE:
                continue
            if key.tag != TEXT:
                name = f" {key.value!r}" if isinstance(key, yaml.ScalarNode) else ""
                raise _refused(f"key{name} is not a text; quote it", key.start_mark)
            if key.value in seen:
                raise _refused(f"key '{key.value}' is given twice", key.start_mark)
            seen.add(key.value)
        return node

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        """The value of a node, where options can use it."""
        try:
            value = super().construct_object(node, deep)
        except (KeyError, ValueError) as error:  # `!!bool x`
            kind = node.tag.rpartition(":")[2]
            raise _refused(f"cannot be read as {kind}", node.start_mark) from error
        if fault := unusable(value):
            raise _refused(fault, node.start_mark)
        return value


class OptionDumper(yaml.SafeDumper):
    """Writes what `OptionLoader` reads as the same: a text such as 1e-4 is quoted."""

    def ignore_aliases(self, data: Any) -> bool:
        """Whether a value that stands twice is written twice; it is."""
        return True


for kind in (OptionLoader, OptionDumper):
    kind.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
        list("-+.0123456789"),
    )


def _refused(problem: str, mark: yaml.Mark) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, mark)


def unusable(value: Any) -> str | None:
    """Why no option can have a number or text; None where one can."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is no finite number"
    if isinstance(value, int) and abs(value) > LARGEST_INTEGER:
        return "the number is too large"
    if isinstance(value, str):
        if not all(c.isprintable() or unicodedata.category(c) == "Zs" for c in value):
            return "the text holds control characters"
        size = len(value.encode())
        if size > LONGEST_TEXT or max(len(name.encode()) for name in value.split("/")) > (
            LONGEST_NAME
        ):
            return f"the text is too long; expected at most {LONGEST_NAME} bytes between slashes"
    return None


def parse_yaml(text: str, where: str) -> Any:
    """Parse YAML safely.

    Raises:
        UserError: It is not YAML, or is more than an option file holds; names the place.
    """
    if len(text) > LONGEST_FILE:
        raise UserError(f"{where}: longer than the {LONGEST_FILE} characters of an option file")
    try:
        return yaml.load(text, OptionLoader)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"{where}{line}: not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from error


def as_yaml(options: Any) -> str:
    """Plain values as YAML that `parse_yaml` reads as the same."""
    return yaml.dump(options, Dumper=OptionDumper, sort_keys=False, allow_unicode=True)


def as_line(entry: dict[str, Any]) -> str:
    """A key and its value as one line of YAML, without the braces around it."""
    style: dict[str, Any] = {"default_flow_style": True, "width": math.inf, "allow_unicode": True}
    return yaml.dump(entry, Dumper=OptionDumper, sort_keys=False, **style).strip()[1:-1]


def read_text(path: Path) -> str:
    """The text of an option file.

    Raises:
        FileNotFoundError: There is none.
        UserError: It is no file, too long, or not text.
    """
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{path}: expected an option file, but it is none")
        with path.open(encoding="utf-8") as file:
            return file.read(LONGEST_FILE + 1)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RuntimeError) as error:  # a loop of links is a RuntimeError
        raise UserError(f"{path}: cannot be read ({error})") from error
