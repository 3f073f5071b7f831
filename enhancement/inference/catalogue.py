"""The list of networks, remembered on disk: shown again without PyTorch or a network."""

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

    A cache that cannot be read or written does no harm.
    """
    path, key = cache_folder() / FILE, _state()
    with suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads(path.read_text())
        if content["key"] == key:
            return Catalogue(ours=content["ours"], others=content["others"])
    figures = import_module(COUNTING)
    found = Catalogue(ours=figures.every_network(), others=figures.others())
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, json.dumps({"key": key, **found}, indent=1).encode())
    return found


def _state() -> str:
    """SHA-256 of all that the list depends on."""
    digest = hashlib.sha256()
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            digest.update(f"{name} {version(name)}".encode())
    for name, path in shipped_weights().items():
        digest.update(f"{name} {path.stat().st_size} {path.stat().st_mtime_ns}".encode())
    for source in sorted([*NETWORKS.rglob("*.py"), *Path(__file__).parent.glob("*.py")]):
        digest.update(source.read_bytes())
    return digest.hexdigest()
