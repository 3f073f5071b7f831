"""Image files read and written, 8 and 16 bits; grey, palette and alpha all become RGB arrays."""

from __future__ import annotations

import io
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from enhancement.colour import LUMA
from enhancement.errors import UserError
from enhancement.files import replace_file, require_file

from .image_headers import Header, check_memory, open_header

# of TIFF: tags, and values of theirs
PHOTOMETRIC, WHITE_IS_ZERO, EXTRA_SAMPLES, PREMULTIPLIED = 262, 0, 338, 1

# its log would put lines of its own between ours
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
IMAGE_EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")

Array = NDArray[Any]


def is_image(path: Path) -> bool:
    """Whether a file's name has an image's extension."""
    return path.suffix.lower() in IMAGE_EXTENSIONS


def decode_image(data: bytes, where: str) -> Array:
    """Decode a whole image.

    Args:
        data: The file's bytes.
        where: The file's name, for the error.

    Returns:
        RGB, (H, W, 3), uint8 or uint16. Grey is repeated, alpha dropped, EXIF orientation applied.

    Raises:
        UserError: Not an image, truncated, or too large for the memory.
    """
    with open_header(io.BytesIO(data), where) as header:
        check_memory(header, where)
        return np.ascontiguousarray(decode_pixels(data, header)[..., :3])


def decode_pixels(data: bytes, header: Header) -> Array:
    """The upright pixels of an image whose header was found fit: RGB or RGBA, (H, W, 3 or 4).

    Raises:
        Exception: Of any kind, for damaged files; `open_header` turns it into a UserError.
    """
    deep = header.bits == 16
    pixels = _as_said(_decode_16_bit(data), header) if deep else _decode_8_bit(header)
    if header.image.format != "TIFF":  # Pillow and OpenCV turn those themselves
        pixels = upright(pixels, header.orientation)
    if pixels.shape[:2] != header.size:
        raise ValueError("its pixels are not as many as its header says")
    return np.ascontiguousarray(pixels)


def _decode_8_bit(header: Header) -> Array:
    image = header.image
    mode = "RGBA" if image.has_transparency_data else "RGB"
    tiles = getattr(image, "_tile_size", None)  # of a TIFF, the whole image where it has none
    if tiles and tiles[0] * tiles[1] <= image.width * image.height:
        # the room that Pillow would make itself, but for its limit, which knows no memory
        image.im = Image.core.new(image.mode, tiles)
    image.load()
    return np.asarray(image if image.mode == mode else image.convert(mode))


def _decode_16_bit(data: bytes) -> Array:
    """By OpenCV; Pillow would reduce them to 8 bits."""
    # OpenCV itself does not notice that a PNG is truncated
    whole = not data.startswith(b"\x89PNG") or b"IEND" in data[-64:]
    array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if whole else None
    if array is None:
        raise ValueError("image file is truncated")
    if array.dtype != np.uint16:
        raise ValueError(f"expected 8 or 16 bits a channel, but got {array.dtype}")
    if array.ndim == 2:
        return np.repeat(array[..., None], 3, axis=2)
    if array.shape[2] == 2:
        return array[..., [0, 0, 0, 1]]
    return array[..., [2, 1, 0, 3][: array.shape[2]]]


def _as_said(pixels: Array, header: Header) -> Array:
    """16-bit pixels by what a TIFF says of them, which OpenCV does not read."""
    if header.image.format != "TIFF":
        return pixels
    tags = header.image.tag_v2  # type: ignore[attr-defined]
    if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:
        pixels[..., :3] = 65535 - pixels[..., :3]
    if pixels.shape[2] == 4 and tags.get(EXTRA_SAMPLES) in (PREMULTIPLIED, (PREMULTIPLIED,)):
        alpha = np.maximum(pixels[..., 3:].astype(np.float64), 1)
        colours = np.minimum(np.round(pixels[..., :3] * (65535 / alpha)), 65535)
        pixels[..., :3] = colours.astype(np.uint16)
    return pixels


def upright(image: Array, orientation: int) -> Array:
    """Rotate and flip (H, W, ...) as an EXIF orientation, 1 to 8, says."""
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return image


def image_size(stream: IO[bytes], where: str) -> tuple[int, int]:
    """(height, width) from the header of a file, EXIF orientation applied.

    Raises:
        UserError: Not an image.
    """
    with open_header(stream, where) as header:
        return header.size


def image_kind(data: bytes, where: str) -> str:
    """Format, bits and colours of an image file: "PNG 8-bit RGB".

    Raises:
        UserError: Not an image.
    """
    with open_header(io.BytesIO(data), where) as header:
        return header.kind


def read_file(path: str | Path) -> bytes:
    """A file's bytes.

    Raises:
        UserError: It cannot be read.
    """
    with open_file(path) as file:
        return file.read()


def open_file(path: str | Path) -> IO[bytes]:
    """A file, open for reading; never a pipe or a device, which might keep one waiting for ever.

    Raises:
        UserError: It cannot be read.
    """
    try:
        return require_file(path).open("rb")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def read_image(path: str | Path) -> Array:
    """Read one file; see `decode_image`."""
    return decode_image(read_file(path), str(path))


def write_image(path: str | Path, image: Array) -> None:
    """Write RGB (H, W, 3), uint8 or uint16, in the format of the name's extension.

    Raises:
        UserError: The file cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        done, data = cv2.imencode(path.suffix, np.ascontiguousarray(image[..., ::-1]))
        if not done:
            raise OSError(0, f"no encoder for '{path.suffix}'")
        replace_file(path, data.tobytes())
    except (OSError, cv2.error) as error:
        raise UserError(f"{path}: cannot be written ({error})") from error


def save_picture(path: Path, image: Tensor) -> None:
    """Write (1, 3, H, W) in [0, 1] as an 8-bit image."""
    write_image(path, to_8_bit(image)[0].permute(1, 2, 0).byte().cpu().numpy())


def to_grey(image: Array) -> Array:
    """RGB (H, W, 3), uint8 or uint16, to 8-bit grey levels (H, W) by BT.601 luma."""
    levels = 255 / np.iinfo(image.dtype).max
    return np.round(image @ LUMA * levels).astype(np.uint8)


def to_float(image: Array) -> NDArray[np.float32]:
    """uint8 or uint16 to float32 in [0, 1]."""
    return image.astype(np.float32) / np.float32(np.iinfo(image.dtype).max)


def to_8_bit(x: Tensor) -> Tensor:
    """(1, 3, H, W) in [0, 1] to the 256 levels of a file, as float64 in [0, 255]."""
    return x.clamp(0, 1).mul(255).round().double()
