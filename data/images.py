"""Image files read and written, 8 and 16 bits; grey, palette and alpha all become RGB arrays."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from enhancement.errors import UserError
from enhancement.files import replace_file, require_file

Image.MAX_IMAGE_PIXELS = None  # endoscopy mosaics are large, and they are the user's own files
IMAGE_EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
EXIF_ORIENTATION = 0x0112
BITS_PER_SAMPLE, PLANAR_CONFIGURATION, SEPARATE_PLANES = 258, 284, 2  # of TIFF
# what Pillow raises for damaged files, depending on where its parser notices
DECODING_ERRORS = (
    *(OSError, EOFError, SyntaxError, MemoryError, AttributeError, IndexError, KeyError),
    *(OverflowError, TypeError, ValueError, struct.error),
)
COLOURS = {
    "1": "grey",
    "L": "grey",
    "I": "grey",
    "LA": "grey with alpha",
    "P": "palette",
    "RGBA": "RGB with alpha",
}  # by Pillow's mode

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
        RGB, (H, W, 3), uint8 or uint16. Grey is repeated, alpha dropped, EXIF rotation applied.

    Raises:
        UserError: Not an image, or truncated.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            if is_16_bit(data, image):
                _refuse_planes(image)
                return np.ascontiguousarray(decode_16_bit(data, where)[..., :3])
            image.load()
            upright = ImageOps.exif_transpose(image) if image.format != "PNG" else image
            return np.asarray(upright.convert("RGB"))
    except DECODING_ERRORS as error:
        raise UserError(f"{where}: cannot be read as an image ({short_reason(error)})") from error


def short_reason(error: Exception) -> str:
    """Why a decoder refused a file, without the names of its internals."""
    text = str(error).split("<_io")[0].strip() or type(error).__name__
    return "not an image" if "cannot identify" in text else text


def is_16_bit(data: bytes, image: Image.Image) -> bool:
    """Whether a file, opened by Pillow as `image`, has 16 bits a channel."""
    if image.format == "PNG":
        return data[24] == 16  # bit depth in the header
    if image.format == "TIFF":
        bits = image.tag_v2.get(BITS_PER_SAMPLE, (8,))  # type: ignore[attr-defined]
        return max(bits if isinstance(bits, tuple) else (bits,)) == 16
    return False


def _refuse_planes(image: Image.Image) -> None:
    # OpenCV fills only the first plane of these, without a word
    tags = getattr(image, "tag_v2", {})
    if tags.get(PLANAR_CONFIGURATION) == SEPARATE_PLANES:
        raise ValueError("16-bit TIFF with a plane for each colour; save it with them interleaved")


def decode_16_bit(data: bytes, where: str) -> Array:
    """Decode a 16-bit file with OpenCV; Pillow would reduce it to 8 bits.

    Returns:
        RGB or RGBA, (H, W, 3 or 4), uint16; not rotated.

    Raises:
        UserError: Truncated.
    """
    # OpenCV itself does not notice that a PNG is truncated
    whole = not data.startswith(b"\x89PNG") or b"IEND" in data[-64:]
    array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if whole else None
    if array is None:
        raise UserError(f"{where}: cannot be read as an image (image file is truncated)")
    if array.ndim == 2:
        return np.repeat(array[..., None], 3, axis=2)
    if array.shape[2] == 2:
        return array[..., [0, 0, 0, 1]]
    return array[..., [2, 1, 0, 3][: array.shape[2]]]


def image_size(data: IO[bytes] | str, where: str) -> tuple[int, int]:
    """(height, width) from the header of a file or stream, EXIF rotation applied.

    Raises:
        UserError: Not an image.
    """
    try:
        with Image.open(data) as image:
            width, height = image.size
            # a PNG would be decoded to look for EXIF
            exif = image.getexif() if image.format != "PNG" else {}
            turned = exif.get(EXIF_ORIENTATION, 1) >= 5
    except DECODING_ERRORS as error:
        raise UserError(f"{where}: cannot be read as an image ({short_reason(error)})") from error
    return (width, height) if turned else (height, width)


def image_kind(data: bytes, where: str) -> str:
    """Format, bits and colours of an image file: "PNG 8-bit RGB".

    Raises:
        UserError: Not an image.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            bits = 16 if is_16_bit(data, image) else 1 if image.mode == "1" else 8
            colours = COLOURS.get(image.mode.split(";")[0], image.mode)
            return f"{image.format} {bits}-bit {colours}"
    except DECODING_ERRORS as error:
        raise UserError(f"{where}: cannot be read as an image ({short_reason(error)})") from error


def read_file(path: str | Path) -> bytes:
    """A file's bytes.

    Raises:
        UserError: It cannot be read.
    """
    try:
        return require_file(path).read_bytes()
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
    return np.round(image @ np.array([0.299, 0.587, 0.114]) * levels).astype(np.uint8)


def to_float(image: Array) -> NDArray[np.float32]:
    """uint8 or uint16 to float32 in [0, 1]."""
    return image.astype(np.float32) / np.float32(np.iinfo(image.dtype).max)


def to_8_bit(x: Tensor) -> Tensor:
    """(1, 3, H, W) in [0, 1] to the 256 levels of a file, as float64 in [0, 255]."""
    return x.clamp(0, 1).mul(255).round().double()
