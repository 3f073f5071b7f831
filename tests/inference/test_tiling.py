"""Tiles: equal to the whole image, without seams, within the memory asked for."""

import numpy as np
import pytest
import torch
from helpers import memory_in_use, picture
from networks import IN_TILES, SMALL

from enhancement.archs.parts.tile_context import Tile, current_tile, global_statistics, tile_context
from enhancement.errors import UserError
from enhancement.inference.frames import FrameEnhancer
from enhancement.inference.run import enhance
from enhancement.inference.tiles import FEATHER, MARGIN, SMALLEST_TILE, BoundedMemory, spans
from enhancement.memory import PeakMemory
from enhancement.registry import ARCH_REGISTRY, lookup
from enhancement.units import parse_bytes, readable_bytes


def network(name):
    """With weights that let every layer matter."""
    torch.manual_seed(0)
    made = lookup(ARCH_REGISTRY, name)(**SMALL.get(name, {})).eval()
    for parameter in made.parameters():
        parameter.data += 0.02 * torch.randn(parameter.shape)
    return made


def image(height=333, width=421, seed=3):
    """Smooth waves and some noise; odd sizes."""
    noise = np.random.default_rng(seed).normal(0, 4, (height, width, 3))
    made = np.clip(picture(seed, height, width) / 2 + noise, 0, 255).astype(np.float32) / 255
    return torch.from_numpy(made).permute(2, 0, 1)[None].contiguous()


def changes_across(x, y, rows):
    """Mean absolute change of the difference of two images from row to row, at some rows."""
    change = (x - y).diff(dim=-2).abs().mean((0, 1, 3))
    return change[rows]


QUICK = {"AODNet", "HDRNet", "HDRNetUNet", "LNetGIE", "RetinexFormer"}
TILED = [pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow) for n in IN_TILES]


@pytest.fixture(params=TILED, scope="module")
def both(request):
    """A network's output for a whole image, and in small tiles."""
    made, x = network(request.param), image()
    with torch.inference_mode():
        return enhance(made, x), BoundedMemory(made, tile=SMALLEST_TILE)(x)


class TestEveryNetwork:
    def test_tiles_equal_the_whole(self, both):
        """To 45 dB (0.5 dB of a score is far more); exactly, where a network is local."""
        whole, tiled = both
        assert tiled.shape == whole.shape
        error = (whole.clamp(0, 1) - tiled.clamp(0, 1)).square().mean()
        assert -10 * error.clamp_min(1e-12).log10() > 45

    def test_no_seam(self, both):
        whole, tiled = both
        borders = [s.kept.start + FEATHER for s in spans(whole.shape[-2], SMALLEST_TILE)[1:]]
        near = [b + i for b in borders for i in range(-FEATHER - 1, FEATHER)]
        far = [i for i in range(whole.shape[-2] - 1) if i not in near]
        across = changes_across(whole, tiled, near).max()
        assert across <= 2 * changes_across(whole, tiled, far).max() + 1e-5


@pytest.mark.parametrize("name", ["AODNet", "HDRNet", "HDRNetUNet", "LNetGIE"])
def test_networks_without_attention_are_exact(name):
    made, x = network(name), image(400, 336)
    with torch.inference_mode():
        torch.testing.assert_close(
            BoundedMemory(made, tile=SMALLEST_TILE)(x), enhance(made, x), atol=2e-5, rtol=0
        )


@pytest.mark.parametrize("name", [pytest.param("DEDNet", marks=pytest.mark.slow), "RetinexFormer"])
def test_what_is_recorded_of_the_whole_makes_tiles_exact(name):
    """With the statistics of the whole image, only the reach of the network is left: MARGIN."""
    made, x = network(name), image(320, 320)
    record = []
    with torch.inference_mode():
        with tile_context(record):
            whole = enhance(made, x)
        bounded = BoundedMemory(made, tile=SMALLEST_TILE)
        bounded._survey = lambda *_: record
        assert record
        assert (bounded(x) - whole).abs().max() < 2e-3


@pytest.mark.parametrize("length", [224, 225, 400, 401, 1000])
@pytest.mark.parametrize("tile", [224, 256, 400])
def test_spans_cover_an_axis_once(length, tile):
    total = torch.zeros(length)
    for span in spans(length, tile):
        assert span.end - span.start <= tile
        assert span.start % 16 == 0
        assert span.start <= span.kept.start <= span.kept.stop <= span.end
        assert span.first or span.kept.start - span.start >= MARGIN - FEATHER
        total[span.kept] += span.weights()
    torch.testing.assert_close(total, torch.ones(length))


class Needy(torch.nn.Module):
    """Gives its input back; runs out of memory above so many pixels."""

    def __init__(self, most, error):
        super().__init__()
        self.most, self.error, self.seen = most, error, []

    def forward(self, x):
        self.seen.append(tuple(x.shape))
        if x[:, 0].numel() > self.most:
            raise self.error
        return x + 0


ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    MemoryError(),
]


