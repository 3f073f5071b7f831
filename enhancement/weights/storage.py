"""Weights and training states: written whole or not at all, read without running their code."""

from __future__ import annotations

import json
import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from enhancement.errors import UserError, first_line
from enhancement.files import (
    flush_to_disk,
    keep_as,
    replace_file,
    require_file,
    sha256,
    temporary_for,
)
from enhancement.weights import tensor_files
from enhancement.weights.limits import ROOM, memory_limited

ASKED_FOR = re.compile(r"(?<=GLOBAL )\S+")  # the global that PyTorch names when it refuses a pickle
CHECKSUMS = "checksums.json"  # {file: the SHA-256 it has, or had before its last replacement}


def save(path: Path, content: dict[str, Any], previous: Path | None = None) -> None:
    """Write a file so that it is either the old one or the new one, never half of it.

    Its checksum goes into the folder's `checksums.json` first, beside that of the file it replaces,
    so that a kill at any point leaves a file whose checksum is known.

    Args:
        path: The file; `.safetensors` holds weights alone.
        content: Tensors and plain values.
        previous: Keeps the file that is replaced, in the same folder.

    Raises:
        UserError: The disk is full, or the folder cannot be written.
    """
    temporary = temporary_for(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            if path.suffix == tensor_files.SUFFIX:
                file.write(tensor_files.pack(content))
            else:
                torch.save(content, file)
        known = read_checksums(path.parent)
        before = whole_checksum(path)
        known[path.name] = [sha256(temporary), *before]
        if previous and before:
            known[previous.name] = [*before, *whole_checksum(previous)]
        replace_file(path.with_name(CHECKSUMS), json.dumps(known, indent=1).encode())
        flush_to_disk(temporary)
        if previous and before:
            keep_as(path, previous)
        temporary.replace(path)
        flush_to_disk(path.parent)
    except (OSError, RuntimeError) as error:
        temporary.unlink(missing_ok=True)
        raise UserError(f"{path}: cannot be written ({error}); the file before is whole") from error


def read_checksums(folder: Path) -> dict[str, list[str]]:
    """The checksums of a folder's files; {} where there are none."""
    try:
        found = json.loads(require_file(folder / CHECKSUMS).read_text())
    except (UserError, OSError, ValueError, RecursionError):
        return {}
    known = found.items() if isinstance(found, dict) else ()
    return {name: digests for name, digests in known if isinstance(digests, list)}


def whole_checksum(path: Path) -> list[str]:
    """The checksum of a file; [] where it is not there, or not what was written."""
    if not path.is_file():
        return []
    known, found = read_checksums(path.parent).get(path.name), sha256(path)
    return [found] if not known or found in known else []


def check_archive(path: Path) -> None:
    """Refuse what PyTorch's archives must not be: a program, or more than the file's own bytes.

    Raises:
        UserError: It is one of these.
        OSError: It cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError):
        return  # one of PyTorch's older files, or none
    if any(member.filename.endswith("/constants.pkl") for member in members):
        raise UserError(
            f"{path}: is a TorchScript file, a program, which is not run here; give the weights or "
            f"an ONNX file"
        )
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise UserError(f"{path}: is packed; weights are stored as they are, so unpack it first")


def read(path: str | Path) -> dict[str, Any]:
    """Read a file of tensors and plain values; none of it is run as code.

    Raises:
        UserError: No such file, a damaged one, or one that would run code.
    """
    try:
        path = require_file(path)
        if path.suffix == ".onnx":
            raise UserError(f"{path}: is a graph; expected the weights that it was made of")
        if not whole_checksum(path):
            raise UserError(
                f"{path}: is damaged: its checksum is not the one in {CHECKSUMS} beside it"
            )
        with memory_limited(ROOM + 4 * path.stat().st_size), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch's, of damaged files, which are refused below
            if path.suffix == tensor_files.SUFFIX:
                content = tensor_files.unpack(path)
            else:
                check_archive(path)
                content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except pickle.UnpicklingError as error:
        found = ASKED_FOR.search(str(error))
        reason = f" (it names {found[0]})" if found else ""
        raise UserError(
            f"{path}: holds more than tensors, or is no weights file{reason}"
        ) from error
    except (EOFError, LookupError) as error:
        raise UserError(f"{path}: is no weights file, or is cut off") from error
    except UserError:
        raise
    except Exception as error:  # what the unpickler makes of a damaged file has no common base
        reason = getattr(error, "strerror", None) or first_line(error)
        raise UserError(f"{path}: cannot be read as weights ({reason})") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a dictionary of tensors, got {type(content).__name__}")
    return content
