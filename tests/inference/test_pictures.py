"""Image files keep what people put in them."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers import picture
from PIL import Image, ImageCms

from enhancement.data.images import upright
from enhancement.errors import UserError
from enhancement.inference.pictures import Picture, encode_picture, read_picture

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def exif(orientation=1):
    made = Image.Exif()
    made[0x010F], made[0x0112] = "A camera", orientation
    made.get_ifd(0x8769)[0x829A] = 0.25  # exposure time
    return made


def through(path, name="out.png"):
    """Read a file and write it again."""
    target = path.with_name(name)
    target.write_bytes(encode_picture(read_picture(path), target))
    return target


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg", "webp"])
def test_exif_and_colour_profile_stay(tmp_path, suffix):
    path = tmp_path / f"in.{suffix}"
    Image.fromarray(picture(0)).save(path, exif=exif(), icc_profile=ICC, dpi=(300, 300))
    with Image.open(through(path, f"out.{suffix}")) as image:
        assert image.info["icc_profile"] == ICC
        assert image.getexif()[0x010F] == "A camera"
        assert suffix == "tif" or image.getexif().get_ifd(0x8769)[0x829A] == 0.25


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg", "webp"])
def test_where_there_was_no_exif_there_is_none(tmp_path, suffix):
    Image.fromarray(picture(0)).save(tmp_path / f"in.{suffix}")
    written = through(tmp_path / f"in.{suffix}", f"out.{suffix}")
    assert b"exif" not in written.read_bytes().lower()
    with Image.open(written) as image:
        assert 0x8769 not in image.getexif()


def test_a_photograph_becomes_a_tiff(tmp_path):
    Image.fromarray(picture(0)).save(tmp_path / "in.jpg", exif=exif(6))
    assert read_picture(through(tmp_path / "in.jpg", "out.tif")).exif[0x010F] == "A camera"


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("channels", [3, 4])
def test_16_bits_transparency_and_profile_stay(tmp_path, suffix, channels):
    rng = np.random.default_rng(0)
    array = rng.integers(0, 65536, (31, 42, channels), dtype=np.uint16)
    path = tmp_path / "in.png"
    path.write_bytes(cv2.imencode(".png", array)[1].tobytes())
    given = read_picture(path)
    given.icc, given.dpi, given.exif = ICC, (300.0, 300.0), exif()
    target = tmp_path / f"out.{suffix}"
    target.write_bytes(encode_picture(given, target))
    found = read_picture(target)
    assert found.pixels.dtype == np.uint16
    assert np.array_equal(found.pixels, array[..., 2::-1])
    assert channels == 3 or np.array_equal(found.alpha, array[..., 3])
    assert found.icc == ICC
    assert found.exif[0x010F] == "A camera"
    assert found.dpi == pytest.approx((300, 300), abs=0.1)


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_transparency_is_untouched(tmp_path, suffix):
    alpha = np.arange(48 * 64, dtype=np.uint8).reshape(48, 64)
    path = tmp_path / f"in.{suffix}"
    Image.fromarray(np.dstack((picture(0), alpha))).save(path, lossless=True)
    found = read_picture(through(path, f"out.{suffix}"))
    assert np.array_equal(found.alpha, alpha)


def test_a_format_without_transparency_is_refused(tmp_path):
    Image.new("RGBA", (4, 4)).save(tmp_path / "in.png")
    with pytest.raises(UserError, match=r"out\.jpg: JPEG keeps no transparency; use --format png"):
        through(tmp_path / "in.png", "out.jpg")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_pictures_come_out_upright(tmp_path, orientation, suffix):
    """As Pillow turns them; the tag is gone, the rest of EXIF is there."""
    path = tmp_path / f"in.{suffix}"
    Image.fromarray(picture(2)).save(path, exif=exif(orientation))
    found = read_picture(through(path))
    with Image.open(path) as image:
        expected = np.asarray(image.convert("RGB"))
    assert np.array_equal(found.pixels, upright(expected, orientation))
    turned = Image.fromarray(expected)
    turned.getexif()[0x0112] = orientation
    with io.BytesIO() as file:
        turned.save(file, "PNG", exif=exif(orientation))
        from PIL import ImageOps

        with Image.open(file) as image:
            assert np.array_equal(found.pixels, np.asarray(ImageOps.exif_transpose(image)))
    assert 0x0112 not in found.exif
    assert found.exif[0x010F] == "A camera"


def test_16_bits_become_8_where_the_format_has_no_more(tmp_path):
    array = (picture(0).astype(np.uint16)) * 257
    (tmp_path / "in.png").write_bytes(cv2.imencode(".png", array)[1].tobytes())
    found = read_picture(through(tmp_path / "in.png", "out.bmp"))
    assert np.array_equal(found.pixels, picture(0)[..., ::-1])


def test_what_cannot_be_kept_is_refused(tmp_path):
    pages = [Image.fromarray(picture(i)) for i in range(2)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "float.tif")
    (tmp_path / "cut.png").write_bytes(encode_picture(read_picture_of(), tmp_path / "a.png")[:-80])
    reasons = {
        "pages.tif": "has several pages",
        "float.tif": "but got 32",
        "cut.png": "cannot be read as an image",
        "no.png": "No such file",
    }
    for name, said in reasons.items():
        with pytest.raises(UserError, match=f"{name}: .*{said}"):
            read_picture(tmp_path / name)


def read_picture_of():
    from enhancement.inference.pictures import Picture

    return Picture(picture(0))


def test_a_profile_of_other_colours_is_dropped(tmp_path):
    """A grey or CMYK profile would be wrong for the RGB that is written."""
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    Image.fromarray(picture(0)).save(tmp_path / "in.png", icc_profile=lab)
    assert read_picture(tmp_path / "in.png").icc is None


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg", "webp"])
@pytest.mark.parametrize("deep", [False, True])
def test_texts_beyond_ascii_stay(tmp_path, suffix, deep):
    """Most are UTF-8, which EXIF does not know."""
    text = "© 2024 Jürgen Größe".encode()
    made = exif()
    made[0x8298] = text  # copyright
    Image.fromarray(picture(0)).save(tmp_path / "in.jpg", exif=made)
    read = read_picture(tmp_path / "in.jpg")
    if deep:
        read.pixels = read.pixels.astype(np.uint16) * 257
    target = tmp_path / f"out.{suffix}"
    target.write_bytes(encode_picture(read, target))
    with Image.open(target) as image:
        assert image.getexif()[0x8298].encode("latin-1").rstrip(b"\0") == text


def test_a_cameras_preview_is_no_second_page(tmp_path):
    photograph, preview = (Image.fromarray(picture(i)) for i in range(2))
    path = tmp_path / "in.jpg"
    photograph.save(path, "MPO", save_all=True, append_images=[preview], quality=95)
    read = read_picture(path)
    assert np.abs(read.pixels.astype(int) - picture(0)).mean() < 5
    assert read_picture(through(path, "out.jpg")).pixels.shape == read.pixels.shape


def test_jpegs_keep_their_colours_and_detail():
    """Quality 95, and a colour for each pixel."""
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:, ::2, 0] = pixels[:, 1::2, 2] = 200
    content = encode_picture(Picture(pixels), Path("a.jpg"))
    made = np.asarray(Image.open(io.BytesIO(content)))
    assert np.abs(made.astype(int) - pixels).max() < 30
