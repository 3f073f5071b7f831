"""Plots, and what importing the package costs."""

import math
import subprocess
import sys

import numpy as np
import pytest

from enhancement.scoring.brightness_plot import HEIGHT, WIDTH, curve
from enhancement.scoring.evaluation import Row, Scores


def sweep_of(levels, dataset="x"):
    """A sweep in which enhancement wins 9 dB."""
    return {
        level: Scores("capsule", dataset, [Row("a", {"psnr": psnr}, {"psnr": psnr + 9})])
        for level, psnr in levels.items()
    }


def rows_of(image, colour):
    """The rows of pixels, from the left to the right, in which a line of that colour lies."""
    found = (image == colour).all(-1)
    return [np.flatnonzero(column).mean() for column in found.T if column.any()]


def test_the_curve_rises_for_both_and_the_output_lies_above_the_input():
    image = curve(sweep_of({0.05: 8.0, 0.2: 14.0, 0.8: 26.0}))
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert image.dtype == np.uint8
    right = image[:, 250:]  # of the legend
    enhanced, dark = (rows_of(right, colour) for colour in ((31, 119, 180), (140, 140, 140)))
    assert len(enhanced) > 200
    assert len(dark) > 200
    assert enhanced[-1] < enhanced[0]  # rows count from the top
    assert dark[-1] < dark[0]
    assert np.mean(enhanced) < np.mean(dark)


@pytest.mark.parametrize("levels", [{0.2: 8.0}, {0.1: 8.0, 0.2: math.inf}])
def test_one_level_and_infinite_scores_can_be_drawn(levels):
    assert curve(sweep_of(levels)).shape == (HEIGHT, WIDTH, 3)


def test_a_name_is_no_formula():
    assert curve(sweep_of({0.2: 8.0}, dataset="$x_{")).shape == (HEIGHT, WIDTH, 3)


def test_matplotlib_is_imported_by_the_first_plot_alone():
    code = (
        "import sys; import enhancement, enhancement.commands.main as m; m.build_parser();"
        "import enhancement.scoring.brightness_plot, enhancement.testing.command;"
        "assert not {'matplotlib', 'segmentation_models_pytorch', 'lpips'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
