"""Plots by matplotlib, without its global state and without a screen.

matplotlib is imported when the first plot is drawn: it takes a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 100
INK, GRID = "#404040", "#e4e4e4"


def new_figure(width: int, height: int) -> Figure:
    """An empty white figure of so many pixels."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)  # inches, around the axes
    return Figure((width / DPI, height / DPI), dpi=DPI, layout=layout)


def style(axes: Axes) -> None:
    """Grey labels and a light grid below the data; no frame but the lower line."""
    axes.set_axisbelow(True)
    axes.grid(color=GRID, linewidth=1)
    axes.spines[["top", "left", "right"]].set_visible(False)
    axes.spines["bottom"].set_color(INK)
    axes.tick_params(colors=INK, length=0, labelsize=9)


def pixels(figure: Figure) -> NDArray[np.uint8]:
    """What a figure looks like: (H, W, 3) uint8 RGB."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
