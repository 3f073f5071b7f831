"""Frames: the fused pass against the ordinary one, streams, flicker."""

import threading
import time

import numpy as np
import pytest
import torch

from enhancement.archs.hdrnet_arch import HDRNet
from enhancement.errors import UserError
from enhancement.inference.frames import FrameEnhancer
from enhancement.inference.run import enhance
from enhancement.inference.stream import enhance_frames, read_ahead
from enhancement.registry import ARCH_REGISTRY, lookup

MODES = {
    "affine": {},
    "illumination": {"mode": "illumination", "fusion": "concat"},
    "pointwise": {"mode": "illumination", "guide": "pointwise"},
    "deep": {"trunk": "deep", "batch_norm": True},
}


def network(**arguments):
    torch.manual_seed(0)
    made = HDRNet(**{"low_resolution": 64, **arguments}).eval()
    for parameter in made.parameters():
        parameter.data += 0.03 * torch.randn(parameter.shape)
    return made


def frame(height=73, width=131, dtype=np.uint8, seed=0):
    rng = np.random.default_rng(seed)
    levels = 255 if dtype == np.uint8 else 65535
    made = rng.integers(0, levels + 1, (height, width, 3))
    made[:9], made[9:15], made[15:20] = 0, levels, levels // 200
    return (made / levels).astype(np.float32) if dtype == np.float32 else made.astype(dtype)


def by_tensors(made, image, levels):
    with torch.inference_mode():
        x = torch.from_numpy(image.astype(np.float32) / np.float32(levels))
        return made(x.permute(2, 0, 1)[None])[0].clamp(0, 1).permute(1, 2, 0).numpy()


@pytest.mark.parametrize("mode", MODES)
class TestFusedFrame:
    def test_equals_the_ordinary_path_within_a_level(self, mode):
        made, image = network(**MODES[mode]), frame()
        expected = np.round(by_tensors(made, image, 255) * 255).astype(int)
        enhanced = FrameEnhancer(made)(image)
        assert enhanced.dtype == np.uint8
        assert np.abs(enhanced.astype(int) - expected).max() <= 1
        assert (enhanced != expected).mean() < 0.001

    def test_floats_equal_the_ordinary_path(self, mode):
        made, image = network(**MODES[mode]), frame(dtype=np.float32)
        expected, enhanced = by_tensors(made, image, 1), FrameEnhancer(made)(image)
        # where S is small, I / S turns an error of S into one of that much more
        limit = 1e-5 if made.mode == "affine" else 1e-5 * (1 + expected / np.maximum(image, 4e-3))
        assert (np.abs(enhanced - expected) <= limit).all()

    def test_sixteen_bits_stay_sixteen_bits(self, mode):
        made, image = network(**MODES[mode]), frame(dtype=np.uint16)
        enhanced = FrameEnhancer(made)(image)
        assert enhanced.dtype == np.uint16
        expected = by_tensors(made, image, 65535) * 65535
        assert np.abs(enhanced - expected).max() < 60
        assert len(np.unique(enhanced)) > 1000

    def test_black_stays_finite(self, mode):
        black = np.zeros((40, 50, 3), np.float32)
        assert np.isfinite(FrameEnhancer(network(**MODES[mode]))(black)).all()


def test_illumination_mode_only_brightens_and_keeps_black():
    enhanced = FrameEnhancer(network(**MODES["illumination"]))(frame(dtype=np.float32))
    image = frame(dtype=np.float32)
    assert (enhanced >= image - 1e-6).all()
    assert (enhanced[:9] == 0).all()


@pytest.mark.parametrize("name", ["AODNet", "RetinexFormer"])
def test_other_networks_take_the_ordinary_path(name):
    torch.manual_seed(0)
    made, image = lookup(ARCH_REGISTRY, name)().eval(), frame(37, 45)
    with torch.inference_mode():
        x = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
        expected = enhance(made, x)[0].clamp(0, 1).permute(1, 2, 0).numpy() * 255
    assert np.abs(FrameEnhancer(made)(image) - expected).max() <= 0.5 + 1e-3


@pytest.mark.parametrize(
    ("image", "text"),
    [
        (np.zeros((4, 5), np.uint8), r"but got \(4, 5\) of uint8"),
        (np.zeros((4, 5, 4), np.uint8), r"\(4, 5, 4\)"),
        (np.zeros((4, 5, 3), np.int64), "of int64"),
    ],
)
def test_wrong_frames_are_named(image, text):
    with pytest.raises(UserError, match=text):
        FrameEnhancer(network())(image)


