"""Classics: each part by hand or against an independent implementation, and what they are for."""

import cv2
import numpy as np
import pytest
import torch
from networks import CLASSICS, image
from scipy import sparse
from scipy.ndimage import gaussian_filter
from scipy.sparse.linalg import spsolve
from skimage import color, data, morphology

from enhancement.archs.classic import airlight, local_minimum
from enhancement.archs.lime_arch import FLAT
from enhancement.archs.msrcr_arch import balanced
from enhancement.archs.parts.gaussian import gaussian_blur
from enhancement.archs.parts.guided_filter import box_mean, guided_filter
from enhancement.archs.parts.tile_context import REACH
from enhancement.archs.parts.weighted_smoothing import differences, inflow, solve
from enhancement.errors import UserError
from enhancement.inference.frames import FrameEnhancer
from enhancement.inference.run import enhance
from enhancement.inference.tiles import FEATHER, MARGIN, BoundedMemory
from enhancement.registry import ARCH_REGISTRY, lookup


def build(name, **arguments):
    return lookup(ARCH_REGISTRY, name)(**arguments).eval()


def tensor(picture):
    """(H, W, 3) in [0, 1] to (1, 3, H, W)."""
    return torch.from_numpy(np.asarray(picture, np.float32)).permute(2, 0, 1)[None]


def psnr(x, y):
    return -10 * (x - y).square().mean().log10().item()


def photograph():
    return tensor(data.astronaut()[::2, ::2] / 255)


def hazed(clear):
    """Haze that grows denser towards the top, and its airlight."""
    t = torch.exp(-torch.linspace(1.5, 0.3, clear.shape[2])).view(1, 1, -1, 1)
    light = torch.tensor([0.92, 0.93, 0.95]).view(1, 3, 1, 1)
    return clear * t + light * (1 - t)


