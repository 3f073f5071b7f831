"""Where images come from: a folder of images or videos, an installed package's, or an LMDB."""

from __future__ import annotations

import io
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Protocol

from enhancement.errors import UserError
from enhancement.files import files_below, require_file
from enhancement.paths import inside, locate, missing_hint

from .clips import ClipSource, is_video, videos_in
from .images import Array, decode_image, image_size, is_image, open_file, read_file, read_image
from .lmdb_file import Place, find_values


class Source(Protocol):
    """Named images. `names` are relative, sorted, with "/" between folders."""

    root: str
    folder: Path
    names: list[str]

    def where(self, name: str) -> str:
        """The image's path, for messages."""

    def encoded(self, name: str) -> bytes:
        """The bytes of the image's file."""

    def size(self, name: str) -> tuple[int, int]:
        """(height, width), from the image's header."""

    def read(self, name: str) -> Array:
        """RGB, (H, W, 3), uint8 or uint16."""


class FolderSource:
    """Every image below a folder, in its subfolders too.

    Raises:
        UserError: There is no such folder, it cannot be read, or it holds no images.
    """

    def __init__(self, root: str | Path):
        self.root = str(root)
        self.folder = locate(root)
        try:
            self.names = self._list()
        except OSError as error:
            raise UserError(f"{self.folder}: cannot be read ({error.strerror})") from error

    def _list(self) -> list[str]:
        if not self.folder.is_dir():
            kind = "a file, not a folder" if self.folder.exists() else "no such folder"
            raise UserError(f"{self.folder}: {kind}; {missing_hint(self.root)}")
        visible = [path for path in files_below(self.folder) if not path.name.startswith(".")]
        images = [path for path in visible if is_image(path)]
        if not images:
            arrays = any(path.suffix.lower() == ".npy" for path in visible)
            instead = ", only .npy arrays; save them as images, such as PNG" if arrays else ""
            raise UserError(f"{self.folder}: no images in this folder{instead}")
        return sorted(path.relative_to(self.folder).as_posix() for path in images)

    def where(self, name: str) -> str:
        return str(self.folder / name)

    def encoded(self, name: str) -> bytes:
        return read_file(self.where(name))

    def size(self, name: str) -> tuple[int, int]:
        with open_file(self.where(name)) as file:
            return image_size(file, self.where(name))

    def read(self, name: str) -> Array:
        return read_image(self.where(name))


class LmdbSource:
    """An LMDB as BasicSR writes it: encoded images by key, the keys in meta_info.txt.

    Raises:
        UserError: There is no LMDB, it lists no images, or one whose name leads out of a folder.
    """

    def __init__(self, root: str | Path):
        self.root = str(root)
        self.folder = locate(root)
        index = self.folder / "meta_info.txt"
        try:
            lines = require_file(index).read_text(encoding="utf-8").splitlines()
            require_file(self.folder / "data.mdb")
        except FileNotFoundError as error:
            raise UserError(f"{error.filename}: no such file; an LMDB needs it") from None
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{index}: cannot be read ({error})") from error
        self.names = sorted(line.rsplit(" (", 1)[0] for line in lines if line.strip())
        for name in self.names:
            inside(self.folder, name, said=str(index))
        if not self.names:
            raise UserError(f"{index}: lists no images")

    @cached_property
    def _values(self) -> dict[bytes, Place]:
        return find_values(self.folder / "data.mdb")

    def encoded(self, name: str) -> bytes:
        place = self._values.get(name.rsplit(".", 1)[0].encode("utf-8", "surrogatepass"))
        if place is None:
            raise UserError(f"{self.where(name)}: listed in meta_info.txt but not in the LMDB")
        with open_file(self.folder / "data.mdb") as file:
            file.seek(place.offset)
            return file.read(place.size)

    def where(self, name: str) -> str:
        return f"{self.folder}/{name}"

    def size(self, name: str) -> tuple[int, int]:
        return image_size(io.BytesIO(self.encoded(name)), self.where(name))

    def read(self, name: str) -> Array:
        return decode_image(self.encoded(name), self.where(name))


def open_source(root: str | Path, frame_step: int = 1) -> Source:
    """A folder of images or of videos or, where the name ends in `.lmdb`, an LMDB.

    Args:
        root: One video stands for a folder of one.
        frame_step: Take every n-th frame of videos.

    Raises:
        UserError: Nothing is there, it holds no images, or both images and videos.
    """
    if str(root).rstrip("/").endswith(".lmdb"):
        return LmdbSource(root)
    folder = locate(root)
    if is_video(folder) and folder.is_file():
        return ClipSource(root, frame_step)
    with suppress(OSError):  # FolderSource says what is wrong with it
        images = (path for path in folder.rglob("*") if is_image(path))
        image = next((path for path in images if not path.name.startswith(".")), None)
        if videos := videos_in(folder):
            if image:
                raise UserError(
                    f"{folder}: holds both images ({image.name}, ...) and videos "
                    f"({Path(videos[0]).name}, ...); expected one kind"
                )
            return ClipSource(root, frame_step)
    return FolderSource(root)
