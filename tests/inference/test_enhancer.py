"""`enhancement.load`: images of every form, given back as what they were."""

import copy
import multiprocessing
import pickle

import numpy as np
import pytest
import torch
from helpers import picture
from PIL import Image

import enhancement
from enhancement.errors import UserError
from enhancement.inference.export import export

WEIGHTS = "aod_net_gastroscopy"


@pytest.fixture(scope="module")
def bright():
    return enhancement.load(WEIGHTS)


@pytest.fixture(scope="module")
def image():
    return picture(3, 24, 32)


@pytest.fixture(scope="module")
def expected(bright, image):
    return bright(image)


class TestArrays:
    def test_bytes_are_changed_and_the_input_is_not(self, image, expected):
        assert expected.dtype == np.uint8
        assert expected.shape == image.shape
        assert np.abs(expected.astype(int) - image).mean() > 1
        np.testing.assert_array_equal(image, picture(3, 24, 32))

    @pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
    def test_floats(self, bright, image, expected, kind):
        done = bright((image / 255).astype(kind))
        assert done.dtype == kind
        np.testing.assert_allclose(done, expected / 255, atol=0.51 / 255 + 2e-3)

    def test_sixteen_bits(self, bright, image, expected):
        done = bright(image.astype(np.uint16) * 257)
        assert done.dtype == np.uint16
        np.testing.assert_allclose(done / 257, expected, atol=0.51)

    def test_another_byte_order(self, bright, image):
        other = (image.astype(np.uint16) * 257).astype(">u2")
        done = bright(other)
        assert done.dtype == other.dtype
        np.testing.assert_array_equal(done, bright(other.astype(np.uint16)))

    def test_alpha_stays(self, bright, image, expected):
        alpha = np.arange(24 * 32, dtype=np.uint8).reshape(24, 32)
        done = bright(np.dstack((image, alpha)))
        np.testing.assert_array_equal(done[..., :3], expected)
        np.testing.assert_array_equal(done[..., 3], alpha)

    @pytest.mark.parametrize("shape", [(24, 32), (24, 32, 1)])
    def test_grey(self, bright, image, shape):
        grey = image[..., 0].reshape(shape)
        done = bright(grey)
        assert (done.dtype, done.shape) == (np.uint8, shape)
        colour = bright(np.repeat(grey.reshape(24, 32, 1), 3, axis=2))
        luma = colour @ np.array([0.299, 0.587, 0.114])
        np.testing.assert_allclose(done.reshape(24, 32), luma, atol=0.5001)


class TestTensors:
    def test_one_and_a_batch(self, bright, image, expected):
        one = torch.from_numpy(image).permute(2, 0, 1)
        np.testing.assert_array_equal(bright(one).permute(1, 2, 0).numpy(), expected)
        batch = torch.stack((one, one)).float() / 255
        done = bright(batch)
        assert (done.shape, done.dtype) == (batch.shape, torch.float32)
        assert torch.equal(done[0], done[1])
        np.testing.assert_allclose(
            done[0].permute(1, 2, 0).numpy(), expected / 255, atol=0.51 / 255
        )

    def test_half_precision_comes_back(self, bright, image):
        assert bright(torch.rand(3, 8, 8).half()).dtype == torch.float16


class TestPillow:
    @pytest.mark.parametrize(
        ("mode", "back"),
        [("RGB", "RGB"), ("RGBA", "RGBA"), ("L", "L"), ("P", "RGB"), ("LA", "RGBA"), ("1", "RGB")],
    )
    def test_modes(self, bright, image, mode, back):
        done = bright(Image.fromarray(image).convert(mode))
        assert (done.mode, done.size) == (back, (32, 24))

    def test_a_transparent_colour_stays_transparent(self, bright, image):
        given = Image.fromarray(image)
        given.info["transparency"] = tuple(map(int, image[0, 0]))
        done = bright(given)
        assert done.mode == "RGBA"
        assert done.getpixel((0, 0))[3] == 0
        assert "transparency" not in done.info

    def test_colours(self, bright, image, expected):
        np.testing.assert_array_equal(np.asarray(bright(Image.fromarray(image))), expected)

    def test_sixteen_bits(self, bright, image):
        deep = Image.fromarray(image[..., 0].astype(np.uint16) * 257)
        assert bright(deep).mode == deep.mode == "I;16"
        native = Image.frombytes("I;16N", deep.size, deep.tobytes())
        np.testing.assert_array_equal(np.asarray(bright(native)), np.asarray(bright(deep)))


@pytest.mark.parametrize("strength", [np.float32(0.5), 1.0])
def test_floats_slightly_out_of_range_come_back_in_it(image, strength):
    done = enhancement.load("video", strength=strength)(image * np.float32(1.2 / 255) - 0.1)
    assert done.min() >= 0
    assert done.max() <= 1


@pytest.mark.parametrize("given", [None, 3, b"photo"])
def test_weights_of_another_type_are_refused(given):
    with pytest.raises(UserError, match="expected weights by name, a file or a network, but got"):
        enhancement.load(given)


