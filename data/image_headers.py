"""The one way to an image's pixels: its header is read first, and found fit, before they are."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

import torch
from PIL import Image

from enhancement.errors import UserError
from enhancement.memory import free_memory
from enhancement.units import readable_bytes

# what it stumbles over is said by us, once and with the file's name
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
HEIF = (".heic", ".heif")  # endings of what pillow-heif reads
# no other of Pillow's parsers is ever reached
KINDS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "AVIF", "GIF", "HEIF")
EXIF_ORIENTATION = 0x0112
# of TIFF
WIDTH, HEIGHT, BITS_PER_SAMPLE, PLANAR_CONFIGURATION, SEPARATE_PLANES = 256, 257, 258, 284, 2
COLOURS = {
    "1": "grey",
    "L": "grey",
    "I": "grey",
    "LA": "grey with alpha",
    "P": "palette",
    "RGBA": "RGB with alpha",
}  # by Pillow's mode
BYTES_PER_PIXEL = {8: 14, 16: 26}  # of decoding, all buffers together, by the bits a channel
SURELY_FITS = 64 << 20  # bytes that are taken without looking at the memory


@dataclass(frozen=True)
class Header:
    """What the header of an image file says; no pixel is decoded yet.

    Attributes:
        image: Pillow's, opened.
        size: (height, width) of the upright image.
        bits: 8 or 16, of a channel.
        exif: Empty where it cannot be read.
        orientation: EXIF's, 1 to 8.
    """

    image: Image.Image
    size: tuple[int, int]
    bits: int
    exif: Image.Exif
    orientation: int

    @property
    def kind(self) -> str:
        """Format, bits and colours: "PNG 8-bit RGB"."""
        bits = 1 if self.image.mode == "1" else self.bits
        colours = COLOURS.get(self.image.mode.split(";")[0], self.image.mode)
        kind = "JPEG" if self.image.format == "MPO" else self.image.format  # with a preview
        return f"{kind} {bits}-bit {colours}"


def reads_heif() -> bool:
    """Whether HEIC files can be read: pillow-heif is installed, which this makes Pillow know of."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


@contextmanager
def open_header(stream: IO[bytes], where: str) -> Iterator[Header]:
    """Open an image file by its header; whatever goes wrong inside the context names the file.

    Args:
        stream: The file, at its beginning.
        where: Its name, for the error.

    Raises:
        UserError: Not an image of a known kind, damaged, or of 32 bits a channel.
    """
    try:
        with _opened(stream) as image:
            yield _header(image, stream)
    except UserError:
        raise
    except Exception as error:  # parsers of foreign bytes raise whatever they stumble over
        raise UserError(f"{where}: cannot be read as an image ({_reason(error)})") from error


def check_memory(header: Header, where: str) -> None:
    """Refuse an image whose pixels would not fit into the memory that is free now.

    Args:
        header: Its header.
        where: Its file's name, for the error.

    Raises:
        UserError: Gives its size and what is free.
    """
    height, width = header.size
    needed = height * width * BYTES_PER_PIXEL[header.bits]
    if needed > SURELY_FITS and needed > (room := free_memory(torch.device("cpu"))):
        raise UserError(
            f"{where}: is {width}x{height} pixels by its header, which take "
            f"{readable_bytes(needed)} of memory to decode, but {readable_bytes(room)} are free"
        )


def _opened(stream: IO[bytes]) -> Image.Image:
    """The header, read by Pillow's parser of one of `KINDS`.

    `Image.open` would do the same, but for its limit on pixels, which is one number for the whole
    process and knows nothing of the memory.
    """
    Image.preinit()
    Image.init()
    start = stream.read(16)
    for kind in KINDS:
        parse, accepts = Image.OPEN.get(kind, (None, None))
        if parse and accepts and accepts(start) is True:
            stream.seek(0)
            return parse(stream, "")
    raise ValueError("not an image")


def _header(image: Image.Image, stream: IO[bytes]) -> Header:
    bits, (width, height) = 8, image.size
    if image.format == "PNG":
        stream.seek(24)
        bits = 16 if stream.read(1) == b"\x10" else 8
    elif image.format == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]
        width, height = tags[WIDTH], tags[HEIGHT]  # the size of a Pillow image may be turned
        each = tags.get(BITS_PER_SAMPLE, (8,))
        bits = 16 if max(each if isinstance(each, tuple) else (each,)) == 16 else 8
        if bits == 16 and tags.get(PLANAR_CONFIGURATION) == SEPARATE_PLANES:
            # OpenCV fills only the first plane of these, without a word
            raise ValueError(
                "16-bit TIFF with a plane for each colour; save it with them interleaved"
            )
    if bits == 8 and image.mode in ("F", "I"):
        raise ValueError("expected 8 or 16 bits a channel, but got 32")
    if min(width, height) < 1:
        raise ValueError(f"it claims to be {width}x{height} pixels")
    exif = _exif(image, stream)
    turn = exif.get(EXIF_ORIENTATION)
    orientation = turn if isinstance(turn, int) and 1 <= turn <= 8 else 1
    size = (width, height) if orientation >= 5 else (height, width)
    return Header(image, size, bits, exif, orientation)


def _exif(image: Image.Image, stream: IO[bytes]) -> Image.Exif:
    """EXIF without decoding the image; empty where it is damaged, since no pixel depends on it."""
    try:
        if image.format == "PNG" and "exif" not in image.info:
            late = _chunk_of_png(stream, b"eXIf")
            image.info |= {"exif": late} if late else {}
        exif = Image.Image.getexif(image)  # that of PNG would decode
        if 0x8769 in exif:
            exif.get_ifd(0x8769)
        exif.tobytes()
    except Exception:  # a parser of foreign bytes
        return Image.Exif()
    return exif


def _chunk_of_png(stream: IO[bytes], kind: bytes) -> bytes | None:
    """The content of a PNG's first chunk of a kind, wherever in the file it lies."""
    place = stream.tell()
    try:
        stream.seek(8)
        while len(start := stream.read(8)) == 8:
            length, found = struct.unpack(">I4s", start)
            if found == kind:
                return stream.read(length)
            stream.seek(length + 4, 1)
        return None
    finally:
        stream.seek(place)


def _reason(error: Exception) -> str:
    """Why a decoder refused a file, without the names of its internals."""
    if str(error) == "unknown pixel mode":  # Pillow's, of TIFFs whose colours are floats, say
        return "expected 8 or 16 bits a channel, but its pixels are of another kind"
    text = getattr(error, "strerror", None) or str(error).split("<_io")[0]
    return text.strip().split("\n")[0] or type(error).__name__
