"""`enhance run`: folders, resuming, failures, video, a camera."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch
from helpers import ROOT, picture

from enhancement.commands.run import record
from enhancement.data.images import read_image, write_image
from enhancement.errors import UserError
from enhancement.inference import video, video_sink, video_source
from enhancement.inference.frames import FrameEnhancer
from enhancement.registry import ARCH_REGISTRY, lookup
from enhancement.weights import networks, storage
from enhancement.weights.shipped import DEFAULT, DEFAULT_FOR_VIDEO


@pytest.fixture
def weights(in_tmp):
    """LNetGIE's, which brighten or darken nothing much."""
    torch.manual_seed(0)
    network = lookup(ARCH_REGISTRY, "LNetGIE")()
    network.e_conv2.bias.data.fill_(1.2)
    content = {"params": network.state_dict(), "meta": {"network_g": {"type": "LNetGIE"}}}
    storage.save(in_tmp / "w.pth", content)
    return in_tmp / "w.pth"


@pytest.fixture
def run(enhance, weights):
    return lambda *arguments: enhance("run", *arguments, "--weights", weights)


def expected(path, weights):
    return FrameEnhancer(networks.build_from_file(weights)[0])(read_image(path))


@pytest.fixture
def folder(in_tmp):
    (in_tmp / "d.tif").mkdir()
    for i, name in enumerate(("a.png", "deep/b.bmp", "deep/er/c.png", "d.tif")):
        write_image(in_tmp / "in" / name, picture(i, height=30 + 8 * (i % 2)))
    (in_tmp / "in/notes.txt").write_text("not an image")
    return in_tmp / "in"


