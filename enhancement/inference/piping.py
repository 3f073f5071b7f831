"""Single images through standard input and output, as `-` in the place of a name."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from enhancement.data.clips import VIDEO_EXTENSIONS
from enhancement.data.images import image_kind
from enhancement.errors import UserError
from enhancement.inference.pictures import FORMATS

PIPE = "-"
LARGEST = 1 << 30  # bytes of an image that comes in


@contextmanager
def piped(given: list[str], out: str, image_format: str | None) -> Iterator[tuple[list[str], str]]:
    """The inputs and the output by names of files, where one of them is `-`.

    What comes in is kept in a temporary folder; what goes out is written at the end, if nothing
    failed.

    Raises:
        UserError: `-` beside other inputs or for several outputs; what comes in is no image.
    """
    if PIPE not in given and out != PIPE:
        yield given, out
        return
    if out == PIPE and sys.__stdout__ is None:
        raise UserError(f"--out {PIPE}: standard output is closed; name a file")
    if len(given) > 1:
        raise UserError(f"'{PIPE}' stands for one image; leave out the other inputs")
    if out == PIPE and given[0] != PIPE and not Path(given[0]).is_file():
        raise UserError(f"--out {PIPE}: expected one image as input, but got {given[0]}")
    if out == PIPE and Path(given[0]).suffix.lower() in VIDEO_EXTENSIONS:
        raise UserError(
            f"--out {PIPE}: stands for one image, but {given[0]} is a video; name a file"
        )
    with tempfile.TemporaryDirectory(prefix="enhance-") as folder:
        if given[0] == PIPE:
            source = _received(Path(folder))
            ending = Path(source).suffix
        else:
            source, ending = given[0], Path(given[0]).suffix.lower()
        ending = f".{image_format}" if image_format else ending if ending in FORMATS else ".png"
        target = Path(folder, f"enhanced{ending}") if out == PIPE else Path(out)
        try:
            yield [source], str(target)
        except UserError as error:
            names = {source: "standard input"} if given[0] == PIPE else {}
            names |= {str(target): "standard output"} if out == PIPE else {}
            text = str(error)
            for file, name in names.items():
                text = text.replace(file, name)
            raise UserError(text) from error
        if out == PIPE and target.is_file():
            sys.stdout.buffer.write(target.read_bytes())
            sys.stdout.buffer.flush()


def _received(folder: Path) -> str:
    """The file that an image from standard input is kept in."""
    data = sys.stdin.buffer.read(LARGEST + 1) if sys.stdin else b""  # None: it was closed
    if not 0 < len(data) <= LARGEST:
        raise UserError(f"standard input: expected one image, but got {len(data)} bytes")
    kind = image_kind(data, "standard input").split()[0]
    ending = next((suffix for suffix, name in FORMATS.items() if name == kind), f".{kind.lower()}")
    path = folder / f"input{ending}"
    path.write_bytes(data)
    return str(path)
