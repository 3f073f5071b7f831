"""`enhance bench`: measured or estimated, by which engine."""

import subprocess
import sys
import time

import cv2
import pytest
import torch

from enhancement.inference.engines import NAMES
from enhancement.inference.speed import OtherLoad


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
        ([], "expected either the name of a network or --weights"),
        (["AODNet", "--sizes", "big"], "--sizes: expected 720p, 1080p, 4K or WIDTHxHEIGHT"),
        (["AODNet", "--frames", "0"], "--frames: expected more than 0"),
        (["AODNet", "--seconds", "nan"], "--seconds: expected more than 0"),
        (["AODNet", "--threads", "0"], "--threads: expected 1 to 1024, but got 0"),
        (["EDSR"], "NETWORK: EDSR.num_in_ch: missing; expected"),
        (["AODNet:width=3"], "NETWORK: AODNet.width: unknown key"),
        (["AODNett"], "did you mean 'AODNet'?"),
        (["LNetGIE", "--engine", "onnx"], "--engine onnx: cannot compute LNetGIE"),
    ],
)
def test_mistakes(enhance, arguments, said):
    status, _, err = enhance("bench", *arguments)
    assert status == 2
    assert said in err


def test_threads_are_those_asked_for(enhance):
    before = torch.get_num_threads()
    try:
        options = ("--threads", "3", "--sizes", "32x32", "--frames", "1")
        _, out, _ = enhance("bench", "AODNet", *options)
        assert ", 3 threads;" in out.splitlines()[0]
        assert cv2.getNumThreads() == 3
        assert "Other programs" in out.splitlines()[-1]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_program_beside_is_seen():
    load = OtherLoad()
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        time.sleep(1)
        other.kill()
    assert "cores busy meanwhile, so these times are too long" in load.said()


def test_nothing_beside_is_said_too(monkeypatch):
    monkeypatch.setattr(OtherLoad, "_busy_seconds", staticmethod(lambda: 0.0))
    assert OtherLoad().said() == "No other program kept the CPU busy meanwhile"
