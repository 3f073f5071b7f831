"""`enhance bench`: measured or estimated, by which engine."""

import pytest

from enhancement.inference.engines import NAMES


@pytest.mark.parametrize("engine", ["pytorch", "onnx"])
def test_measures_or_estimates(enhance, engine):
    limits = ("--frames", "3", "--seconds", "0.2", "--engine", engine)
    status, out, _ = enhance("bench", "AODNet", "--sizes", "64x48", "4k", *limits)
    assert status == 0
    lines = out.splitlines()
    assert f"AODNet, 8-bit frames in and out, by {NAMES[engine]} on " in lines[0]
    assert lines[2].startswith("64x48")
    assert lines[2].endswith(" 3")
    assert "estimated from 320x192" in lines[3]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "expected the name of a network or --weights, and not both"),
        (["AODNet", "--sizes", "big"], "--sizes: expected 720p, 1080p, 4K or WIDTHxHEIGHT"),
        (["AODNet", "--frames", "0"], "--frames: expected more than 0"),
        (["EDSR"], "EDSR needs arguments (num_in_ch, num_out_ch); give --weights"),
        (["AODNett"], "did you mean 'AODNet'?"),
        (["LNetGIE", "--engine", "onnx"], "--engine onnx: cannot compute LNetGIE"),
    ],
)
def test_mistakes(enhance, arguments, said):
    status, _, err = enhance("bench", *arguments)
    assert status == 2
    assert said in err