class TestParts:
    def test_a_box_mean_counts_what_lies_in_the_image(self):
        x = image(7, 9, 1)
        for y, column in ((0, 0), (3, 4), (6, 8)):
            window = x[..., max(0, y - 2) : y + 3, max(0, column - 2) : column + 3]
            found = box_mean(x, 2)[..., y, column]
            torch.testing.assert_close(found, window.mean((2, 3)))

    def test_the_guided_filter_is_a_regression_in_each_window(self):
        guide, x, radius, eps = image(9, 11, 1), image(9, 11, 1)[:, :1].square(), 2, 1e-2
        height, width = 9, 11

        def window(y, column):
            rows = range(max(0, y - radius), min(height, y + radius + 1))
            columns = range(max(0, column - radius), min(width, column + radius + 1))
            return [(i, j) for i in rows for j in columns]

        colours, values = guide[0].permute(1, 2, 0).double().numpy(), x[0, 0].double().numpy()
        a, b = np.zeros((height, width, 3)), np.zeros((height, width))
        for y in range(height):
            for column in range(width):
                inside = window(y, column)
                i, p = (np.array([of[at] for at in inside]) for of in (colours, values))
                sigma = np.cov(i.T, bias=True) + eps * np.eye(3)
                covariance = ((i - i.mean(0)) * (p - p.mean())[:, None]).mean(0)
                a[y, column] = np.linalg.solve(sigma, covariance)
                b[y, column] = p.mean() - a[y, column] @ i.mean(0)
        expected = np.zeros((height, width))
        for at in np.ndindex(height, width):
            means = [np.mean([of[w] for w in window(*at)], axis=0) for of in (a, b)]
            expected[at] = means[0] @ colours[at] + means[1]
        found = guided_filter(guide, x, radius, eps)[0, 0].numpy()
        assert np.abs(found - expected).max() < 1e-5

    def test_a_local_minimum_is_an_erosion(self):
        x = image(20, 31, 1)[:, :1]
        expected = morphology.erosion(x[0, 0].numpy(), np.ones((15, 15)))
        assert np.array_equal(local_minimum(x, 15)[0, 0].numpy(), expected)

    def test_the_airlight_is_the_brightest_colour_in_the_densest_haze(self):
        x, haze = torch.zeros(1, 3, 40, 50), torch.zeros(1, 1, 40, 50)
        x[..., 0, 0] = 1.0  # brightest of all, without haze
        for place, (density, colour) in enumerate([(0.9, 0.5), (0.8, 0.7), (0.8, 0.6), (0.7, 0.9)]):
            haze[..., 5, place], x[..., 5, place] = density, colour
        assert airlight(x, haze).flatten().tolist() == pytest.approx([0.7] * 3)
        x[:, 0, 5, 2], x[:, 1:, 5, 2] = 0.9, 0.6  # as bright, in another colour
        assert airlight(x, haze).flatten().tolist() == pytest.approx([0.8, 0.65, 0.65])
        assert airlight(torch.zeros_like(x), haze).min() > 0

    @pytest.mark.parametrize("sigma", [1.5, 15.0, 40.0])
    def test_a_gaussian_blur_is_scipys(self, sigma):
        x = image(37, 52, 1)
        expected = gaussian_filter(x[0].double().numpy(), (0, sigma, sigma), truncate=8)
        assert np.abs(gaussian_blur(x, sigma)[0].numpy() - expected).max() < 1e-5

    def test_flow_is_the_transpose_of_differences(self):
        x, y = image(6, 7, 1)[:, :1], image(6, 7, 1)[:, 1:]
        y[:, 0, -1], y[:, 1, :, -1] = 0, 0
        torch.testing.assert_close((differences(x) * y).sum(), (x * inflow(y)).sum())

    @pytest.mark.parametrize("size", [(1, 1), (5, 8), (33, 47)])
    def test_the_smoothing_solves_its_linear_system(self, size):
        height, width = size
        x = image(height, width, 1).double()
        b, weights = x[:, :1], 1e3 * x[:, 1:] ** 4

        def along(length):
            return sparse.csr_matrix(np.eye(length, k=1) - np.diag([1.0] * (length - 1) + [0]))

        eyes = sparse.eye(height), sparse.eye(width)
        d = sparse.vstack([sparse.kron(along(height), eyes[1]), sparse.kron(eyes[0], along(width))])
        system = sparse.eye(height * width) + d.T @ sparse.diags(weights.numpy().ravel()) @ d
        expected = np.atleast_1d(spsolve(system.tocsc(), b.numpy().ravel()))
        found = solve(torch.ones_like(b), weights, b, 150).numpy().ravel()
        assert np.abs(found - expected).max() < 1e-6

    def test_a_colour_balance_cuts_off_both_ends(self):
        x = torch.arange(100.0).view(1, 1, 10, 10).repeat(1, 3, 1, 1)
        x[:, 2] = 0.5
        done = balanced(x, 0.1)
        assert done[0, 0].flatten()[[0, 10, 89, 99]].tolist() == [0, 0, 1, 1]
        assert done[0, 0].flatten()[49].item() == pytest.approx((49 - 10) / 79)
        assert (done[0, 2] == 0.5).all()


