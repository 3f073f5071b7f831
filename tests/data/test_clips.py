"""Frames of videos: upright, and at their own times."""

import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from helpers import make_clip, picture

from enhancement.data.clips import VIDEO_EXTENSIONS, ClipSource
from enhancement.inference.video_source import VideoSource

MATRIX_AT = 40  # bytes behind the name of an MP4's box `tkhd`
MATRICES = {  # (a, b, c, d) takes (x, y) to (a x + c y, b x + d y), y downwards
    "as it is": ((1, 0, 0, 1), lambda rgb: rgb),
    "turned clockwise": ((0, 1, -1, 0), lambda rgb: np.rot90(rgb, -1)),
    "upside down": ((-1, 0, 0, -1), lambda rgb: np.rot90(rgb, 2)),
    "turned anticlockwise": ((0, -1, 1, 0), lambda rgb: np.rot90(rgb)),
    "mirrored": ((-1, 0, 0, 1), np.fliplr),
    "flipped": ((1, 0, 0, -1), np.flipud),
    "transposed": ((0, 1, 1, 0), lambda rgb: rgb.transpose(1, 0, 2)),
    "transposed the other way": ((0, -1, -1, 0), lambda rgb: np.rot90(rgb, 2).transpose(1, 0, 2)),
}


def display_by(path, matrix):
    """Write a display matrix into an MP4."""
    content = bytearray(path.read_bytes())
    a, b, c, d = matrix
    values = (a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    struct.pack_into(">9i", content, content.index(b"tkhd") + 4 + MATRIX_AT, *values)
    path.write_bytes(content)


@pytest.mark.parametrize("case", MATRICES)
def test_frames_are_upright(tmp_path, case):
    matrix, expected = MATRICES[case]
    make_clip(tmp_path / "a.mp4", [picture(1)])
    (_, plain), *_ = VideoSource(tmp_path / "a.mp4")
    display_by(tmp_path / "a.mp4", matrix)
    (_, shown), *_ = VideoSource(tmp_path / "a.mp4")
    np.testing.assert_array_equal(shown, expected(plain))


def test_a_turn_is_that_of_the_player(tmp_path):
    """A turn without a mirror is what FFmpeg calls its angle, anticlockwise."""
    make_clip(tmp_path / "a.mp4", [picture(1)])
    display_by(tmp_path / "a.mp4", MATRICES["turned clockwise"][0])
    with av.open(str(tmp_path / "a.mp4")) as file:
        assert next(file.decode(video=0)).rotation == -90


@pytest.mark.parametrize("suffix", VIDEO_EXTENSIONS)
def test_any_frame_is_found_in_any_order(tmp_path, suffix):
    """In transport streams too, which have no index, and in AVI with frames stored out of order."""
    encoders = {".webm": "libvpx-vp9", ".mpg": "mpeg2video", ".mpeg": "mpeg2video"}
    pictures = [picture(i) for i in range(40)]
    with av.open(str(tmp_path / f"a{suffix}"), "w") as file:
        stream = file.add_stream(encoders.get(suffix, "libx264"), rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for one in pictures:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(one, "rgb24")))
        file.mux(stream.encode(None))
    source = ClipSource(tmp_path)

    def nearest(found):
        return int(np.argmin([np.abs(found.astype(int) - one).mean() for one in pictures]))

    some = (39, 0, 23, 24, 7)
    assert len(source.names) == 40
    assert [nearest(source.read(source.names[i])) for i in some] == [*some]
    assert [nearest(found) for found in source.walk(source.names)] == [*range(40)]


def test_a_time_given_twice_moves_its_own_frame_alone(tmp_path):
    path, times = tmp_path / "a.mkv", [0, 40, 40, 80, 120, 160]
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for i, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(i), "rgb24")
            frame.pts, frame.time_base = 40 * i, Fraction(1, 1000)
            for packet in stream.encode(frame):
                packet.pts = packet.dts = time
                packet.time_base = Fraction(1, 1000)
                file.mux(packet)
    assert [time for time, _ in VideoSource(path)] == [0, 40, 41, 80, 120, 160]
