"""Low light and haze, by hand and by statistics."""

import numpy as np
import pytest
import torch
from dataset_blocks import paired, synthesis
from helpers import picture

from enhancement.data.haze import Haze
from enhancement.data.low_light import LowLight, linear_to_srgb, srgb_to_linear
from enhancement.data.sampler import SampleIndex
from enhancement.data.transforms import Frame


class TestSynthesis:
    frame = Frame(0, 0, 48, 64)

    def image(self):
        return picture(0).astype(np.float32) / 255

    def test_srgb_there_and_back(self):
        x = np.linspace(0, 1, 1001, dtype=np.float32)
        np.testing.assert_allclose(linear_to_srgb(srgb_to_linear(x)), x, atol=1e-5)
        assert srgb_to_linear(np.float32([0.5]))[0] == pytest.approx(0.21404, abs=1e-5)

    def test_low_light_by_hand(self):
        degrade = LowLight((1.5, 1.5), (0.1, 0.1), (0, 0), (0, 0))
        dark = degrade(self.image(), self.frame, np.random.default_rng(0))[0]
        light = 0.1 * srgb_to_linear(self.image()) ** 1.5
        np.testing.assert_allclose(dark, linear_to_srgb(light), atol=0.5 / 255 + 1e-6)
        np.testing.assert_allclose(dark * 255, np.round(dark * 255), atol=1e-4)

    def test_falloff_goes_no_further_than_the_edge(self):
        """A crop that is larger than its image is padded."""
        beyond = Frame(-40, -40, 48, 64)
        degrade = LowLight(falloff=(0.9, 0.9), shot_noise=(1e-4, 1e-4), read_noise=(0, 0))
        white = np.ones((128, 144, 3), np.float32)
        dark = degrade(white, beyond, np.random.default_rng(0))[0]
        assert (dark[:40] > 0).all()
        assert abs(dark[:40, 72].mean() - dark[40, 72].mean()) < 0.05

    def test_some_images_are_left_as_they_are(self):
        degrade = LowLight(exposure=(0.1, 0.1), untouched=0.5)
        image = self.image()
        same = [
            np.array_equal(degrade(image, self.frame, np.random.default_rng(i))[0], image)
            for i in range(40)
        ]
        assert 10 < sum(same) < 30

    def test_noise_has_the_promised_variance(self):
        degrade = LowLight((1, 1), (0.5, 0.5), (0.01, 0.01), (0.02, 0.02))
        flat = np.full((400, 400, 3), 0.8, np.float32)
        noisy = degrade(flat, Frame(0, 0, 400, 400), np.random.default_rng(0))[0]
        light = srgb_to_linear(noisy)
        mean = 0.5 * srgb_to_linear(flat)[0, 0, 0]
        assert light.mean() == pytest.approx(mean, rel=0.01)
        assert light.var() == pytest.approx(0.01 * mean + 0.02**2, rel=0.05)

    def test_falloff_darkens_the_sides_wherever_the_cut_lies(self):
        degrade = LowLight((1, 1), (1, 1), (0, 0), (0, 0), falloff=(0.9, 0.9))
        flat = np.full((40, 60, 3), 0.9, np.float32)
        rng = np.random.default_rng(0)
        whole = degrade(flat, Frame(0, 0, 40, 60), rng)[0]
        assert whole[20, 30, 0] == pytest.approx(0.9, abs=0.01)
        assert whole[0, 0, 0] < 0.4
        square = (9.5**2 + 14.5**2) / (20**2 + 30**2)  # of the radius there, 1 in the corners
        share = srgb_to_linear(whole[10, 15, 0]) / srgb_to_linear(np.float32(0.9))
        assert share == pytest.approx(1 - 0.9 * square, abs=0.03)
        cut = degrade(flat[5:15, 7:27], Frame(5, 7, 40, 60), rng)[0]
        np.testing.assert_allclose(cut, whole[5:15, 7:27], atol=1e-6)

    def test_haze_by_hand(self):
        degrade = Haze((0.4, 0.4), (0.8, 0.8), tint=0)
        hazy = degrade(self.image(), self.frame, np.random.default_rng(0))[0]
        np.testing.assert_allclose(hazy, 0.4 * self.image() + 0.8 * 0.6, atol=0.5 / 255 + 1e-6)

    def test_haze_is_smooth_and_keeps_its_place(self):
        degrade, black = Haze((0.2, 0.9), (1, 1), tint=0), np.zeros((48, 64, 3), np.float32)
        whole = degrade(black, self.frame, np.random.default_rng(3))[0]
        assert whole.max() - whole.min() > 0.1
        assert np.abs(np.diff(whole[..., 0], axis=1)).max() < 0.1
        cut = degrade(black[10:20, 5:25], Frame(10, 5, 48, 64), np.random.default_rng(3))[0]
        np.testing.assert_allclose(cut, whole[10:20, 5:25], atol=1e-6)

    @pytest.mark.parametrize(
        ("kind", "arguments", "text"),
        [
            (LowLight, {"exposure": (0.5, 0.1)}, r"`exposure` to be \[low, high\] above 0"),
            (LowLight, {"falloff": (0, 1.5)}, "`falloff`"),
            (Haze, {"airlight": (0.2, 1.2)}, "`airlight` to be .* within 0 and 1"),
            (Haze, {"cells": 0}, "`cells` to be at least 1"),
        ],
    )
    def test_bad_ranges_are_named(self, kind, arguments, text):
        with pytest.raises(ValueError, match=text):
            kind(**arguments)

    @pytest.mark.parametrize("kind", ["LowLight", "Haze"])
    def test_degradations_are_fixed_and_change_by_epoch(self, pairs, kind):
        train = synthesis(pairs, gt_size=24, degradation={"type": kind})
        again = synthesis(pairs, gt_size=24, degradation={"type": kind})
        index = SampleIndex(2, 4)
        assert torch.equal(train[index]["lq"], again[index]["lq"])
        assert not torch.equal(train[index]["lq"], train[SampleIndex(2, 5)]["lq"])
        val = synthesis(pairs, "val", degradation={"type": kind})
        assert torch.equal(val[1]["lq"], val[1]["lq"])
        assert torch.equal(val[1]["gt"], paired(pairs)[1]["gt"])
