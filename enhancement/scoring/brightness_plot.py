"""The curve of a brightness sweep: PSNR against the brightness level."""

from __future__ import annotations

import numpy as np

from enhancement.data.images import Array
from enhancement.plots import INK, new_figure, pixels, style
from enhancement.scoring.brightness import Sweep
from enhancement.scoring.metrics import PSNR

WIDTH, HEIGHT = 640, 480  # pixels
LINES = (("output", "enhanced", "#1f77b4"), ("input", "dark input", "#8c8c8c"))


def curve(found: Sweep) -> Array:
    """PSNR of the output and of the dark input, against the level: (H, W, 3) uint8."""
    first = next(iter(found.values()))
    levels = sorted(found)
    figure = new_figure(WIDTH, HEIGHT)
    axes = figure.add_subplot()
    style(axes)
    for side, label, colour in LINES:
        means = [found[level].mean(side)[PSNR.name] for level in levels]
        values = np.array(means, float)  # NaN, which is left out, where there is no score
        axes.plot(levels, values, "o-", color=colour, label=label, linewidth=2, markersize=5)
    axes.set_xscale("log")
    axes.set_xticks(levels, [f"{level:g}" for level in levels])
    axes.minorticks_off()
    title = f"{first.dataset}, protocol {first.protocol}"
    axes.set_title(title, fontsize=11, color=INK, parse_math=False)
    axes.set_xlabel("brightness level (exposure, logarithmic)", color=INK)
    axes.set_ylabel(f"{PSNR.title} in dB", color=INK)
    axes.legend(frameon=False, labelcolor=INK)
    return pixels(figure)
