"""The list of networks: as it comes with the package, or remembered, so shown without PyTorch."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypedDict

from enhancement.files import replace_file
from enhancement.paths import NETWORKS, cache_folder
from enhancement.weights.shipped import shipped_weights

SIDE = 256  # of the image that multiply-adds are given for
FILE = "networks.json"
PACKAGES = ("torch", "basicsr", "spandrel", "spandrel_extra_arches", "timm")
LOOKING = ("catalogue.py", "complexity.py", "figures.py")
SHIPPED = NETWORKS / FILE
COUNTING = "enhancement.inference.figures"


class Catalogue(TypedDict):
    """Every network.

    Attributes:
        ours: The facts of each of this project's, by family and name.
        others: The names of other projects' networks, by project.
    """

    ours: list[dict[str, Any]]
    others: dict[str, list[str]]


def catalogue() -> Catalogue:
    """Every network, looked at once for each state of the code, libraries and shipped weights.

    The package brings the list of its own state along. A cache that cannot be read or written does
    no harm.
    """
    key, remembered = state(), cache_folder() / FILE
    for path in (SHIPPED, remembered):
        with suppress(OSError, ValueError, KeyError, TypeError):
            content = json.loads(path.read_text())
            if content["key"] == key:
                return Catalogue(ours=content["ours"], others=content["others"])
    found = counted()
    with suppress(OSError):
        remembered.parent.mkdir(parents=True, exist_ok=True)
        _write(remembered, found, key)
    return found


def counted() -> Catalogue:
    """Every network, looked at anew."""
    figures = import_module(COUNTING)
    return Catalogue(ours=figures.every_network(), others=figures.others())


def _write(path: Path, found: Catalogue, key: str) -> None:
    replace_file(path, (json.dumps({"key": key, **found}, indent=1) + "\n").encode())


def state() -> str:
    """SHA-256 of all that the list depends on."""
    digest = hashlib.sha256()
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            digest.update(f"{name} {version(name).partition('+')[0]}".encode())
    for name, path in shipped_weights().items():
        digest.update(f"{name} {path.stat().st_size}".encode())
    for source in sorted(
        [
            *NETWORKS.rglob("*.py"),
            Path(__file__).parents[1] / "colour.py",
            *(Path(__file__).with_name(n) for n in LOOKING),
        ]
    ):
        digest.update(source.read_bytes())
    return digest.hexdigest()


if __name__ == "__main__":
    _write(SHIPPED, counted(), state())
