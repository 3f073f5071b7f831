"""Files written whole or not at all, and read only where they are files."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from enhancement.errors import UserError

LONGEST_NAME = 255  # bytes, on most file systems


def require_file(path: str | Path) -> Path:
    """Refuse to read what is no file: a pipe keeps its reader waiting, and a device never ends.

    Returns:
        The path.

    Raises:
        UserError: It is a pipe, a device or a socket, or a link to one.
        OSError: It is not there, is a folder, or may not be looked at.
    """
    path = Path(path)
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise UserError(f"{path}: is a pipe, a device or a socket, not a file; give a file")
    return path


def check_place(path: Path, known: set[Path] | None = None) -> None:
    """Refuse a name under which no file can be written, before any work.

    Args:
        path: The file to be.
        known: Folders found fit before; a fit one is added.

    Raises:
        UserError: It is a folder, or lies where none can be made or written to.
    """
    known = set() if known is None else known
    try:
        if path.is_dir():
            raise UserError(f"{path}: cannot be written (is a folder)")
        if path.parent in known:
            return
        nearest = next(folder for folder in path.parents if folder.exists())
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from error
    if not nearest.is_dir():
        raise UserError(f"{path}: cannot be written ({nearest} is not a folder)")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(f"{path}: cannot be written (no permission to write to {nearest})")
    known.add(path.parent)


def flush_to_disk(path: Path) -> None:
    """Have the system write a file or a folder's entries to the disk now."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def files_below(folder: Path) -> list[Path]:
    """Everything in a folder and its subfolders that is not a folder, sorted.

    Links stay links: those to folders are given, not followed.

    Raises:
        UserError: A folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename}: cannot be read ({error.strerror})") from error

    walk = os.walk(folder, onerror=refuse)
    return sorted(
        Path(at, name)
        for at, folders, names in walk
        for name in (*names, *(folder for folder in folders if Path(at, folder).is_symlink()))
    )


def temporary_for(path: Path) -> Path:
    """The name under which a file is written until it is whole, with the file's own suffix.

    A name that is too long for that is cut, and told from others by its hash.
    """
    ending, name = f".{os.getpid()}.tmp{path.suffix}", os.fsencode(path.name)
    if len(name) + len(ending) >= LONGEST_NAME:
        name = hashlib.sha256(name).hexdigest().encode()
    return path.with_name(f".{os.fsdecode(name)}{ending}")


def remove_temporaries(folder: Path, idle: float = 0) -> None:
    """Remove files that `temporary_for` has named, left behind by processes that were killed.

    Args:
        folder: Where they are looked for, without its subfolders.
        idle: Seconds for which a file must not have been written to.
    """
    latest = time.time() - idle
    with suppress(OSError):
        for path in folder.glob(".*.tmp*"):
            named = re.fullmatch(r"\..+\.\d+\.tmp(\.\w+)?", path.name)
            if named and path.lstat().st_mtime <= latest:
                path.unlink()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError into a line that names the file or folder that is written.

    Raises:
        UserError: It cannot be.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error


def replace_file(path: Path, content: bytes) -> None:
    """Write a small file whole or not at all."""
    temporary = temporary_for(path)
    try:
        temporary.write_bytes(content)
        flush_to_disk(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text whole or not at all, as UTF-8; of names that are not, the bytes are shown."""
    replace_file(path, text.encode("utf-8", "backslashreplace"))


def copy_file(path: Path, target: Path) -> None:
    """Copy a file whole or not at all."""
    temporary = temporary_for(target)
    try:
        shutil.copy2(path, temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def keep_as(path: Path, name: Path) -> None:
    """Give a file a second name, which it takes over from another one at once."""
    temporary = temporary_for(name)
    temporary.unlink(missing_ok=True)
    try:
        try:
            os.link(path, temporary)
        except OSError:  # a file system without links
            shutil.copyfile(path, temporary)
        temporary.replace(name)
    finally:
        temporary.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """The checksum of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def new_folder(path: Path) -> Path:
    """A folder to write into that does not exist yet, or is empty.

    Raises:
        UserError: It is a file, has files in it, or cannot be looked at.
    """
    try:
        taken = path.exists() and (not path.is_dir() or any(path.iterdir()))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    if taken:
        raise UserError(f"{path}: is there already, and not empty; name a new folder")
    return path
