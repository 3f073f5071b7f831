"""`enhance run` on files made to mislead: the rest is done, the file is named, nothing is black."""

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import picture

from enhancement.data.images import write_image
from enhancement.errors import UserError
from enhancement.inference.image_files import enhance_images
from enhancement.inference.jobs import Job
from enhancement.inference.video_sink import VideoSink
from enhancement.registry import ARCH_REGISTRY, lookup
from enhancement.weights import storage


def write_weights(path, name="LNetGIE", change=lambda parameter: None):
    """A network's weights, each parameter changed in place."""
    torch.manual_seed(0)
    network = lookup(ARCH_REGISTRY, name)()
    for parameter in network.parameters():
        change(parameter.data)
    content = {"params": network.state_dict(), "meta": {"network_g": {"type": name}}}
    storage.save(path, content)
    return path


@pytest.fixture
def run(enhance, in_tmp):
    write_weights(in_tmp / "w.pth")
    return lambda *given: enhance(
        "run", *given, *([] if "--weights" in given else ["--weights", "w.pth"])
    )


def test_one_odd_file_among_many_is_named_and_the_rest_is_done(run, in_tmp):
    for i in range(4):
        write_image(in_tmp / f"in/{2 * i}.png", picture(i))
    for i, suffix in enumerate(("png", "tif", "bmp", "webp", "jpg")):
        (in_tmp / f"in/odd{i}.{suffix}").write_bytes(b"BM" + bytes(range(80)))
    os.mkfifo(in_tmp / "in/5.png")
    (in_tmp / "in/7.png").symlink_to("/dev/zero")
    status, out, err = run("in", "-o", "out")
    assert status == 1
    assert "4 of 9 files" in out
    assert len(err.splitlines()) == 6
    assert sorted(p.name for p in (in_tmp / "out").iterdir()) == [f"{2 * i}.png" for i in range(4)]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_when_read(run, in_tmp, value):
    write_weights(in_tmp / "bad.pth", change=lambda p: p.view(-1)[:1].fill_(value))
    write_image(in_tmp / "a.png", picture(0))
    status, _, err = run("a.png", "-o", "out", "--weights", "bad.pth")
    assert status == 2
    assert "bad.pth: 4 of its 4 tensors hold NaN or infinite numbers" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["AODNet", "HDRNet"])
@pytest.mark.parametrize("engine", ["pytorch", "auto"])
def test_an_output_that_overflows_is_named_and_not_written(run, in_tmp, name, engine):
    write_weights(in_tmp / "huge.pth", name, lambda p: p.fill_(1e38))
    for i in range(2):
        write_image(in_tmp / f"in/{i}.png", picture(i))
    status, _, err = run("in", "-o", "out", "--weights", "huge.pth", "--engine", engine)
    assert status == 1
    for i in range(2):
        assert f"in/{i}.png: the network's output has NaN or infinite numbers" in err
    assert not list((in_tmp / "out").glob("*"))


def test_so_it_is_in_video(run, in_tmp):
    sink = VideoSink(in_tmp / "in.mp4", Fraction(1, 25), Fraction(25))
    for i in range(3):
        sink.write(i, picture(i))
    sink.finish()
    write_weights(in_tmp / "huge.pth", "AODNet", lambda p: p.fill_(1e38))
    status, _, err = run("in.mp4", "-o", "out.mp4", "--weights", "huge.pth")
    assert status == 2
    assert "error: in.mp4: the network's output has NaN" in err
    assert not (in_tmp / "out.mp4").exists()


class Picky:
    """Fails on every batch with a bright frame in it."""

    def together(self, frames):
        if any(frame.max() > 250 for frame in frames):
            raise UserError("too bright")
        return frames


def test_one_bad_image_spoils_no_batch(in_tmp):
    for i, level in enumerate((10, 255, 20)):
        write_image(f"{i}.png", np.full((8, 8, 3), level, np.uint8))
    jobs = [Job(Path(f"{i}.png"), Path(f"out/{i}.png")) for i in range(3)]
    assert enhance_images(jobs, Picky(), batch=3) == ["1.png: too bright"]
    assert sorted(p.name for p in Path("out").iterdir()) == ["0.png", "2.png"]