class TestByHand:
    def test_dcp_without_a_filter(self):
        x = image(12, 14, 1)
        light = airlight(x, local_minimum(x.amin(1, keepdim=True), 3))
        t = 1 - 0.8 * local_minimum((x / light).amin(1, keepdim=True), 3)
        expected = ((x - light) / t.clamp_min(0.2) + light).clamp(0, 1)
        found = build("DCP", patch=3, omega=0.8, t0=0.2, radius=0)(x)
        torch.testing.assert_close(found, expected)

    def test_caps_depth_is_linear_in_value_and_saturation(self):
        x = image(6, 5, 1)
        hsv = color.rgb2hsv(x[0].permute(1, 2, 0).numpy())
        expected = 0.121779 + 0.959710 * hsv[..., 2] - 0.780245 * hsv[..., 1]
        network = build("CAP", patch=1, radius=0, beta=2.0)
        assert np.abs(network.haze(x)[0, 0].numpy() - expected).max() < 1e-5
        t = network.transmission(x, torch.ones(1, 3, 1, 1))
        assert np.abs(t[0, 0].numpy() - np.exp(-2 * expected)).max() < 1e-5

    def test_gamma_is_a_power(self):
        x = torch.tensor([0.0, 0.25, 1.0]).view(1, 3, 1, 1)
        assert build("Gamma", gamma=0.5)(x).flatten().tolist() == [0, 0.5, 1]

    @pytest.mark.parametrize("size", [(64, 96), (75, 53)])
    def test_clahe_is_opencvs_for_grey_levels(self, size):
        levels = np.random.default_rng(0).integers(0, 120, size, dtype=np.uint8)
        grey = color.lab2rgb(np.stack((levels / 2.55, *2 * (0 * levels,)), -1))
        expected = cv2.createCLAHE(3.0, (4, 4)).apply(levels)
        output = build("CLAHE", clip_limit=3.0, grid=4)(tensor(grey))[0].permute(1, 2, 0).numpy()
        lightness = color.rgb2lab(output)[..., 0] * 2.55
        assert np.abs(lightness - expected).max() < 0.2

    def test_msrcr_of_one_scale(self):
        x = image(20, 24, 1)
        light = 1 + 255 * x[0].double().numpy()
        retinex = np.log(light / gaussian_filter(light, (0, 5, 5), truncate=8))
        restored = retinex * np.log(125 * light / light.sum(0))
        expected = [(c - c.min()) / (c.max() - c.min()) for c in restored]
        found = build("MSRCR", sigmas=(5.0,), clipped=0.0)(x)[0].numpy()
        assert np.abs(found - expected).max() < 1e-4

    def test_limes_map_is_the_brightest_colour_where_nothing_is_smoothed(self):
        x = image(9, 8, 1)
        brightest = x.amax(1, keepdim=True)
        found = build("LIME", alpha=0, gamma=0.5)(x)
        torch.testing.assert_close(found, (x / brightest.sqrt()).clamp(0, 1))

    @pytest.mark.parametrize("strategy", [1, 2, 3])
    def test_limes_weights_are_small_at_edges(self, strategy):
        step = torch.zeros(1, 1, 16, 16)
        step[..., 8:] = 0.5
        weights = build("LIME", strategy=strategy).weights(step)
        assert weights.shape == (1, 2, 16, 16)
        if strategy == 1:
            assert (weights == 1).all()
        else:
            assert weights[0, 1, 3, 7] < 0.02 / FLAT < weights[0, 1, 3, 0]

    def test_limes_map_keeps_edges_and_smooths_texture(self):
        texture = 0.02 * image(64, 64, 1)[:, :1]
        step = torch.full((1, 1, 64, 64), 0.1)
        step[..., 32:] = 0.6
        done = build("LIME").refine(step + texture)
        assert done[..., :24].std() < texture.std() / 5
        assert (done[..., 40:].mean() - done[..., :24].mean()).item() == pytest.approx(0.5, abs=0.1)


class TestWhatTheyAreFor:
    @pytest.mark.parametrize(("name", "gain"), [("DCP", 8), ("CAP", 2)])
    def test_haze_is_removed(self, name, gain):
        clear = photograph()
        hazy = hazed(clear)
        with torch.inference_mode():
            assert psnr(build(name)(hazy), clear) > psnr(hazy, clear) + gain

    @pytest.mark.parametrize(("name", "gain"), [("LIME", 8), ("Gamma", 5), ("CLAHE", 0.5)])
    def test_the_dark_is_lit(self, name, gain):
        clear = photograph()
        dark = (clear.pow(1.5) * 0.2 * 255).round() / 255
        with torch.inference_mode():
            assert psnr(build(name)(dark), clear) > psnr(dark, clear) + gain

    def test_msrcr_takes_a_cast_and_a_shade_away(self):
        clear = photograph()
        shade = torch.linspace(0.15, 0.6, clear.shape[3]) * torch.tensor([1, 0.7, 0.5])[:, None]
        dark = clear * shade[None, :, None]
        with torch.inference_mode():
            assert psnr(build("MSRCR")(dark), clear) > psnr(dark, clear) + 4

    @pytest.mark.data
    @pytest.mark.parametrize("name", ["LIME", "Gamma", "MSRCR", "CLAHE"])
    def test_real_dark_photographs_score_better(self, name, real_data):
        from enhancement.data.images import read_image

        low = sorted((real_data / "LOLv1/Test/input").glob("*.png"))[0]
        dark, clear = (
            tensor(read_image(p) / 255) for p in (low, low.parents[1] / "target" / low.name)
        )
        with torch.inference_mode():
            assert psnr(build(name)(dark), clear) > psnr(dark, clear) + 0.5


