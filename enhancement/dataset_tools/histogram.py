"""A plot of how bright the images of each set are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from enhancement.data.images import Array
from enhancement.dataset_tools.report import Report, SetReport
from enhancement.errors import UserError
from enhancement.plots import INK, new_figure, pixels, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 640, 250  # pixels, of one set's panel
COLOURS = ("#c45820", "#2670b2")  # of the first and the second side
TICKS = (0, 64, 128, 192, 255)


def histogram_plot(report: Report) -> Array:
    """Panels below each other, one a set: (H, W, 3) uint8 RGB.

    Raises:
        UserError: No image could be read.
    """
    shown = [found for found in report.sets if found.brightness]
    if not shown:
        raise UserError("no image could be read, so that there is no histogram to draw")
    figure = new_figure(WIDTH, HEIGHT * len(shown))
    for axes, found in zip(figure.subplots(len(shown), squeeze=False).flat, shown, strict=True):
        _panel(axes, found)
    return pixels(figure)


def _panel(axes: Axes, found: SetReport) -> None:
    """One set's histograms, one for each side."""
    style(axes)
    for colour, (side, brightness) in zip(COLOURS, found.brightness.items(), strict=False):
        shares = np.array(brightness.histogram)
        levels = (np.arange(len(shares)) + 0.5) * 256 / len(shares)
        axes.fill_between(levels, 100 * shares, color=colour, alpha=0.25, linewidth=0)
        axes.plot(levels, 100 * shares, color=colour, linewidth=2, label=side)
    what = "pairs" if len(found.sides) > 1 else "images"
    axes.set_title(f"{found.name}: {found.count} {what}", fontsize=11, color=INK, loc="left")
    axes.set_xlim(0, 255)
    axes.set_ylim(bottom=0)
    axes.set_xticks(TICKS)
    axes.set_xlabel("grey level of 255", color=INK)
    axes.set_ylabel("% of pixels", color=INK)
    axes.legend(frameon=False, labelcolor=INK)