def test_frames_are_enhanced_one_by_one(bright, image, expected):
    frames = bright.frames(image for _ in range(3))
    assert iter(frames) is frames
    assert all(np.array_equal(frame, expected) for frame in frames)


class TestSmoothing:
    @pytest.fixture
    def steady(self):
        return enhancement.load("surgery", smoothing=0.9)

    def test_videos_do_not_know_of_each_other(self, steady, image):
        brighter = np.minimum(image * 1.3, 255).astype(np.uint8)
        alone = list(steady.frames([brighter]))
        one, other = steady.frames([image, image]), steady.frames([brighter])
        list(one)
        np.testing.assert_array_equal(list(other), alone)
        assert (list(steady.frames([image, brighter]))[1] != alone[0]).any()

    def test_images_of_a_batch_do_not_know_of_each_other(self, steady, image):
        two = torch.from_numpy(np.stack((image, (image * 0.8).astype(np.uint8)))).permute(
            0, 3, 1, 2
        )
        assert torch.equal(steady(two), torch.stack([steady(one) for one in two]))
        frames = list(steady.frames(two[:, None]))
        assert not torch.equal(frames[1][0], steady(two[1]))


def test_a_process_that_was_forked_enhances_too(image):
    enhance = enhancement.load("video")
    expected = enhance(image)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        done = pool.apply_async(_enhance_here, (image,), {"by": pickle.dumps(enhance)}).get(60)
    assert np.abs(done.astype(int) - expected).max() <= 1


def _enhance_here(image, by):
    return pickle.loads(by)(image)


@pytest.mark.parametrize("how", [copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
def test_copies_enhance_as_well(image, how):
    enhance = enhancement.load("lol_v1_small", engine="onnx")
    copied = how(enhance)
    assert np.abs(copied(image).astype(int) - enhance(image)).max() <= 1
    assert copied.core.network.used == {"onnx"}


@pytest.mark.parametrize("how", [copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
def test_copies_of_an_exported_file_enhance_as_well(image, how, tmp_path):
    path = tmp_path / "a.onnx"
    export(enhancement.load_network(WEIGHTS), "onnx", path, {})
    enhance = enhancement.load(path)
    np.testing.assert_array_equal(how(enhance)(image), enhance(image))


def test_a_network_is_copied_as_it_is(image):
    network = enhancement.load_network(WEIGHTS).train()
    enhance = enhancement.load(network)
    before = enhance(image)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(0.5)
    assert network.training
    np.testing.assert_array_equal(enhance(image), before)


def test_keyword_arguments(image):
    given = {
        "strength": 0.0,
        "engine": "pytorch",
        "device": torch.device("cpu"),
        "max_memory": 4 << 30,
    }
    unchanged = enhancement.load(WEIGHTS, **given)
    np.testing.assert_array_equal(unchanged(image), image)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([[1]], "expected a NumPy array, a tensor or a Pillow image, but got list"),
        (np.zeros((2, 2, 5), np.uint8), r"expected a frame \(H, W, 3\)"),
        (np.zeros((2, 2, 3), np.int64), "but got .* of int64"),
        (np.full((2, 2, 3), np.nan), "the image has NaN or infinite numbers"),
        (np.full((2, 2, 3), 255.0), "in \\[0, 1\\], but the image's largest is 255; divide it"),
        (np.full((2, 2, 3), -1.0), "in \\[0, 1\\], but the image's smallest is -1; from"),
        (torch.zeros(1, 8, 8), r"expected a tensor \(3, H, W\) or \(B, 3, H, W\)"),
        (torch.zeros(3, 8, 8, dtype=torch.int64), "uint8 or floats, but got .* of torch.int64"),
        (torch.zeros(3, 8, 8, dtype=torch.complex64), "uint8 or floats, but got"),
        (torch.zeros(3, 8, 8).to_sparse(), "a dense tensor of pixels"),
        (torch.zeros(3, 8, 8, device="meta"), "on meta"),
        (torch.zeros(0, 3, 8, 8), r"but got \(0, 3, 8, 8\)"),
        (Image.new("I", (8, 8)), "8 or 16 bits, but got mode I;"),
        (Image.new("F", (8, 8)), "8 or 16 bits, but got mode F;"),
    ],
)
def test_other_things_are_refused(bright, given, said):
    with pytest.raises(UserError, match=said):
        bright(given)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"weights": "phot"}, "phot: no such file, and no weights of that name"),
        ({"device": "tpu"}, "expected auto, cpu"),
        ({"strength": 2}, "strength must be in"),
        ({"strength": "x"}, "strength must be in \\[0, 1\\], but got 'x'"),
        ({"precision": "fp8"}, "precision must be fp32, bf16, fp16, but got 'fp8'"),
        ({"smoothing": 0.5}, "smoothing works with HDRNet alone"),
        ({"max_memory": "few"}, "expected memory as 4GB"),
        ({"max_memory": 0}, "expected memory as 4GB"),
        ({"engine": "tflite"}, "engine must be auto, pytorch, onnx, but got 'tflite'"),
    ],
)
def test_mistakes_are_told(arguments, said):
    with pytest.raises(UserError, match=said):
        enhancement.load(**{"weights": WEIGHTS, **arguments})