class TestOutOfMemory:
    @pytest.mark.parametrize("error", ERRORS)
    def test_falls_back_to_tiles(self, error):
        made, x = Needy(300 * 300, error), image(400, 600)
        torch.testing.assert_close(BoundedMemory(made)(x), x)
        assert made.seen[0] == (1, 3, 400, 600)
        assert len(made.seen) > 4

    def test_statistics_are_never_taken_of_more_pixels_than_failed(self):
        class ByMean(Needy):
            def forward(self, x):
                return super().forward(x) * global_statistics(lambda: x.mean())

        made, x = ByMean(99 * 800, ERRORS[0]), image(100, 800)
        BoundedMemory(made)(x)
        sizes = [height * width for _, _, height, width in made.seen]
        assert sizes[0] == max(sizes) == 100 * 800
        assert min(sizes) < 50 * 800

    def test_a_batch_is_taken_one_by_one_first(self):
        made, x = Needy(200 * 200, ERRORS[0]), image(200, 200).repeat(3, 1, 1, 1)
        torch.testing.assert_close(BoundedMemory(made)(x), x)
        assert [s[0] for s in made.seen] == [3, 1, 1, 1]

    def test_where_nothing_fits_a_line_says_so(self):
        with pytest.raises(UserError, match="Needy runs out of memory even in tiles of 224 pixels"):
            BoundedMemory(Needy(10, ERRORS[0]))(image())

    def test_other_errors_stay_what_they_are(self):
        with pytest.raises(RuntimeError, match="a shape is wrong"):
            BoundedMemory(Needy(10, RuntimeError("a shape is wrong")))(image())


class TestMaxMemory:
    def test_picks_the_path(self):
        made, x = network("RetinexFormer"), image(320, 320)
        with torch.inference_mode():
            need = BoundedMemory(made).measure(x) * 320 * 320
            ample, scarce = (
                BoundedMemory(made, memory_in_use() + int(need * share)) for share in (4, 0.8)
            )
            assert ample.fitting_tile(x) is None
            side = scarce.fitting_tile(x)
        assert SMALLEST_TILE <= side < 320

    def test_too_little_is_refused_with_what_is_wanted(self):
        with pytest.raises(
            UserError, match=r"RetinexFormer needs at least .* for an image of 421x333, but --max_"
        ):
            BoundedMemory(network("RetinexFormer"), 50 << 20)(image())

    def test_the_estimate_holds(self):
        """What is measured on a crop foretells what a larger image takes."""
        made, x = network("RetinexFormer"), image(480, 480)
        with torch.inference_mode():
            foretold = BoundedMemory(made).measure(x) * 480 * 480
            with PeakMemory() as memory:
                enhance(made, x)
        assert 0.6 < memory.peak / foretold <= 1

    @pytest.mark.parametrize(
        ("text", "count"),
        [
            ("4GB", 4 << 30),
            ("500M", 500 << 20),
            ("1.5 GiB", 3 << 29),
            ("2048", 2048),
            ("1kb", 1024),
        ],
    )
    def test_bytes_are_read(self, text, count):
        assert parse_bytes(text) == count

    @pytest.mark.parametrize("text", ["", "4 TB", "GB", "-1GB", "0", "0.5"])
    def test_other_texts_are_refused(self, text):
        with pytest.raises(UserError, match="expected memory as 4GB or 500MB"):
            parse_bytes(text)

    def test_bytes_are_written(self):
        counts = (3 << 29, 700 << 20, 1536, 4)
        texts = ["1.5 GB", "700.0 MB", "1.5 KB", "4 bytes"]
        assert [readable_bytes(n) for n in counts] == texts


def test_statistics_are_the_functions_own_outside_of_tiles():
    assert global_statistics(lambda: 3) == 3
    with tile_context(Tile(0, 0, 4, 4, iter([5]))):
        assert current_tile().height == 4
        assert global_statistics(lambda: 3) == 5
    assert current_tile() is None


def test_frames_take_tiles_and_averages_over_flips():
    made = network("AODNet")
    frame = (image()[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    tiled = FrameEnhancer(made)
    tiled.bounded.tile = SMALLEST_TILE
    assert np.array_equal(tiled(frame), FrameEnhancer(made)(frame))
    flipped = FrameEnhancer(made, ensemble=True)
    turned = np.ascontiguousarray(frame[::-1].swapaxes(0, 1))
    expected = flipped(frame)[::-1].swapaxes(0, 1).astype(int)
    assert np.abs(flipped(turned) - expected).max() <= 1


def test_frames_of_one_size_go_together():
    made = network("AODNet")
    frames = [picture(i) for i in range(3)]
    together = FrameEnhancer(made).together(frames)
    for one, frame in zip(together, frames, strict=True):
        assert np.abs(one - FrameEnhancer(made)(frame).astype(int)).max() <= 1


def test_float16_wants_a_gpu():
    with pytest.raises(UserError, match="fp16 needs a GPU; use bf16 or fp32"):
        FrameEnhancer(network("AODNet"), precision="fp16")


def test_the_first_images_size_does_not_spoil_the_estimate():
    """HDRNet looks at 256 x 256 pixels of the smallest image."""
    made = network("HDRNet")
    small, large = (BoundedMemory(made).measure(image(n, n)) for n in (8, 480))
    assert small == pytest.approx(large, rel=0.1)
