"""Reading every kind of file, and refusing broken ones by name."""

import struct

import cv2
import numpy as np
import pytest
import tifffile
import torch
from helpers import picture
from PIL import Image

from enhancement.data import images
from enhancement.data.images import (
    image_size,
    read_image,
    save_picture,
    to_8_bit,
    to_float,
    write_image,
)
from enhancement.errors import UserError
from enhancement.inference.pictures import read_picture


@pytest.mark.parametrize("extension", ["png", "bmp", "tif", "webp", "jpg"])
def test_formats_read_back(tmp_path, extension):
    path, image = tmp_path / f"a.{extension}", picture(0)
    if extension == "webp":
        Image.fromarray(image).save(path, lossless=True)
    else:
        write_image(path, image)
    found = read_image(path)
    assert found.dtype == np.uint8
    tolerance = 6 if extension == "jpg" else 0
    assert np.abs(found.astype(int) - image).mean() <= tolerance
    with path.open("rb") as file:
        assert image_size(file, "a") == image.shape[:2]


@pytest.mark.parametrize("extension", ["png", "tif"])
def test_16_bits_are_kept(tmp_path, extension):
    image = picture(0).astype(np.uint16) * 257 - 100 * (picture(0) > 0)
    write_image(tmp_path / f"a.{extension}", image.astype(np.uint16))
    found = read_image(tmp_path / f"a.{extension}")
    assert found.dtype == np.uint16
    assert np.array_equal(found, image)
    assert to_float(found).max() == pytest.approx(image.max() / 65535)


def test_grey_palette_and_alpha_become_rgb(tmp_path):
    image = Image.fromarray(picture(0))
    for mode in ("L", "LA", "P", "RGBA", "1"):
        image.convert(mode).save(tmp_path / "a.png")
        assert read_image(tmp_path / "a.png").shape == (48, 64, 3)
    cv2.imwrite(str(tmp_path / "b.png"), picture(0)[..., 0].astype(np.uint16) * 200)
    grey = read_image(tmp_path / "b.png")
    assert grey.shape == (48, 64, 3)
    assert np.array_equal(grey[..., 0], grey[..., 2])
    cv2.imwrite(str(tmp_path / "c.png"), np.full((8, 8, 4), (1000, 2000, 3000, 9), np.uint16))
    assert read_image(tmp_path / "c.png")[0, 0].tolist() == [3000, 2000, 1000]


def test_exif_rotation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture(0)).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").shape == (64, 48, 3)
    with (tmp_path / "a.jpg").open("rb") as file:
        assert image_size(file, "a") == (64, 48)


@pytest.mark.parametrize("extension", ["png", "jpg", "webp"])
def test_a_truncated_file_is_named(tmp_path, extension):
    path = tmp_path / f"cut.{extension}"
    write_image(path, picture(0))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match=rf"cut\.{extension}: cannot be read as an image"):
        read_image(path)


def test_a_truncated_16_bit_png_is_named(tmp_path):
    path = tmp_path / "cut.png"
    write_image(path, picture(0).astype(np.uint16) * 257)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match=r"cut\.png: .*truncated"):
        read_image(path)


def test_what_is_not_an_image_is_named(tmp_path):
    (tmp_path / "a.png").write_text("hello")
    with pytest.raises(UserError, match=r"a\.png: cannot be read as an image \(not an image\)"):
        read_image(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"b\.png: cannot be read \(No such file"):
        read_image(tmp_path / "b.png")


def test_an_unwritable_place_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_image(tmp_path / "file" / "a.png", picture(0))
    with pytest.raises(UserError, match="cannot be written"):
        write_image(tmp_path / "a.xyz", picture(0))


def planar_tiff(path, values):
    """Write a 4 x 4 TIFF of 16 bits, each colour in a plane of its own."""
    planes = [np.full((4, 4), value, "<u2").tobytes() for value in values]
    starts = [8 + 32 * i for i in range(3)]
    table = 8 + 96 + 2 + 10 * 12 + 4
    shorts = {256: 4, 257: 4, 259: 1, 262: 2, 277: 3, 278: 4, 284: 2}
    entries = {tag: struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in shorts.items()}
    entries[258] = struct.pack("<HHII", 258, 3, 3, table)
    entries[273] = struct.pack("<HHII", 273, 4, 3, table + 6)
    entries[279] = struct.pack("<HHII", 279, 4, 3, table + 18)
    directory = struct.pack("<H", 10) + b"".join(entries[tag] for tag in sorted(entries))
    tables = struct.pack("<3H3I3I", 16, 16, 16, *starts, 32, 32, 32)
    head = b"II*\0" + struct.pack("<I", 104)
    path.write_bytes(head + b"".join(planes) + directory + struct.pack("<I", 0) + tables)


def test_a_16_bit_tiff_in_planes_is_refused_rather_than_misread(tmp_path):
    planar_tiff(tmp_path / "a.tif", (1000, 2000, 3000))
    with Image.open(tmp_path / "a.tif") as image:
        assert (image.mode, image.size) == ("RGB", (4, 4))
    with pytest.raises(UserError, match=r"a\.tif: .*16-bit TIFF with a plane for each colour"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("kind", [AttributeError, MemoryError, OverflowError, struct.error])
def test_whatever_the_decoder_raises_names_the_file(tmp_path, monkeypatch, kind):
    def fail(*_):
        raise kind("odd")

    write_image(tmp_path / "a.png", picture(0))
    monkeypatch.setattr(images, "_decode_8_bit", fail)
    with pytest.raises(UserError, match=r"a\.png: cannot be read as an image \(odd\)"):
        read_image(tmp_path / "a.png")


def test_a_picture_is_rounded_and_clamped_to_8_bits(tmp_path):
    values = torch.tensor([-0.1, 0.4999 / 255, 0.5001 / 255, 1.7]).reshape(1, 1, 2, 2)
    save_picture(tmp_path / "a.png", values.expand(1, 3, 2, 2))
    assert read_image(tmp_path / "a.png")[..., 0].tolist() == [[0, 0], [1, 255]]
    assert to_8_bit(values).flatten().tolist() == [0, 0, 1, 255]


def test_the_lab_colours_of_a_tiff_have_no_alpha(tmp_path):
    """Their second band is called A, too."""
    Image.new("LAB", (8, 6), (128, 128, 128)).save(tmp_path / "a.tif")
    found = read_picture(tmp_path / "a.tif")
    assert found.alpha is None
    assert found.pixels.shape == (6, 8, 3)


@pytest.mark.parametrize(
    ("tags", "stored", "meant"),
    [
        ({"photometric": "miniswhite"}, [60000], [5535] * 3),
        ({"photometric": "rgb", "extrasamples": ["assocalpha"]}, [300, 200, 100, 32768], None),
    ],
)
def test_16_bit_tiffs_are_read_as_their_tags_say(tmp_path, tags, stored, meant):
    pixels = np.full((4, 5, len(stored)), stored, np.uint16)
    tifffile.imwrite(tmp_path / "x.tif", pixels.squeeze(), **tags)
    read = read_image(tmp_path / "x.tif")
    expected = meant or [round(n * 65535 / 32768) for n in stored[:3]]
    assert read.dtype == np.uint16
    assert (read == expected).all()