class TestImages:
    def test_a_folder_keeps_its_structure(self, run, folder, weights):
        status, out, err = run("in", "-o", "out")
        assert (status, err) == (0, "")
        assert "4 of 4 files in" in out
        found = sorted(str(p.relative_to(folder.parent)) for p in folder.parent.rglob("out/**/*.*"))
        assert found == ["out/a.png", "out/d.tif", "out/deep/b.bmp", "out/deep/er/c.png"]
        for name in ("a.png", "deep/b.bmp", "deep/er/c.png", "d.tif"):
            made = read_image(f"out/{name}")
            assert np.array_equal(made, expected(folder / name, weights))
            assert not np.array_equal(made, read_image(folder / name))

    def test_batches_give_the_same(self, run, folder, weights):
        for i in range(5):
            write_image(folder / f"e{i}.png", picture(i))
        assert run("in", "-o", "out", "--batch", 3)[0] == 0
        for i in range(5):
            made = read_image(f"out/e{i}.png").astype(int)
            assert np.abs(made - expected(folder / f"e{i}.png", weights)).max() <= 1

    def test_a_pattern_and_another_format(self, run, folder):
        assert run("in/**/*.bmp", "-o", "out", "--format", "png")[0] == 0
        assert read_image("out/deep/b.png").shape == (38, 64, 3)

    def test_a_single_file_takes_a_name_or_a_folder(self, run, folder):
        assert run("in/a.png", "-o", "new/name.webp")[0] == 0
        assert run("in/a.png", "-o", "new")[0] == 0
        assert read_image("new/name.webp").shape == read_image("new/a.png").shape

    def test_bad_files_are_told_at_the_end_and_the_rest_is_done(self, run, folder):
        (folder / "bad.png").write_bytes(b"\x89PNG nothing")
        (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:200])
        status, out, err = run("in", "-o", "out")
        assert status == 1
        assert "4 of 6 files" in out
        assert "2 could not be enhanced:" in err
        assert "in/bad.png: cannot be read as an image" in err
        assert "in/cut.png: cannot be read as an image" in err

    def test_a_single_bad_file_is_a_mistake(self, run, in_tmp):
        (in_tmp / "bad.png").write_bytes(b"nothing")
        status, _, err = run("bad.png", "-o", "out")
        assert status == 2
        assert err.count("\n") == 1

    def test_resuming_skips_what_is_there(self, run, folder):
        write_image("out/a.png", picture(9))
        status, out, _ = run("in", "-o", "out", "--resume")
        assert status == 0
        assert "3 of 4 files" in out
        assert "1 there already" in out
        assert np.array_equal(read_image("out/a.png"), picture(9))

    def test_resuming_a_pattern_takes_no_output_as_input(self, run, folder):
        assert run("in/**/*.png", "-o", "in/out")[0] == 0
        status, out, _ = run("in/**/*.png", "-o", "in/out", "--resume")
        assert status == 0
        assert "0 of" in out

    def test_a_very_narrow_image_has_a_comparison_of_bounded_size(self, run, in_tmp):
        write_image(in_tmp / "narrow.png", picture(0, 600, 1))
        assert run("narrow.png", "-o", "out", "--compare")[0] == 0
        assert read_image("out/narrow.png_comparison.png").shape == (28 + 2400, 1200, 3)

    def test_comparisons(self, run, folder):
        assert run("in/a.png", "-o", "out", "--compare")[0] == 0
        assert read_image("out/a.png_comparison.png").shape[1] == 1200

    def test_images_that_differ_by_their_ending_have_comparisons_of_their_own(self, run, folder):
        write_image(folder / "a.bmp", picture(5))
        assert run("in/a.*", "-o", "out", "--compare")[0] == 0
        found = sorted(p.name for p in folder.parent.glob("out/*_comparison.png"))
        assert found == ["a.bmp_comparison.png", "a.png_comparison.png"]

    def test_a_comparison_takes_no_image_s_place(self, run, folder):
        write_image(folder / "a.png_comparison.png", picture(5))
        status, _, err = run("in", "-o", "out", "--compare")
        assert status == 2
        assert "out/a.png_comparison.png: both in/a.png and in/a.png_comparison.png would" in err
        write_image("out/d.tif_comparison.png", picture(6))
        status, _, err = run("in/d.tif", "out/d.tif_comparison.png", "-o", "out", "--compare")
        assert status == 2
        assert "out/d.tif_comparison.png: is an input; choose another --out" in err

    def test_resuming_keeps_a_comparison_that_is_there(self, run, folder):
        write_image("out/a.png_comparison.png", picture(9))
        status, out, _ = run("in/a.png", "-o", "out", "--compare", "--resume")
        assert (status, out[:6]) == (0, "1 of 1")
        assert np.array_equal(read_image("out/a.png_comparison.png"), picture(9))

    def test_resuming_makes_a_comparison_that_is_missing(self, run, folder):
        assert run("in", "-o", "out")[0] == 0
        status, _, _ = run("in", "-o", "out", "--compare", "--resume")
        assert status == 0
        assert Path("out/a.png_comparison.png").is_file()
        assert run("in", "-o", "out", "--compare", "--resume")[1].startswith("0 of")

    def test_the_longest_names_that_there_are(self, run, in_tmp):
        name = "n" * 251 + ".png"
        write_image(in_tmp / "in" / "x.png", picture(0))
        (in_tmp / "in/x.png").rename(in_tmp / "in" / name)
        assert run("in", "-o", "out")[0] == 0
        assert [path.name for path in Path("out").iterdir()] == [name]

    @pytest.mark.parametrize(
        ("engine", "name"),
        [("onnx", "ONNX Runtime"), ("pytorch", "PyTorch"), ("auto", "ONNX Runtime")],
    )
    def test_engines_give_the_same_and_are_named(self, enhance, folder, engine, name):
        write_image(folder / "a.png", picture(0, 256, 256))
        torch.manual_seed(0)
        content = lookup(ARCH_REGISTRY, "AODNet")().state_dict()
        storage.save(
            folder.parent / "aod.pth",
            {"params": content, "meta": {"network_g": {"type": "AODNet"}}},
        )
        status, out, err = enhance(
            "run", "in/a.png", "-o", "out", "--weights", "aod.pth", "--engine", engine
        )
        assert (status, err) == (0, "")
        assert f"1 of 1 files in 0.0 s by {name}: out" in re.sub(r"\d\.\d s", "0.0 s", out)
        made = read_image("out/a.png").astype(int)
        assert np.abs(made - expected(folder / "a.png", "aod.pth")).max() <= 1

    def test_an_engine_that_cannot_compute_is_one_line(self, run, folder):
        for options, reason in (
            ([], "cannot compute LNetGIE: Exporting the operator"),
            (["--precision", "bf16"], "cannot compute LNetGIE: ONNX Runtime computes in fp32"),
            (["--max_memory", "4GB"], "cannot compute LNetGIE: only PyTorch's memory"),
        ):
            status, _, err = run("in", "-o", "out", "--engine", "onnx", *options)
            assert status == 2
            assert f"error: --engine onnx: {reason}" in err
            assert err.count("\n") == 1

    def test_memory_limits_and_averages_are_taken(self, run, folder):
        status, *_ = run("in/a.png", "-o", "out", "--max_memory", "16GB", "--self_ensemble")
        assert status == 0


