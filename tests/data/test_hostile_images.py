"""Image files made to mislead: refused by name, by their headers, and read alike everywhere."""

import io
import os
import struct
import time
import zlib

import cv2
import numpy as np
import pytest
from helpers import picture
from PIL import Image, ImageOps

from enhancement.data import image_headers
from enhancement.data.images import decode_image, image_size, read_image, upright
from enhancement.data.sources import FolderSource
from enhancement.errors import UserError
from enhancement.inference.pictures import read_picture


def chunk(kind, content):
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def png_that_claims(width, height):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def bmp_that_claims(width, height):
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 48, 0, 0, 54) + info + bytes(48)


def tiff(entries, byte_order="<"):
    """A TIFF of one directory, (tag, type, count, value) each, and no pixels."""
    packed = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + packed + bytes(4)


def exif_of(tag, kind, value):
    """EXIF of one entry whose value lies behind its directory."""
    head = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1)
    return head + struct.pack("<HHII", tag, kind, 1, 26) + bytes(4) + value


def both_read(path):
    """What training and `enhance run` make of a file; and its size by the header alone."""
    pixels = read_picture(path).pixels
    assert np.array_equal(read_image(path), pixels)
    assert FolderSource(path.parent).size(path.name) == pixels.shape[:2]
    return pixels


BOMBS = [
    (png_that_claims(100_000, 100_000), "100000x100000"),
    (bmp_that_claims(100_000, 100_000), "100000x100000"),
    (bmp_that_claims(-8, 8), "4294967288x8"),
]


@pytest.mark.parametrize(("data", "size"), BOMBS)
def test_a_bomb_is_refused_by_its_header_in_a_second(tmp_path, data, size):
    (tmp_path / "bomb.png").write_bytes(data)
    assert (tmp_path / "bomb.png").stat().st_size < 200
    began = time.monotonic()
    for read in (read_image, read_picture):
        with pytest.raises(UserError, match=rf"bomb\.png: is {size} pixels by its header"):
            read(tmp_path / "bomb.png")
    assert time.monotonic() - began < 1


def test_pillow_keeps_its_own_guard():
    assert Image.MAX_IMAGE_PIXELS


def test_large_images_that_fit_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(image_headers, "SURELY_FITS", 0)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5)
    Image.fromarray(picture(0)).save(tmp_path / "a.png")
    assert both_read(tmp_path / "a.png").shape == (48, 64, 3)
    monkeypatch.setattr(image_headers, "free_memory", lambda _: 48 * 64 * 13)
    with pytest.raises(UserError, match=r"a\.png: is 64x48 pixels .* but 39\.0 KB are free"):
        read_image(tmp_path / "a.png")


ODD = {
    "nothing.png": png_that_claims(0, 5),
    "sizeless.tif": tiff([(258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8), (279, 4, 1, 8)]),
    "text.tif": tiff([(256, 2, 3, 0x3434), (257, 2, 3, 0x3434), (258, 3, 1, 16)]),
    "eps.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "empty.webp": b"",
}


@pytest.mark.parametrize("name", ODD)
def test_odd_files_are_named(tmp_path, name):
    (tmp_path / name).write_bytes(ODD[name])
    for read in (read_image, read_picture, lambda path: FolderSource(path.parent).size(path.name)):
        with pytest.raises(UserError, match=f"{name}: cannot be read as an image"):
            read(tmp_path / name)


ODD_EXIF = {
    "a double": exif_of(0x829A, 12, struct.pack("<d", 0.5)),
    "text for an orientation": exif_of(0x0112, 2, b"6\0"),
    "orientation 9": exif_of(0x0112, 3, b"\t\0"),
    "cut off": exif_of(0x0112, 4, b"")[:-9],
    "nonsense": b"Exif\0\0" + bytes(range(60)),
}


@pytest.mark.parametrize("oddity", ODD_EXIF)
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_odd_exif_spoils_no_picture(tmp_path, oddity, suffix):
    Image.fromarray(picture(0)).save(tmp_path / f"a.{suffix}", exif=ODD_EXIF[oddity])
    assert both_read(tmp_path / f"a.{suffix}").shape == (48, 64, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_orientation_is_applied_once_and_everywhere(tmp_path, orientation, suffix):
    path = tmp_path / f"a.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless = {"lossless": True} if suffix == "webp" else {}
    Image.fromarray(picture(2)).save(path, exif=exif, **lossless)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    found = both_read(path)
    assert np.array_equal(found, expected)
    assert suffix == "jpg" or np.array_equal(found, upright(picture(2), orientation))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_so_it_is_at_16_bits(tmp_path, orientation, suffix):
    tifffile = pytest.importorskip("tifffile")
    deep = picture(2).astype(np.uint16) * 257
    path = tmp_path / f"a.{suffix}"
    if suffix == "png":
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = cv2.imencode(".png", deep[..., ::-1])[1].tobytes()
        late = chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))  # behind the pixels
        path.write_bytes(data[:-12] + late + data[-12:])
    else:
        tag = (274, 3, 1, orientation, True)
        tifffile.imwrite(path, deep, photometric="rgb", extratags=[tag])
    assert np.array_equal(both_read(path), upright(deep, orientation))


def test_a_16_bit_tiff_in_planes_is_refused_by_run_too(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    planes = np.zeros((3, 16, 16), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate")
    for read in (read_image, read_picture):
        with pytest.raises(UserError, match=r"a\.tif: .*16-bit TIFF with a plane for each colour"):
            read(tmp_path / "a.tif")


def test_32_bits_are_refused_in_datasets_too(tmp_path):
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(UserError, match=r"float\.tif: .*8 or 16 bits a channel, but got 32"):
        read_image(tmp_path / "float.tif")
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "rgb.tif", np.ones((4, 4, 3), np.float32), photometric="rgb")
    with pytest.raises(UserError, match=r"rgb\.tif: .*8 or 16 bits a channel, but its pixels"):
        read_image(tmp_path / "rgb.tif")


@pytest.mark.parametrize(
    "how",
    [
        {"format": "PNG"},
        {"format": "JPEG"},
        {"format": "BMP"},
        {"format": "TIFF"},
        {"format": "TIFF", "compression": "tiff_lzw"},
        {"format": "TIFF", "compression": "tiff_lzw", "tiffinfo": {274: 6}},
    ],
)
def test_the_memory_alone_limits_the_size(tmp_path, monkeypatch, how):
    Image.fromarray(picture(0, 20, 30)).save(tmp_path / "a", **how)
    expected = read_image(tmp_path / "a")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    np.testing.assert_array_equal(read_image(tmp_path / "a"), expected)


def test_a_size_is_read_without_the_pixels():
    data = png_that_claims(100_000, 100_000)
    assert image_size(io.BytesIO(data), "a") == (100_000, 100_000)
    with pytest.raises(UserError, match="which take"):
        decode_image(data, "a")


def test_pipes_and_devices_are_no_images(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    for name in ("pipe.png", "zero.png"):
        with pytest.raises(UserError, match=rf"{name}: is a pipe, a device or a socket"):
            read_image(tmp_path / name)
