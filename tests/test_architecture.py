"""The arrows between modules run one way, in the order that CONTRIBUTING.md gives."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT

PLUG_INS = ("archs", "data", "models")  # top-level folders that are parts of `enhancement`
LAUNCHERS = {
    "enhancement",
    "enhancement.__main__",
    "enhancement.synthesize",
    "enhancement.test_from_dataset",
}


def module_files() -> dict[str, Path]:
    """Every module by the name that it is imported by."""
    found = {}
    for top in ("enhancement", *PLUG_INS):
        prefix = [] if top == "enhancement" else ["enhancement"]
        for path in (ROOT / top).rglob("*.py"):
            parts = [*prefix, *path.relative_to(ROOT).with_suffix("").parts]
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


FILES = module_files()


def imported_by(name: str) -> set[str]:
    """The modules of ours that a module imports, those for type checking left out."""
    tree = ast.parse(FILES[name].read_text())
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    package = name if FILES[name].name == "__init__.py" else name.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            above = parts[: len(parts) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = (f"{base}.{alias.name}" for alias in node.names)
            found |= {name if name in FILES else base for name in names}
    return {other for other in found if other in FILES} - {name}


@pytest.mark.parametrize("folder", PLUG_INS)
def test_a_folder_beside_the_package_is_not_imported_twice(folder):
    command = [sys.executable, "-c", f"import {folder}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    expected = f"ImportError: this folder is the package `enhancement.{folder}`; import it by"
    assert expected in done.stderr


def order() -> dict[str, int]:
    """The floor of each part of the package, as CONTRIBUTING.md lists them from the ground up."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    block = re.search(r"```order\n(.*?)```", text, re.DOTALL)
    assert block
    lines = block[1].strip().splitlines()
    return {part: floor for floor, line in enumerate(lines) for part in line.split()}


def part_of(name: str) -> str:
    """The package below `enhancement`, or the module that lies in it directly."""
    return name.split(".")[1]


@pytest.mark.parametrize("name", sorted(FILES.keys() - LAUNCHERS))
def test_imports_run_one_way(name):
    floors = order()
    for other in imported_by(name) - LAUNCHERS:
        mine, theirs = part_of(name), part_of(other)
        assert mine == theirs or floors[theirs] < floors[mine], f"{name} imports {other}"


def test_every_part_has_a_floor():
    assert {part_of(name) for name in FILES.keys() - LAUNCHERS} == order().keys()


def test_no_circle_of_modules():
    waiting = {name: imported_by(name) for name in FILES}
    while free := [name for name, others in waiting.items() if not others & waiting.keys()]:
        for name in free:
            del waiting[name]
    assert not waiting, f"these import each other: {sorted(waiting)}"


def test_launchers_hold_no_code():
    for launcher in (
        "basicsr/train.py",
        "enhancement/synthesize.py",
        "enhancement/test_from_dataset.py",
    ):
        assert len((ROOT / launcher).read_text().splitlines()) <= 25
