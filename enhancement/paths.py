"""Where files are: the data folder, an installed package's, this checkout's own.

A name that a file gives becomes a path by `inside` alone.
"""

from __future__ import annotations

import importlib.util
import os
from contextlib import suppress
from pathlib import Path

from enhancement.errors import UserError

DATA_VARIABLE = "ENHANCEMENT_DATA"
DATA_FOLDER = "datasets"
CACHE_VARIABLE = "ENHANCEMENT_CACHE"
PACKAGE_PREFIX = "package:"

PACKAGE = Path(__file__).resolve().parent


def _shipped(name: str) -> Path:
    """A folder that comes with this package: installed inside it, in a checkout beside it."""
    return PACKAGE / name if (PACKAGE / name).is_dir() else PACKAGE.parent / name


OPTIONS, SHIPPED_WEIGHTS = _shipped("options"), _shipped("pretrained_weights")
NETWORKS = _shipped("archs")


def cache_folder() -> Path:
    """The folder named by ENHANCEMENT_CACHE, or the user's cache folder."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path("~/.cache").expanduser()) / "enhancement"


def locate(path: str | Path) -> Path:
    """Where a path of an option file really is.

    `package:skimage/data` is a folder inside an installed package, which is not imported. A path
    that begins with `datasets/` is looked up in the folder named by ENHANCEMENT_DATA, where that is
    set. `~` and `~user` are home folders. Any other path is relative to the current folder.

    Raises:
        UserError: The path is empty or leaves its package, or there is no such package or user.
    """
    text = str(path)
    if not text:
        raise UserError("expected a folder or file, but got an empty text")
    if text.startswith(PACKAGE_PREFIX):
        return _inside_package(text)
    parts = Path(text).parts
    if parts and parts[0] == DATA_FOLDER and os.environ.get(DATA_VARIABLE):
        return Path(os.environ[DATA_VARIABLE], *parts[1:])
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise UserError(f"{text}: no such user; check the path") from None


def _inside_package(text: str) -> Path:
    package, _, within = text.removeprefix(PACKAGE_PREFIX).partition("/")
    spec = None
    if package.isidentifier():  # of "a.b" find_spec would import `a`
        with suppress(ValueError):  # a module without a specification, such as __main__
            spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"{text}: package '{package}' is not installed; pip install it")
    folder = Path(spec.submodule_search_locations[0])
    within = within.rstrip("/")
    return inside(folder, within, said=text) if within else folder


def inside(folder: str | Path, *names: str, said: str = "") -> Path:
    """A path below a folder, by names that a file gives: the one way from such a name to a path.

    Args:
        folder: Chosen by the user.
        names: One below the other, such as a dataset's and an image's; each may have folders of
            its own, divided by "/".
        said: Where the names come from, for the error.

    Raises:
        UserError: A name is empty, absolute, or has a part such as `..` that leads elsewhere.
    """
    for name in names:
        if "\0" in name or not {"", ".", ".."}.isdisjoint(name.split("/")):
            where = f"{said}: " if said and said != name else ""
            raise UserError(
                f"{where}{name!r} is no name of a file or folder inside {folder}; expected one "
                f"without a leading or doubled '/', '.' or '..'"
            )
    return Path(folder, *names)


def missing_hint(path: str | Path) -> str:
    """What to do about a missing file; names ENHANCEMENT_DATA where setting it may help."""
    if Path(path).parts[:1] == (DATA_FOLDER,):
        return f"put the data there, or set {DATA_VARIABLE} to the folder that stands for datasets/"
    return "check the path"
