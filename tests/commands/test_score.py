"""`enhance score`."""

import csv
import io
import json
import re

import numpy as np
import pytest
from helpers import make_pairs, picture
from skimage.metrics import peak_signal_noise_ratio

from enhancement.data.images import write_image
from enhancement.errors import UserError


@pytest.fixture
def folders(in_tmp):
    make_pairs(in_tmp, "out", "gt", count=3)
    return in_tmp


def test_the_table_is_that_of_the_protocol(folders, enhance):
    status, out, _ = enhance("score", "out", "gt", "--dataset", "mine")
    assert status == 0
    assert "Protocol basicsr, dataset mine, 3 images" in out
    assert "untouched input" not in out
    expected = peak_signal_noise_ratio(picture(0), picture(0) // 6)
    row = next(line for line in out.splitlines() if line.startswith("0.png"))
    assert float(row.split()[1]) == pytest.approx(expected, abs=1e-3)


def test_csv_and_json_say_the_same_as_the_files(folders, enhance):
    _, out, _ = enhance("score", "out", "gt", "--csv", "-o", "results")
    assert out == (folders / "results/scores.csv").read_text()
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["image"] for row in rows] == ["0.png", "1.png", "2.png", "mean"]
    _, out, _ = enhance("score", "out", "gt", "--json")
    content = json.loads(out)
    assert content == json.loads((folders / "results/scores.json").read_text())
    assert content["mean"]["psnr"] == pytest.approx(float(rows[-1]["psnr"]))
    assert content["input_mean"] == {}


def test_equal_images_stay_readable_json(folders, enhance):
    _, out, _ = enhance("score", "gt", "gt", "--json")
    assert json.loads(out)["mean"] == {"psnr": "inf", "ssim": pytest.approx(1)}


def test_masks_are_thresholded_above_127(in_tmp, enhance):
    a, b = np.zeros((2, 8, 8, 3), np.uint8)
    a[:4], b[:4], b[4:] = 128, 255, 127
    write_image(in_tmp / "a/m.png", a)
    write_image(in_tmp / "b/m.png", b)
    status, out, _ = enhance("score", "a", "b", "--masks", "--json")
    assert status == 0
    assert json.loads(out)["mean"] == {"dice": 1, "miou": 1}
    assert json.loads(out)["protocol"] == "segmentation"


def test_16_bits_are_scored_by_their_own_range(in_tmp, enhance):
    image = picture(1)
    write_image(in_tmp / "a/x.png", image)
    write_image(in_tmp / "b/x.png", image.astype(np.uint16) * 257)
    _, out, _ = enhance("score", "a", "b", "--json")
    assert json.loads(out)["mean"]["psnr"] == "inf"


@pytest.mark.parametrize(
    ("break_it", "line"),
    [
        (
            lambda f: write_image(f / "out/1.png", picture(1, height=30)),
            r"out/1\.png: is 64x30, but its partner gt/1\.png is 64x48",
        ),
        (lambda f: (f / "gt/2.png").unlink(), r"out/2\.png: has no partner of that name in gt"),
        (
            lambda f: (f / "out/0.png").write_bytes((f / "out/0.png").read_bytes()[:-200]),
            r"out/0\.png: cannot be read as an image",
        ),
        (
            lambda f: (f / "gt/0.png").write_text("no image"),
            r"gt/0\.png: cannot be read as an image",
        ),
    ],
)
def test_a_bad_file_is_named_before_any_work(folders, enhance, break_it, line):
    break_it(folders)
    status, out, err = enhance("score", "out", "gt", "-o", "results")
    assert status == 2
    faults = [x for x in err.splitlines() if x.startswith("error: ")]
    assert len(faults) == 1

    assert re.search(line, faults[0])
    assert not out
    assert not (folders / "results").exists()


def test_a_place_that_cannot_be_written_is_told_before_any_work(folders, enhance):
    (folders / "file").write_text("")
    status, out, err = enhance("score", "out", "gt", "-o", "file")
    assert (status, out) == (2, "")
    assert "file/scores.json: cannot be written" in err


def test_an_image_that_is_too_small_is_named(folders, enhance):
    for side in ("out", "gt"):
        write_image(folders / side / "2.png", picture(2, 5, 5))
    status, _, err = enhance("score", "out", "gt")
    assert status == 2
    assert "2.png: SSIM needs images of at least 11x11, but got 5x5" in err


def test_folders_that_are_not_there(in_tmp, enhance):
    status, _, err = enhance("score", "nowhere", "gt")
    assert status == 2
    assert "nowhere: no such folder; check the path" in err


def test_capsule_adds_lpips_or_says_why_not(folders, enhance, monkeypatch):
    def unavailable():
        raise UserError("lpips not computed: no weights")

    monkeypatch.setattr("enhancement.scoring.lpips.lpips_network", unavailable)
    _, out, _ = enhance("score", "out", "gt", "--protocol", "capsule")
    assert "LPIPS" in out
    assert "note: lpips not computed: no weights" in out


def test_inputs_that_no_metric_looks_at_are_refused(folders, enhance):
    status, _, err = enhance("score", "out", "gt", "--inputs", "gt")
    assert status == 2
    assert "protocol basicsr compares nothing with --inputs; leave them out" in err
