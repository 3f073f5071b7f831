"""Image files with all they hold: bit depth, transparency, EXIF and colour profile are kept."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from enhancement.data.image_headers import EXIF_ORIENTATION, Header, check_memory, open_header
from enhancement.data.images import Array, decode_pixels, read_file
from enhancement.errors import UserError

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
SAVING: dict[str, dict[str, Any]] = {
    "PNG": {"compress_level": 4},
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95},
    "BMP": {},
    "TIFF": {"compression": "tiff_adobe_deflate"},
}
TRANSPARENT = ("PNG", "TIFF", "WEBP")
# the TIFF tags that describe the picture rather than its storage; the second directory's (exposure,
# place) are not written by Pillow
DESCRIPTIONS = (270, 271, 272, 305, 306, 315, 33432)
EXIF_IFD = 0x8769
MOST_DPI = 65535  # that JPEG can say
EXIF_WIDTH, EXIF_HEIGHT = 0xA002, 0xA003


@dataclass
class Picture:
    """An upright image and its metadata.

    Attributes:
        pixels: RGB, (H, W, 3), uint8 or uint16.
        alpha: (H, W) of the same type, or None.
        exif: Without the orientation.
        icc: The colour profile, or None.
        dpi: The resolution, or None.
    """

    pixels: Array
    alpha: Array | None = None
    exif: Image.Exif = field(default_factory=Image.Exif)
    icc: bytes | None = None
    dpi: tuple[float, float] | None = None


def read_picture(path: Path, admit: Callable[[Header, str], None] = check_memory) -> Picture:
    """Read an image file.

    Args:
        path: The file.
        admit: Given its header and name, refuses what must not be decoded.

    Raises:
        UserError: Not an image, truncated, of several pages, of 32 bits a channel, or too large for
            the memory.
    """
    data = read_file(path)
    with open_header(io.BytesIO(data), str(path)) as header:
        image, exif = header.image, header.exif
        # of an animated GIF the first frame is taken, and of a camera's JPEG not its preview
        if image.format not in ("GIF", "MPO") and getattr(image, "n_frames", 1) > 1:
            raise UserError(f"{path}: has several pages or frames; save each as its own file")
        admit(header, str(path))
        if image.format == "TIFF":
            exif = _descriptions(exif)
        array = decode_pixels(data, header)
        icc, dpi = image.info.get("icc_profile"), _resolution(image)
    exif.pop(EXIF_ORIENTATION, None)
    alpha = np.ascontiguousarray(array[..., 3]) if array.shape[2] == 4 else None
    pixels = np.ascontiguousarray(array[..., :3])
    ifd = exif.get_ifd(EXIF_IFD) if EXIF_IFD in exif else {}  # or else Pillow adds an empty one
    for tag, size in ((EXIF_WIDTH, pixels.shape[1]), (EXIF_HEIGHT, pixels.shape[0])):
        if tag in ifd:
            ifd[tag] = size
    _keep_texts(exif)
    _keep_texts(ifd)
    return Picture(pixels, alpha, exif, icc if icc and icc[16:20] == b"RGB " else None, dpi)


def _keep_texts(tags: Any) -> None:
    """Turn texts back into the bytes that they were read from, by which they are written again.

    Pillow reads them as Latin-1, though most are UTF-8, and writes ASCII alone.
    """
    for tag, value in list(tags.items()):
        if isinstance(value, str) and not value.isascii():
            tags[tag] = value.encode("latin-1", "replace")


def _resolution(image: Image.Image) -> tuple[float, float] | None:
    """Dots an inch, where a file says something that other files can say too."""
    found = image.info.get("dpi", ())
    x, y = map(float, found) if len(found) == 2 else (0.0, 0.0)
    return (x, y) if min(x, y) > 0 and max(x, y) <= MOST_DPI else None


def _descriptions(tags: Image.Exif) -> Image.Exif:
    kept = Image.Exif()
    for tag in DESCRIPTIONS:
        if tag in tags:
            kept[tag] = tags[tag]
    return kept


def encode_picture(picture: Picture, path: Path) -> bytes:
    """The content of an image file in the format of a path's suffix.

    JPEG, WebP and BMP hold 8 bits; 16 are rounded.

    Raises:
        UserError: The format cannot hold transparency, or an image of this size.
    """
    kind = FORMATS[path.suffix.lower()]
    if picture.alpha is not None and kind not in TRANSPARENT:
        raise UserError(f"{path}: {kind} keeps no transparency; use --format png")
    array = picture.pixels
    if picture.alpha is not None:
        array = np.dstack((array, picture.alpha))
    deep = array.dtype == np.uint16
    try:
        if deep and kind == "PNG":
            return _png_16_bit(array, picture)
        if deep and kind == "TIFF":
            return _tiff_16_bit(array, picture)
        return _by_pillow(array, picture, kind)
    except Exception as error:  # odd metadata makes writers raise errors of every kind
        raise UserError(f"{path}: cannot be written as {kind} ({error})") from error


def _by_pillow(array: Array, picture: Picture, kind: str) -> bytes:
    """In 8 bits."""
    if array.dtype == np.uint16:
        array = np.round(array / 257).astype(np.uint8)
    exif = _descriptions(picture.exif) if kind == "TIFF" else picture.exif
    options: dict[str, Any] = dict(SAVING[kind])
    if len(exif):
        options["exif"] = exif
    if picture.icc:
        options["icc_profile"] = picture.icc
    if picture.dpi:
        options["dpi"] = picture.dpi
    file = io.BytesIO()
    Image.fromarray(array).save(file, kind, **options)
    return file.getvalue()


def _png_16_bit(array: Array, picture: Picture) -> bytes:
    """By OpenCV, which writes 16 bits; Pillow does not. It writes no resolution."""
    metadata = {}
    if picture.icc:
        metadata[cv2.IMAGE_METADATA_ICCP] = picture.icc
    if len(picture.exif):
        metadata[cv2.IMAGE_METADATA_EXIF] = picture.exif.tobytes().removeprefix(b"Exif\0\0")
    order = [2, 1, 0, 3][: array.shape[2]]
    content = [np.frombuffer(chunk, np.uint8) for chunk in metadata.values()]
    _, data = cv2.imencodeWithMetadata(
        ".png", np.ascontiguousarray(array[..., order]), list(metadata), content
    )
    return _with_resolution(data.tobytes(), picture.dpi)


def _with_resolution(png: bytes, dpi: tuple[float, float] | None) -> bytes:
    """A PNG file with a pHYs chunk after its header, which no library here adds to 16 bits."""
    if not dpi:
        return png
    x, y = (round(n / 0.0254) for n in dpi)
    content = b"pHYs" + struct.pack(">IIB", x, y, 1)
    chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    header = 8 + 25  # the signature and IHDR
    return png[:header] + chunk + png[header:]


def _tiff_16_bit(array: Array, picture: Picture) -> bytes:
    """By tifffile, a dependency of scikit-image; keeps the texts of EXIF's first directory."""
    import tifffile

    texts = [
        (tag, 2, None, picture.exif[tag], True)
        for tag in DESCRIPTIONS
        if isinstance(picture.exif.get(tag), str | bytes)
    ]
    file = io.BytesIO()
    tifffile.imwrite(
        file,
        array,
        photometric="rgb",
        compression="zlib",
        metadata=None,
        software=False,
        extrasamples=["unassalpha"] if array.shape[2] == 4 else None,
        iccprofile=picture.icc,
        resolution=picture.dpi,
        resolutionunit="INCH" if picture.dpi else None,
        extratags=texts,
    )
    return file.getvalue()