def test_smoothing_wants_a_grid_and_a_share():
    with pytest.raises(UserError, match="but this is AODNet; use weights"):
        FrameEnhancer(lookup(ARCH_REGISTRY, "AODNet")(), smoothing=0.5)
    with pytest.raises(UserError, match=r"smoothing must be in \[0, 1\)"):
        FrameEnhancer(network(), smoothing=1.0)


def noisy_scene(count):
    """A static scene under changing noise."""
    rng = np.random.default_rng(0)
    scene = 30 + 40 * np.random.default_rng(9).random((6, 8, 3)).repeat(12, 0).repeat(12, 1)
    for _ in range(count):
        noise = 8 * rng.standard_normal(scene.shape)
        yield np.clip(scene + noise, 0, 255).astype(np.uint8)


def flicker(smoothing):
    made = network(**MODES["illumination"])
    made.coefficients.project.weight.data *= 30  # a grid that follows its input closely
    enhancer = FrameEnhancer(made, smoothing=smoothing)
    means = np.array([enhancer(f).mean() for f in noisy_scene(40)])
    return np.abs(np.diff(means)).mean()


def test_smoothing_takes_flicker_away():
    """Mean brightness changes less from frame to frame."""
    plain, smooth = flicker(0.0), flicker(0.8)
    assert plain > 0
    assert smooth < 0.5 * plain


def test_a_scene_cut_starts_afresh():
    made = network(**MODES["illumination"])
    scene, other = frame(seed=1), 255 - frame(seed=1)
    enhancer = FrameEnhancer(made, smoothing=0.9)
    enhancer(scene)
    np.testing.assert_array_equal(enhancer(other), FrameEnhancer(made)(other))
    enhancer(scene)  # another cut
    enhancer.reset()
    np.testing.assert_array_equal(enhancer(scene), FrameEnhancer(made)(scene))


def test_smoothing_is_an_exponential_average():
    made = network(mode="affine")
    first, second = (np.full((64, 64, 3), v, np.uint8) for v in (100, 110))
    enhancer = FrameEnhancer(made, smoothing=0.75)
    enhancer(first)
    enhancer(second)
    grids = [made.coefficients(torch.full((1, 3, 64, 64), v / 255)) for v in (100, 110)]
    torch.testing.assert_close(enhancer._grid, 0.75 * grids[0] + 0.25 * grids[1])


class TestStreams:
    def test_frames_come_in_order(self):
        frames = [np.full((4, 4, 3), i, np.uint8) for i in range(20)]
        done = list(enhance_frames(iter(frames), lambda f: f + 1))
        assert [f[0, 0, 0] for f in done] == list(range(1, 21))

    def test_stages_overlap(self):
        """Three stages of 10 ms each on 20 frames: 0.6 s in turn, 0.2 s at once."""

        def slow(frames):
            for f in frames:
                time.sleep(0.01)
                yield f

        def enhance(f):
            time.sleep(0.01)
            return f

        threads = set()
        began = time.perf_counter()
        for _ in slow(enhance_frames(slow(range(20)), enhance)):
            threads.add(threading.current_thread().name)
        assert time.perf_counter() - began < 0.5
        assert len(threads) == 1

    def test_few_frames_wait(self):
        taken = []

        def source():
            for i in range(1000):
                taken.append(i)
                yield i

        stream = read_ahead(source(), ahead=3)
        assert next(stream) == 0
        time.sleep(0.3)
        assert len(taken) <= 6
        stream.close()
        time.sleep(0.3)
        assert not [t for t in threading.enumerate() if t.name == "read_ahead"]

    def test_what_is_no_stream_is_refused_at_once(self):
        with pytest.raises(TypeError, match="not iterable"):
            next(read_ahead(object()))

    @pytest.mark.parametrize("where", ["decoding", "enhancing"])
    def test_errors_arrive_where_the_frame_would_have(self, where):
        def frames():
            for i in range(5):
                if where == "decoding" and i == 3:
                    raise UserError("frame 3: cannot be decoded")
                yield i

        def enhance(i):
            if where == "enhancing" and i == 3:
                raise UserError("frame 3: cannot be enhanced")
            return i

        stream = enhance_frames(frames(), enhance)
        assert [next(stream) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(UserError, match="frame 3"):
            next(stream)
