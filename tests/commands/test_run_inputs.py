"""What `enhance run` takes, what it leaves out and says so, and where it writes."""

import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import picture
from PIL import Image

from enhancement.data.image_headers import reads_heif
from enhancement.data.images import read_image, write_image
from enhancement.weights.shipped import DEFAULT, shipped_weights


@pytest.fixture
def folder(in_tmp):
    for i, name in enumerate(("a.png", "b.jpg", "[2024]/c.png")):
        write_image(in_tmp / "in" / name, picture(i, 24, 32))
    return in_tmp / "in"


@pytest.fixture
def run(enhance):
    return lambda *arguments: enhance("run", *arguments, "--weights", "aod_net_gastroscopy")


def made(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


class TestInputs:
    def test_several(self, run, folder):
        status, out, _ = run("in/a.png", "in/b.jpg", "in/[2024]", "-o", "out")
        assert status == 0
        assert out.startswith("3 of 3 files")
        assert made(folder.parent / "out") == ["a.png", "b.jpg", "c.png"]

    def test_several_with_one_name_are_refused(self, run, folder):
        write_image(folder / "deep/a.png", picture(9, 24, 32))
        status, _, err = run("in/a.png", "in/deep/a.png", "-o", "out")
        assert status == 2
        assert "out/a.png: both in/a.png and in/deep/a.png would be written there" in err

    def test_a_pattern_below_a_folder_with_brackets(self, run, folder):
        status, _, _ = run("in/[2024]/*.png", "-o", "out")
        assert status == 0
        assert made(folder.parent / "out") == ["c.png"]

    def test_pictures_that_are_not_read_are_named(self, run, folder):
        (folder / "raw.NEF").write_bytes(b"raw")
        (folder / "page.svg").write_text("<svg/>")
        (folder / "notes.txt").write_text("no picture")
        status, out, err = run("in", "-o", "out")
        assert status == 1
        assert out.startswith("3 of 5 files")
        assert "in/raw.NEF: is a camera's raw file; develop it" in err
        assert "in/page.svg: .svg is not read; expected images (.png" in err
        assert "notes.txt" not in err

    @pytest.mark.skipif(reads_heif(), reason="pillow-heif is installed")
    def test_links_to_folders_are_named(self, run, folder):
        write_image(folder.parent / "elsewhere/d.png", picture(4, 24, 32))
        (folder / "album").symlink_to(folder.parent / "elsewhere")
        status, out, err = run("in", "-o", "out")
        assert (status, out[:6]) == (1, "3 of 4")
        assert "in/album: is a link to a folder; name it as an input of its own" in err

    @pytest.mark.parametrize(
        "arguments",
        [["", "-o", "out"], ["in/a.png", "-o", ""], ["in/a.png", "-o", "x", "--format", ""]],
    )
    def test_an_empty_text_is_no_folder(self, run, folder, arguments):
        status, _, err = run(*arguments)
        assert status == 2
        assert "but got an empty text" in err
        assert made(folder.parent) == ["in/[2024]/c.png", "in/a.png", "in/b.jpg"]

    def test_heic_without_its_library_is_one_line(self, run, folder):
        (folder / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic")
        status, _, err = run("in/phone.heic", "-o", "out")
        assert status == 2
        assert "pip install pillow-heif" in err
        assert err.count("\n") == 1

    @pytest.mark.parametrize("suffix", [".avif", ".gif"])
    def test_kinds_that_are_read_alone_become_png(self, run, in_tmp, suffix):
        frames = [Image.fromarray(picture(i, 24, 32)) for i in range(2)]
        more = {"save_all": True, "append_images": frames[1:]} if suffix == ".gif" else {}
        frames[0].save(in_tmp / f"x{suffix}", **more)
        assert run(f"x{suffix}", "-o", "out")[0] == 0
        with Image.open(in_tmp / f"x{suffix}") as first:
            write_image(in_tmp / "same.png", np.asarray(first.convert("RGB")))
        assert run("same.png", "-o", "out/expected.png")[0] == 0
        expected = read_image(in_tmp / "out/expected.png")
        np.testing.assert_array_equal(read_image(in_tmp / "out/x.png"), expected)


class TestOutputs:
    @pytest.mark.parametrize("out", ["x.xyz", "x.ts"])
    def test_an_ending_that_is_not_written_is_refused(self, run, folder, out):
        status, _, err = run("in/a.png", "-o", out)
        assert status == 2
        assert f"--out {out}: no {out[1:]} files are written; expected images (.png" in err
        assert not (folder.parent / out).exists()

    def test_a_folder_may_have_an_ending(self, run, folder):
        assert run("in/a.png", "-o", "v1.5/")[0] == 0
        assert made(folder.parent / "v1.5") == ["a.png"]


class TestPipes:
    def through(self, monkeypatch, data):
        sink = io.BytesIO()
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
        out = SimpleNamespace(buffer=sink, write=lambda text: None, flush=lambda: None)
        monkeypatch.setattr(sys, "stdout", out)
        return sink

    def test_an_image_through_both(self, run, folder, monkeypatch):
        assert run("in/a.png", "-o", "out")[0] == 0
        sink = self.through(monkeypatch, (folder / "a.png").read_bytes())
        assert run("-", "-o", "-")[0] == 0
        assert sink.getvalue() == (folder.parent / "out/a.png").read_bytes()

    def test_another_format(self, run, folder, monkeypatch):
        sink = self.through(monkeypatch, b"")
        assert run("in/b.jpg", "-o", "-", "--format", "webp")[0] == 0
        with Image.open(io.BytesIO(sink.getvalue())) as image:
            assert (image.format, image.size) == ("WEBP", (32, 24))

    @pytest.mark.parametrize(
        ("given", "data", "said"),
        [
            (["-", "in/a.png"], b"", "'-' stands for one image"),
            (["-"], b"", "standard input: expected one image, but got 0 bytes"),
            (["-"], b"text", "standard input: cannot be read as an image"),
        ],
    )
    def test_mistakes(self, run, folder, monkeypatch, given, data, said):
        self.through(monkeypatch, data)
        status, _, err = run(*given, "-o", "out.png")
        assert status == 2
        assert said in err

    def test_messages_name_the_streams(self, run, folder, monkeypatch):
        clear = io.BytesIO()
        Image.new("RGBA", (32, 24), (9, 9, 9, 9)).save(clear, "png")
        self.through(monkeypatch, clear.getvalue())
        status, _, err = run("-", "-o", "-", "--format", "jpg")
        assert status == 2
        assert "standard output: JPEG keeps no transparency" in err

    def test_a_standard_input_that_is_closed_is_one_line(self, run, folder, monkeypatch):
        monkeypatch.setattr(sys, "stdin", None)
        status, _, err = run("-", "-o", "out.png")
        assert (status, err) == (2, "error: standard input: expected one image, but got 0 bytes\n")

    def test_a_standard_output_that_is_closed_is_one_line(self, run, folder, monkeypatch):
        monkeypatch.setattr(sys, "__stdout__", None)
        status, _, err = run("in/a.png", "-o", "-")
        assert (status, err) == (2, "error: --out -: standard output is closed; name a file\n")

    def test_a_folder_does_not_fit_standard_output(self, run, folder):
        status, _, err = run("in", "-o", "-")
        assert status == 2
        assert "--out -: expected one image as input, but got in" in err


class TestWeights:
    def test_unknown_names_list_the_known(self, enhance, folder):
        status, _, err = enhance("run", "in/a.png", "-o", "out", "--weights", "hdrnet_lol")
        assert status == 2
        assert "did you mean 'hdrnet_lol_v1'?" in err

    def test_a_folder_of_that_name_does_not_take_its_place(self, enhance, folder):
        (folder.parent / DEFAULT).mkdir()
        assert enhance("run", "in/a.png", "-o", "out")[0] == 0
        status, _, err = enhance("run", "in/a.png", "-o", "out", "--weights", f"./{DEFAULT}")
        assert status == 2
        assert "expected the files of one published network" in err

    def test_none_named_takes_the_default(self, enhance, folder):
        assert DEFAULT in shipped_weights()
        status, _, err = enhance("run", "in/a.png", "-o", "out")
        assert (status, err) == (0, f"Weights: {DEFAULT}, which come with this package\n")
        assert enhance("run", "in/a.png", "-o", "same", "--weights", DEFAULT)[0] == 0
        out = folder.parent
        assert (out / "out/a.png").read_bytes() == (out / "same/a.png").read_bytes()


def test_strength_blends_in_linear_light(run, folder):
    for strength in ("0", "0.5", "1"):
        assert run("in/a.png", "-o", f"{strength}.png", "--strength", strength)[0] == 0
    none, half, whole = (read_image(folder.parent / f"{s}.png") for s in ("0", "0.5", "1"))
    np.testing.assert_array_equal(none, read_image(folder / "a.png"))

    def light(image):
        x = image / 255
        return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)

    mean = (light(none) + light(whole)) / 2
    assert np.abs(light(half) - mean).max() < 0.01
    status, _, err = run("in/a.png", "-o", "x.png", "--strength", "1.5")
    assert (status, err.count("\n")) == (2, 1)
    assert "strength must be in [0, 1], but got 1.5" in err
