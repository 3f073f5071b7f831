"""Image files with damaged headers end in pixels, the same ones everywhere, or in one UserError."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from fuzz.mutations import damaged, with_odd_numbers
from helpers import picture
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from enhancement.data.images import decode_image, image_kind, image_size
from enhancement.errors import UserError
from enhancement.inference.pictures import encode_picture, read_picture


def whole_files():
    """A small image in each format, with metadata, 8 and 16 bits."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "A camera", 6
    exif.get_ifd(0x8769)[0x829A] = 0.25
    image, deep = picture(0, 20, 30), picture(0, 20, 30).astype(np.uint16) * 257
    for kind in ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "AVIF"):
        file = io.BytesIO()
        Image.fromarray(image).save(file, kind, exif=exif, dpi=(300, 300))
        yield kind, file.getvalue()
    for suffix in (".png", ".tif"):
        yield f"16-bit{suffix}", cv2.imencode(suffix, deep)[1].tobytes()
    file = io.BytesIO()
    Image.fromarray(image).save(file, "TIFF", compression="tiff_lzw", exif=exif)
    yield "LZW", file.getvalue()


FILES = dict(whole_files())
LARGEST = 1 << 26  # pixels


def with_right_checksums(data):
    """A PNG whose chunks have the checksums of what they hold, so that it is read all the same."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    made, at = bytearray(data), 8
    while at + 12 <= len(made):
        (length,) = struct.unpack_from(">I", made, at)
        end = at + 8 + length
        if end + 4 > len(made):
            break
        struct.pack_into(">I", made, end, zlib.crc32(made[at + 4 : end]))
        at = end + 4
    return bytes(made)


@pytest.mark.parametrize("kind", FILES)
@given(drawn=st.data())
def test_damaged_images(harmless, tmp_path_factory, kind, drawn):
    whole = FILES[kind]
    data = with_right_checksums(drawn.draw(with_odd_numbers(whole) | damaged(whole)))
    path = tmp_path_factory.getbasetemp() / "image"
    path.write_bytes(data)
    with harmless():
        size = image_size(io.BytesIO(data), "a")
        image_kind(data, "a")
        if size[0] * size[1] > LARGEST:  # it takes the time that so many pixels take
            return
        pixels = decode_image(data, "a")
        assert pixels.shape == (*size, 3)
        assert np.array_equal(pixels, decode_image(data, "a"))
    with harmless():
        found = read_picture(path)
        assert np.array_equal(found.pixels, decode_image(data, "a"))
        for suffix in (".png", ".tif"):
            target = path.with_suffix(suffix)
            target.write_bytes(encode_picture(found, target))
            assert np.array_equal(read_picture(target).pixels, found.pixels)


@pytest.mark.parametrize("kind", FILES)
def test_the_whole_files_are_read(kind):
    assert decode_image(FILES[kind], "a").shape[2] == 3
    with pytest.raises(UserError):
        decode_image(FILES[kind][:30], "a")
