"""Write a folder of images as an LMDB in BasicSR's form."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from enhancement.data.images import decode_image
from enhancement.data.sources import FolderSource
from enhancement.errors import UserError
from enhancement.files import new_folder
from enhancement.terminal import printable

Progress = Callable[[Any], Iterable[Any]]
BATCH = 500  # images a transaction
PAGE = 4096  # bytes, in which an LMDB stores its entries
MARGIN = 1 << 26  # bytes of an LMDB for its own tables


def lmdb_keys(source: FolderSource) -> dict[str, str]:
    """Each image's key, its name without the extension, and its name.

    Raises:
        UserError: Two images differ only in their extension, or a name has control characters or
            a second dot, after which BasicSR would not read on.
    """
    keys: dict[str, str] = {}
    for name in source.names:
        key = name.rsplit(".", 1)[0]
        if printable(name) != name or "\n" in name or "\t" in name:
            raise UserError(
                f"{source.where(name)}: has a line break, a control character or a byte that is "
                f"not UTF-8 in its name, which meta_info.txt cannot list; rename it"
            )
        if "." in key:
            raise UserError(
                f"{source.where(name)}: BasicSR reads an LMDB's keys up to the first dot; rename it"
            )
        if key in keys:
            raise UserError(f"{source.where(name)}: has the same key as {keys[key]}; rename one")
        keys[key] = name
    return keys


def write_lmdb(folder: str, output: Path, progress: Progress = iter) -> int:
    """Write a folder's images, as they are encoded, with the meta_info.txt that BasicSR reads.

    Args:
        folder: Of images.
        output: A new folder; its name must end in .lmdb.
        progress: Wraps the list of keys, to show how far it is.

    Returns:
        The number of images.

    Raises:
        UserError: An image cannot be read, a name cannot be a key, or `output` cannot be written.
    """
    import lmdb

    if output.suffix != ".lmdb":
        raise UserError(f"{output}: expected a name that ends in .lmdb")
    source, output = FolderSource(folder), new_folder(output)
    keys = lmdb_keys(source)
    partial = output.with_name(output.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        lines = _write_entries(source, keys, partial, progress)
        (partial / "meta_info.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        if output.exists():
            output.rmdir()
        partial.rename(output)
    except (OSError, lmdb.Error) as error:
        raise UserError(f"{output}: cannot be written ({error})") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return len(lines)


def _write_entries(
    source: FolderSource, keys: dict[str, str], folder: Path, progress: Progress
) -> list[str]:
    """Write the database; the lines of its meta_info.txt."""
    import lmdb

    size = sum(Path(source.where(name)).stat().st_size + 2 * PAGE for name in source.names)
    lines: list[str] = []
    with lmdb.open(str(folder), map_size=2 * size + MARGIN, writemap=False) as environment:
        transaction = environment.begin(write=True)
        for key in progress(sorted(keys)):
            name = keys[key]
            data = source.encoded(name)
            height, width, channels = decode_image(data, source.where(name)).shape
            transaction.put(key.encode(), data)
            lines.append(f"{name} ({height},{width},{channels}) 1")
            if len(lines) % BATCH == 0:
                transaction.commit()
                transaction = environment.begin(write=True)
        transaction.commit()
    return lines