MISTAKES = [
    (["in", "-o", "in"], "--out in: is or holds the input in; choose another folder"),
    (["in/deep", "-o", "in"], "is or holds the input in/deep"),
    (["in/a.png", "-o", "in"], "in/a.png: is an input; choose another --out"),
    (["in/*.png", "-o", "in"], "is an input"),
    (["in", "-o", "out.png"], "--out out.png: expected a folder for the files of in"),
    (["no.png", "-o", "out"], "no.png: no such file or folder"),
    (["in/notes.txt", "-o", "out"], "in/notes.txt: expected images (.png"),
    (["*.tif", "-o", "out"], "*.tif: nothing to enhance there"),
    (["in/a.png", "-o", "out.mp4"], "out.mp4: expected an image's name"),
    (["in/a.png", "-o", "b.bmp", "--format", "jpg"], "--format jpg: but --out is b.bmp"),
    (["in", "-o", "out", "--max_memory", "few"], "expected memory as 4GB"),
    (["in", "-o", "out", "--device", "tpu"], "--device: expected auto, cpu, cuda or cuda:N"),
    (["in", "-o", "out", "--device", "cuda:99"], "--device cuda:99: there are "),
    (["in", "-o", "out", "--batch", "0"], "--batch: expected at least 1"),
    (["in", "-o", "out", "--seconds", "5"], "--seconds: is for a camera, and there is none"),
    (["in", "-o", "out", "--smoothing", "0.5"], "--smoothing is for video"),
    (
        ["0", "-o", "x.mp4", "--smoothing", "0.5", "--engine", "onnx"],
        "--smoothing needs PyTorch's bilateral grid; leave out --engine onnx",
    ),
    (
        ["in", "-o", "in/notes.txt"],
        "in/notes.txt/a.png: cannot be written (in/notes.txt is not a folder)",
    ),
    (["in", "-o", "in/notes.txt/deep"], "(in/notes.txt is not a folder)"),
    (["in/d.tif", "-o", "."], "d.tif: cannot be written (is a folder)"),
    (["0", "-o", "in/notes.txt/x.mp4"], "(in/notes.txt is not a folder)"),
    (["in/a.png", "-o", "-", "--compare"], "--compare: is for files, not for a camera or a pipe"),
]


@pytest.mark.parametrize(("arguments", "said"), MISTAKES)
def test_mistakes_are_one_line_before_any_work(run, folder, arguments, said):
    before = sorted(folder.parent.rglob("*"))
    status, _, err = run(*arguments)
    assert status == 2
    assert said in err
    assert err.count("\n") == 1
    assert sorted(folder.parent.rglob("*")) == before


class TestWithoutWeights:
    def test_a_classic_is_named_with_its_arguments(self, enhance, folder):
        status, out, err = enhance("run", "in", "-o", "out", "--network", "Gamma:gamma=0.5")
        assert (status, err) == (0, "")
        assert "4 of 4 files" in out
        dark = read_image(folder / "a.png") / 255
        assert np.abs(read_image("out/a.png") / 255 - dark**0.5).max() <= 0.5 / 255 + 1e-6

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--network", "HDRNet"], "error: HDRNet has weights; give --weights FILE"),
            (["--network", "Gama"], "--network: unknown arch 'Gama'; did you mean 'Gamma'?"),
            (
                ["--network", "LIME:gama=1"],
                "--network: LIME.gama: unknown key; did you mean 'gamma'?",
            ),
            (["--network", "LIME:gamma=x"], "LIME.gamma: expected a valid number, but got 'x'"),
            (["--network", "LIME:gamma=2"], "LIME: Expected `gamma` to be in (0, 1], but got 2"),
            (["--network", "LIME:gamma=["], "--network: LIME.gamma:1: not valid YAML"),
            (["--network", "LIME:gamma"], "expected NAME:key=value, each key once, but got 'LIME:"),
            (["--network", "LIME:type=DCP"], "expected NAME:key=value, each key once"),
            (["--network", "DCP", "--weights", "w.pth"], "or --network NAME, but got both"),
            (["--network", "LIME", "--max_memory", "4GB"], "LIME must see the whole image"),
        ],
    )
    def test_mistakes_are_one_line_before_any_work(self, enhance, folder, arguments, said):
        status, _, err = enhance("run", "in", "-o", "out", *arguments)
        assert status == 2
        assert said in err
        assert err.splitlines()[-1].startswith("error: ")
        assert err.count("error: ") == 1
        assert not (folder.parent / "out").exists()


