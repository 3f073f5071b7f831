"""The other streams of a video file are kept, or named."""

from fractions import Fraction

import av
import numpy as np
import pytest
from av.stream import Disposition
from helpers import picture

from enhancement.errors import UserError
from enhancement.inference.jobs import plan
from enhancement.inference.video import enhance_video
from enhancement.inference.video_sink import VideoSink
from enhancement.inference.video_source import VideoSource

SUBTITLES = "1\n00:00:00,100 --> 00:00:00,300\nhello\n\n2\n00:00:00,400 --> 00:00:00,900\nworld\n"
FONT = b"a font" * 20


@pytest.fixture
def film(in_tmp):
    """A second with two languages, forced subtitles, a font and two chapters."""
    (in_tmp / "s.srt").write_text(SUBTITLES)
    with av.open("film.mkv", "w") as file, av.open("s.srt") as texts:
        shown = file.add_stream("libx264", rate=25)
        shown.width, shown.height, shown.pix_fmt = 64, 48, "yuv420p"
        heard = [file.add_stream("aac", rate=44100, layout="mono") for _ in range(2)]
        heard[0].metadata["language"] = "eng"
        heard[1].metadata.update(language="deu", title="commentary")
        heard[1].disposition = Disposition.comment
        read = file.add_stream_from_template(texts.streams[0])
        read.metadata["language"] = "fra"
        read.disposition = Disposition.forced
        file.add_attachment("font.ttf", "font/ttf", FONT)
        second = {"time_base": Fraction(1, 1000), "metadata": {"title": "The end"}}
        first = {**second, "metadata": {"title": "The beginning"}}
        file.set_chapters(
            [
                {"id": 1, "start": 0, "end": 500, **first},
                {"id": 2, "start": 500, "end": 1000, **second},
            ]
        )
        for i in range(25):
            file.mux(shown.encode(av.VideoFrame.from_ndarray(picture(i), "rgb24")))
        file.mux(shown.encode(None))
        for k, stream in enumerate(heard, 1):
            for start in range(0, 44100, 1024):
                tone = np.sin(np.arange(start, start + 1024)[None] * k / 20).astype(np.float32)
                block = av.AudioFrame.from_ndarray(tone, "fltp", "mono")
                block.sample_rate, block.pts = 44100, start
                file.mux(stream.encode(block))
            file.mux(stream.encode(None))
        for packet in texts.demux():
            if packet.dts is not None:
                packet.stream = read
                file.mux(packet)
    return in_tmp / "film.mkv"


def streams(path):
    """Type, language, title, disposition and packets of each stream; titles of the chapters."""
    with av.open(str(path)) as file:
        packets = {stream.index: [] for stream in file.streams}
        flowing = [s for s in file.streams if s.type in ("audio", "subtitle")]
        for packet in file.demux(*flowing):
            if packet.dts is not None:
                packets[packet.stream.index].append(bytes(packet))
        found = [
            (
                stream.type,
                stream.metadata.get("language"),
                stream.metadata.get("title"),
                stream.disposition,
                stream.metadata.get("filename"),
                packets[stream.index],
            )
            for stream in file.streams
            if stream.type != "video"
        ]
        return found, [chapter["metadata"]["title"] for chapter in file.chapters()]


def copied(film, name, **more):
    target = film.with_name(name)
    return enhance_video(VideoSource(film), target, lambda frame: frame, lambda: None, **more)


def test_a_container_of_the_same_kind_keeps_everything(film):
    assert copied(film, "out.mkv") == []
    assert streams("out.mkv") == streams(film)
    found, chapters = streams(film)
    assert [stream[:3] for stream in found] == [
        ("audio", "eng", None),
        ("audio", "deu", "commentary"),
        ("subtitle", "fra", None),
        ("attachment", None, None),
    ]
    assert len(found[2][5]) == 2
    assert chapters == ["The beginning", "The end"]


def test_another_container_keeps_what_it_takes_and_the_rest_is_named(film):
    assert copied(film, "out.mp4") == ["subtitle 3 (srt, fra)", "attachment 4 (font.ttf)"]
    found, chapters = streams("out.mp4")
    assert [(kind, language) for kind, language, *_ in found[:2]] == [
        ("audio", "eng"),
        ("audio", "deu"),
    ]
    assert [stream[5] for stream in found[:2]] == [stream[5] for stream in streams(film)[0][:2]]
    assert chapters == ["The beginning", "The end"]
    assert "chapters" in copied(film, "out.avi")


def test_a_comparison_shows_both_side_by_side(film, enhance):
    job = plan([str(film)], "out.mkv", compare=True).jobs[0]
    assert job.comparison.name == "out.mkv_comparison.mkv"
    source = VideoSource(film)
    enhance_video(source, job.target, np.zeros_like, lambda: None, job.comparison)
    frames = [frame for _, frame in VideoSource(job.comparison)]
    assert len(frames) == 25
    assert frames[3].shape == (48, 128, 3)
    assert np.abs(frames[3][:, :60].astype(int) - picture(3)[:, :60]).mean() < 12
    assert frames[3][:, 68:].max() < 24


def test_the_command_names_what_is_lost(film, enhance):
    status, _, err = enhance("run", film, "-o", "out.mp4", "--network", "Gamma", "--compare")
    assert status == 0
    line = "out.mp4: .mp4 does not take subtitle 3 (srt, fra), attachment 4 (font.ttf)\n"
    assert line in err


def test_transparency_beside_the_pictures_of_a_webm_is_named(in_tmp):
    with av.open("in.webm", "w") as file:
        stream = file.add_stream("libvpx-vp9", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuva420p"
        stream.metadata["alpha_mode"] = "1"
        for i in range(3):
            rgba = np.dstack((picture(i), np.full((48, 64), 90, np.uint8)))
            frame = av.VideoFrame.from_ndarray(rgba, "rgba").reformat(format="yuva420p")
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    assert copied(in_tmp / "in.webm", "out.webm") == ["transparency"]


def test_10_bits_into_webm_are_refused_before_any_frame(in_tmp):
    sink = VideoSink(in_tmp / "deep.mkv", Fraction(1, 25), Fraction(25))
    for i in range(3):
        sink.write(i, picture(i).astype(np.uint16) * 257)
    sink.finish()
    source = VideoSource(in_tmp / "deep.mkv")
    assert source.deep
    with pytest.raises(UserError, match=r"out\.webm: the video has more than 8 bits .*\.mkv"):
        enhance_video(source, in_tmp / "out.webm", lambda frame: frame, lambda: None)
    assert source.frames_read == 0
    assert [path.name for path in in_tmp.iterdir()] == ["deep.mkv"]