class TestTheContract:
    @pytest.mark.parametrize("name", CLASSICS)
    def test_they_have_nothing_to_load_and_stay_in_range(self, name):
        network = build(name)
        assert network.state_dict() == {}
        with torch.inference_mode():
            output = network(image())
        assert output.dtype == torch.float32
        assert 0 <= output.min() <= output.max() <= 1

    def test_tiles_see_as_far_as_they_are_said_to(self):
        assert MARGIN - FEATHER == REACH

    @pytest.mark.parametrize("name", ["DCP", "CAP"])
    def test_tiles_give_the_whole_images_pixels(self, name):
        hazy, network = hazed(photograph()).repeat(1, 1, 2, 2), build(name)
        with torch.inference_mode():
            tiled = BoundedMemory(network, tile=224)(hazy)
            torch.testing.assert_close(tiled, enhance(network, hazy), atol=1e-4, rtol=0)

    def test_what_reaches_too_far_is_not_cut(self):
        assert not build("DCP").whole_image
        with pytest.raises(UserError, match="DCP must see the whole image"):
            FrameEnhancer(build("DCP", radius=60), max_memory=1 << 30)

    @pytest.mark.parametrize(
        ("name", "arguments", "said"),
        [
            ("DCP", {"patch": 4}, "`patch` to be an odd number in 1 to 1001, but got 4"),
            ("DCP", {"patch": 65535}, "`patch` to be an odd number in 1 to 1001, but got 65535"),
            ("DCP", {"omega": 1.5}, r"`omega` to be in \[0, 1\], but got 1.5"),
            ("DCP", {"t0": 0.0}, r"`t0` to be in \(0, 1\], but got 0"),
            ("DCP", {"radius": -1}, "`radius` to be in 0 to 1001, but got -1"),
            ("CAP", {"eps": 0.0}, "`eps` to be above 0, but got 0"),
            ("CAP", {"beta": 0.0}, "`beta` to be above 0, but got 0"),
            ("CAP", {"t_min": 0.95}, r"`t_min, t_max` to be two numbers .* \[0.95, 0.9\]"),
            ("LIME", {"alpha": -1.0}, "`alpha` to be 0 or more"),
            ("LIME", {"gamma": 2.0}, r"`gamma` to be in \(0, 1\]"),
            ("LIME", {"strategy": 4}, "`strategy` to be 1, 2 or 3"),
            ("LIME", {"iterations": 0}, "`iterations` to be in 1 to 1000"),
            ("MSRCR", {"sigmas": ()}, r"`sigmas` to be some numbers above 0, but got \[\]"),
            ("MSRCR", {"alpha": 0.0}, "`alpha` to be above 0"),
            ("MSRCR", {"clipped": 0.5}, r"`clipped` to be in \[0, 0.5\)"),
            ("CLAHE", {"clip_limit": 0.0}, "`clip_limit` to be above 0"),
            ("CLAHE", {"grid": 0}, "`grid` to be in 1 to 256"),
            ("Gamma", {"gamma": 0.0}, "`gamma` to be above 0"),
        ],
    )
    def test_arguments_out_of_range_are_refused(self, name, arguments, said):
        with pytest.raises(ValueError, match=said):
            build(name, **arguments)

    @pytest.mark.gpu
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
    @pytest.mark.parametrize("name", CLASSICS)
    def test_a_gpu_gives_the_same(self, name):
        network, x = build(name), image(64, 80)
        torch.testing.assert_close(network(x.cuda()).cpu(), network(x), atol=1e-3, rtol=0)