def test_two_inputs_of_one_output_are_refused(run, folder):
    write_image(folder / "a.bmp", picture(0))
    status, _, err = run("in", "-o", "out", "--format", "png")
    assert status == 2
    assert "out/a.png: both in/a.bmp and in/a.png would be written there" in err


def make_video(path, times=range(0, 20), sound=True, size=(64, 48), rate=Fraction(25)):
    """Frames at times in hundredths of a second, or at the rate; AAC beside it."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=rate, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 100)
        heard = file.add_stream("aac", rate=44100, layout="mono") if sound else None
        for i, at in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(i, size[1], size[0]), "rgb24")
            frame.pts, frame.time_base = at, Fraction(1, 100)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
        for start in range(0, 44100 if sound else 0, 1024):
            tone = np.sin(np.arange(start, start + 1024)[None] / 20).astype(np.float32)
            block = av.AudioFrame.from_ndarray(tone, "fltp", "mono")
            block.sample_rate, block.pts = 44100, start
            file.mux(heard.encode(block))
        if sound:
            file.mux(heard.encode(None))


def facts(path):
    """Size, times of the frames, and the packets of the sound."""
    with av.open(str(path)) as file:
        times = [round(frame.time, 3) for frame in file.decode(video=0)]
        size = (file.streams.video[0].width, file.streams.video[0].height)
    with av.open(str(path)) as file:
        sound = [bytes(p) for s in file.streams.audio for p in file.demux(s) if p.dts is not None]
    return size, times, sound


VARIABLE = [0, 4, 5, 11, 30, 31, 60, 64, 70, 99]


class TestVideo:
    @pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
    def test_times_sound_and_size_stay(self, run, in_tmp, suffix):
        make_video(f"in.{suffix}", VARIABLE)
        status, out, err = run(f"in.{suffix}", "-o", f"out.{suffix}", "--engine", "pytorch")
        assert (status, err) == (0, "")
        assert "10 frames" in out
        assert facts(f"out.{suffix}") == facts(f"in.{suffix}")
        assert len(facts(f"out.{suffix}")[2]) > 40

    def test_video_has_a_default_of_its_own(self, enhance, in_tmp):
        make_video("in.mp4", sound=False)
        write_image(in_tmp / "in.png", picture(0))
        said = "which come with this package\n"
        status, _, err = enhance("run", "in.mp4", "-o", "alone.mp4")
        assert (status, err) == (0, f"Weights: {DEFAULT_FOR_VIDEO}, {said}")
        status, out, err = enhance("run", "in.mp4", "in.png", "-o", "out")
        assert (status, err) == (0, f"Weights: {DEFAULT} and {DEFAULT_FOR_VIDEO}, {said}")
        assert "2 of 2 files" in out
        assert enhance("run", "in.png", "-o", "alone.png", "--weights", DEFAULT)[0] == 0
        for name in ("png", "mp4"):
            assert Path(f"out/in.{name}").read_bytes() == Path(f"alone.{name}").read_bytes()

    def test_the_shape_of_pixels_stays(self, run, in_tmp):
        with av.open("in.mp4", "w") as file:
            stream = file.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture(0), "rgb24")))
            file.mux(stream.encode(None))
        assert run("in.mp4", "-o", "out.mkv")[0] == 0
        with av.open("out.mkv") as file:
            assert file.streams.video[0].sample_aspect_ratio == Fraction(4, 3)

    def test_a_last_frame_that_is_shown_long_is_no_damage(self, run, in_tmp):
        with av.open("in.mkv", "w") as file:
            stream = file.add_stream("libx264", rate=30)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            packets = [
                p
                for i in range(20)
                for p in stream.encode(av.VideoFrame.from_ndarray(picture(i), "rgb24"))
            ]
            packets += stream.encode(None)
            max(packets, key=lambda p: p.pts).duration = 30 * 10
            file.mux(packets)
        source = video_source.VideoSource(in_tmp / "in.mkv")
        assert source.seconds > 10
        assert len(list(source)) == 20

    def test_a_picture_that_begins_after_the_sound_is_no_damage(self, run, in_tmp):
        make_video("in.mkv", times=range(1000, 1032, 4))
        assert run("in.mkv", "-o", "out.mkv")[::2] == (0, "")
        assert facts("out.mkv")[:2] == facts("in.mkv")[:2]

    def test_lost_transparency_is_named(self, run, in_tmp):
        with av.open("in.mov", "w") as file:
            stream = file.add_stream("prores_ks", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuva444p10le"
            frame = av.VideoFrame.from_ndarray(picture(0), "rgb24").reformat(format="yuva444p10le")
            file.mux([*stream.encode(frame), *stream.encode(None)])
        status, _, err = run("in.mov", "-o", "out.mov")
        assert status == 0
        assert "transparency" in err

    @pytest.mark.parametrize(
        ("given", "size", "expected"),
        [
            ("yuv420p", (64, 48), "yuv420p"),
            ("yuv422p", (64, 48), "yuv422p"),
            ("yuv422p", (64, 47), "yuv422p"),
            ("yuv444p", (64, 48), "yuv444p"),
            ("yuv411p", (64, 48), "yuv422p"),
            ("yuv440p", (64, 48), "yuv444p"),
            ("yuv422p10le", (64, 48), "yuv422p10le"),
            ("gray", (64, 48), "yuv420p"),
            ("bgra", (64, 48), "yuv420p"),
            ("yuv420p", (64, 47), "yuv444p"),
        ],
    )
    def test_colour_sampling_stays(self, run, in_tmp, given, size, expected):
        with av.open("in.mkv", "w") as file:
            stream = file.add_stream("ffv1", rate=25)
            stream.width, stream.height, stream.pix_fmt = *size, given
            rgb = av.VideoFrame.from_ndarray(picture(0, *size[::-1]), "rgb24")
            file.mux([*stream.encode(rgb.reformat(format=given)), *stream.encode(None)])
        assert run("in.mkv", "-o", "out.mkv")[0] == 0
        with av.open("out.mkv") as file:
            assert file.streams.video[0].codec_context.pix_fmt == expected

    def test_frames_that_are_turned_keep_their_colours(self):
        stored = SimpleNamespace(sampling="422", stream=SimpleNamespace(height=48, width=64))
        assert video_sink.sampling_for(stored, 48, 64) == "422"
        assert video_sink.sampling_for(stored, 64, 48) == "444"

    def test_an_unknown_codec_is_one_line_and_the_rest_is_done(self, run, folder):
        make_video("in/odd.mp4", sound=False)
        data = Path("in/odd.mp4").read_bytes()
        Path("in/odd.mp4").write_bytes(data.replace(b"avc1", b"zzzz"))
        status, out, err = run("in", "-o", "out")
        assert status == 1
        assert "in/odd.mp4: its video codec is not known here" in err
        assert "4 of 5 files" in out

    def test_odd_sizes_stay(self, run, in_tmp):
        frames = [picture(i, 45, 63) for i in range(3)]
        sink = video_sink.VideoSink(in_tmp / "in.mp4", Fraction(1, 25), Fraction(25))
        for i, frame in enumerate(frames):
            sink.write(i, frame)
        sink.finish()
        assert run("in.mp4", "-o", "out.mp4")[0] == 0
        assert facts("out.mp4")[0] == (63, 45)

    def test_colours_stay(self, in_tmp):
        """Frames that nobody enhances come back as they were, but for the encoder."""
        make_video("in.mp4", range(0, 40, 4), sound=False)
        source = video_source.VideoSource(in_tmp / "in.mp4")
        video.enhance_video(source, in_tmp / "out.mp4", lambda frame: frame, lambda: None)
        both = (video_source.VideoSource(in_tmp / name) for name in ("in.mp4", "out.mp4"))
        for (_, a), (_, b) in zip(*both, strict=True):
            assert np.abs(a.mean((0, 1)) - b.mean((0, 1))).max() < 2

    def test_our_own_output_is_enhanced_again(self, run, in_tmp):
        """Also in AVI, which has no timestamps, and from one whose frames are stored out of order.

        Of the latter a decoder gives the times in the order of storage.
        """
        make_video("in.avi", range(0, 100, 4), sound=False)
        with av.open("in.avi") as file:
            times = [frame.pts for frame in file.decode(video=0)]
        assert times != sorted(set(times))
        for given, made in (("in.avi", "a.avi"), ("a.avi", "b.avi"), ("b.avi", "c.mp4")):
            assert run(given, "-o", made, "--engine", "pytorch")[0] == 0
            steps = np.diff(facts(made)[1])
            assert steps[:-1] == pytest.approx(np.full(23, 0.04))
            assert steps[-1] > 0  # in.avi itself has another time for its last frame

    @pytest.mark.parametrize(
        "rate", [Fraction(10), Fraction(30000, 1001), Fraction(240), Fraction(1000)]
    )
    def test_avi_keeps_the_rate_and_the_number_of_frames(self, run, in_tmp, rate):
        made = video_sink.VideoSink(in_tmp / "in.mkv", Fraction(1, 1000), rate)
        for i in range(12):
            made.write(round(1000 * i / rate), picture(i))
        made.finish()
        assert run("in.mkv", "-o", "out.avi", "--engine", "pytorch")[::2] == (0, "")
        with av.open("out.avi") as file:
            stream = file.streams.video[0]
            assert (stream.average_rate, stream.frames) == (rate, 12)

    def test_avi_begins_with_what_its_source_begins_with(self, run, in_tmp):
        """A source whose times begin at 12 s, as a recorder's do, and not on a frame's place."""
        make_video("in.mkv", range(1202, 1242, 4), sound=False)
        status, _, err = run("in.mkv", "-o", "out.avi", "--engine", "pytorch")
        assert (status, err) == (0, "")
        with av.open("out.avi") as file:
            assert file.streams.video[0].frames == 10

    def test_avi_has_no_place_for_uneven_times_and_says_so(self, run, in_tmp):
        make_video("in.mkv", VARIABLE, sound=False)
        status, _, err = run("in.mkv", "-o", "out.avi", "--engine", "pytorch")
        assert status == 0
        assert err == "out.avi: .avi does not take the times of frames at a varying rate\n"
        assert len(facts("out.avi")[1]) == len(VARIABLE)

    def test_a_recorders_video_becomes_mp4(self, run, in_tmp):
        (in_tmp / "in").mkdir()
        make_video("in/film.mts", range(0, 40, 4))
        (in_tmp / "in/stream.mxf").touch()
        status, _, err = run("in", "-o", "out", "--engine", "pytorch")
        assert status == 1
        assert "in/stream.mxf: .mxf is not read; expected images (" in err
        assert len(facts("out/film.mp4")[1]) == 10
        assert facts("out/film.mp4")[2]

    def test_sound_that_a_container_does_not_take_is_one_line(self, run, in_tmp):
        make_video("in.mp4")
        status, _, err = run("in.mp4", "-o", "out.webm", "--engine", "pytorch")
        assert status == 2
        assert err.endswith(
            "out.webm: .webm does not take audio 1 (aac, und); name an .mkv file, which does\n"
        )
        assert not (in_tmp / "out.webm").exists()

    def test_a_cut_off_video_is_one_line_and_leaves_nothing(self, run, in_tmp):
        make_video("in.mkv", range(0, 1200, 4), sound=False)
        (in_tmp / "cut.mkv").write_bytes((in_tmp / "in.mkv").read_bytes()[:60_000])
        status, _, err = run("cut.mkv", "-o", "out.mkv", "--engine", "pytorch")
        assert status == 2
        assert "cut.mkv: is damaged or cut off after" in err
        assert err.count("\n") == 1
        assert not [p for p in in_tmp.iterdir() if "out" in p.name]

    def test_a_place_that_cannot_be_written_is_one_line(self, run, in_tmp):
        make_video("in.mp4", sound=False)
        status, _, err = run("in.mp4", "-o", "w.pth/x.mp4")
        assert status == 2
        assert "w.pth/x.mp4: cannot be written (w.pth is not a folder)" in err
        with pytest.raises(UserError, match="cannot be written"):
            video_sink.VideoSink(in_tmp / "w.pth/x.mp4", Fraction(1, 25), Fraction(25))

    @pytest.mark.parametrize(
        ("kept", "target", "files"),
        [
            (None, "out.mkv", 2),
            (60_000, "out.mkv", 2),
            (None, "w.pth/x.mkv", 1),
        ],
    )
    def test_what_is_read_is_closed_also_where_it_fails(
        self, in_tmp, weights, monkeypatch, kept, target, files
    ):
        make_video("whole.mkv", range(0, 1200, 4))
        (in_tmp / "in.mkv").write_bytes((in_tmp / "whole.mkv").read_bytes()[:kept])
        opened, really = [], av.open
        monkeypatch.setattr(
            video_source.av,
            "open",
            lambda *name, **how: opened.append((name, really(*name, **how))) or opened[-1][1],
        )
        source = video_source.VideoSource(in_tmp / "in.mkv")
        with suppress(UserError):
            video.enhance_video(source, in_tmp / target, lambda frame: frame, lambda: None)
        read = [container for name, container in opened if len(name) == 1]
        assert len(read) == files
        for container in read:
            with pytest.raises(AssertionError, match="not open"):
                container.size  # noqa: B018

    def test_what_is_no_video_is_one_line(self, run, in_tmp):
        (in_tmp / "in.mp4").write_bytes(b"no video at all" * 100)
        status, _, err = run("in.mp4", "-o", "out.mp4")
        assert status == 2
        assert "in.mp4: cannot be read as a video" in err
        assert err.count("\n") == 1


class FakeCamera:
    """Eight frames, in blue, green, red."""

    def __init__(self, index):
        self.left = 8 if index == 0 else 0

    def isOpened(self):  # noqa: N802
        return self.left > 0

    def get(self, _):
        return 30.0

    def read(self):
        self.left -= 1
        time.sleep(0.004)
        return self.left >= 0, np.full((48, 64, 3), (200, 100, 50), np.uint8)

    def release(self):
        pass


class TestCamera:
    @pytest.fixture(autouse=True)
    def fake(self, monkeypatch):
        monkeypatch.setattr(video_source.cv2, "VideoCapture", FakeCamera)

    @pytest.mark.parametrize("flag", ["--compare", "--resume"])
    def test_what_is_for_files_is_refused(self, run, flag):
        assert f"{flag}: is for files" in run("0", "-o", "cam.mp4", flag)[2]

    def test_what_the_network_loads_takes_no_time_of_the_recording(self, in_tmp):
        class SlowAtFirst:
            calls = 0

            def __call__(self, frame):
                self.calls += 1
                time.sleep(0.5 * (self.calls == 1))
                return frame

            def reset(self):
                pass

        record(video_source.Camera(0), in_tmp / "cam.mp4", SlowAtFirst())
        times = facts(in_tmp / "cam.mp4")[1]
        assert len(times) == 8
        assert times[-1] < 0.45

    def test_is_recorded(self, run, in_tmp):
        status, out, _ = run("0", "-o", "cam.mp4")
        assert status == 0
        assert "Written: cam.mp4" in out
        size, times, _ = facts("cam.mp4")
        assert size == (64, 48)
        assert len(times) == 8
        assert all(b > a for a, b in pairwise(times))

    def test_none_there_is_one_line(self, run):
        status, _, err = run("7", "-o", "cam.mp4")
        assert status == 2
        assert "camera 7: cannot be opened" in err


def test_ctrl_c_leaves_whole_files_and_130(folder, weights):
    write_image(folder / "m.png", picture(0, 300, 400))
    for i in range(300):
        shutil.copy(folder / "m.png", folder / f"m{i:03}.png")
    command = [sys.executable, "-m", "enhancement", "run", "in", "-o", "out"]
    command += ["--engine", "pytorch", "--weights", str(weights)]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    out = folder.parent / "out"
    while process.poll() is None and not (out.is_dir() and len(list(out.iterdir())) > 3):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert process.stderr.read() == "Stopped by Ctrl-C\n"
    made = list(out.rglob("*.*"))
    assert 3 < len(made) < 300
    for path in made:
        assert not path.name.startswith(".")
        assert read_image(path).ndim == 3
