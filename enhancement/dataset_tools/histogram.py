"""A picture of how bright the images of each set are."""

from __future__ import annotations

import cv2
import numpy as np

from enhancement.data.images import Array
from enhancement.dataset_tools.check import Report
from enhancement.errors import UserError

WIDTH, HEIGHT, MARGIN, TITLE = 520, 170, 46, 30
INK, GRID = (40, 40, 40), (225, 225, 225)
COLOURS = ((196, 88, 32), (38, 112, 178))  # RGB, of the first and the second side
FONT = cv2.FONT_HERSHEY_SIMPLEX
FINE = 4  # drawn so much larger, then shrunk


def _text(image: Array, text: str, at: tuple[int, int], colour: tuple[int, int, int] = INK) -> None:
    where = (at[0] * FINE, at[1] * FINE)
    cv2.putText(image, text, where, FONT, 0.42 * FINE, colour, FINE, cv2.LINE_AA)


def _panel(title: str, curves: dict[str, list[float]]) -> Array:
    """One set's histograms: (H, W, 3) uint8 RGB."""
    image = np.full(
        ((HEIGHT + TITLE + MARGIN) * FINE, (WIDTH + 2 * MARGIN) * FINE, 3), 255, np.uint8
    )
    bottom, left = TITLE + HEIGHT, MARGIN
    for level in (0, 64, 128, 192, 255):
        tick = left + round(level / 255 * WIDTH)
        cv2.line(image, (tick * FINE, TITLE * FINE), (tick * FINE, bottom * FINE), GRID, FINE)
        _text(image, str(level), (tick - 9, bottom + 18))
    _text(image, title, (left, 18))
    top = max(max(shares) for shares in curves.values())
    for number, (side, shares) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        x = left + (np.arange(len(shares)) + 0.5) / len(shares) * WIDTH
        y = bottom - np.array(shares) / top * HEIGHT
        line = np.round(np.stack((x, y), 1) * FINE).astype(np.int32)
        area = np.concatenate((line, [[line[-1][0], bottom * FINE], [line[0][0], bottom * FINE]]))
        filled = cv2.fillPoly(image.copy(), [area.astype(np.int32)], colour)
        cv2.addWeighted(filled, 0.25, image, 0.75, 0, dst=image)
        cv2.polylines(image, [line], False, colour, 2 * FINE, cv2.LINE_AA)
        _text(image, side, (left + WIDTH - 110, TITLE + 18 + 20 * number), colour)
    cv2.line(image, (left * FINE, bottom * FINE), ((left + WIDTH) * FINE, bottom * FINE), INK, FINE)
    _text(image, "grey level of 255; share of pixels, mean over images", (left + 90, bottom + 36))
    size = (image.shape[1] // FINE, image.shape[0] // FINE)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def histogram_picture(report: Report) -> Array:
    """Panels below each other, one a set: (H, W, 3) uint8 RGB.

    Raises:
        UserError: No image could be read.
    """
    panels = []
    for found in report.sets:
        if found.brightness:
            title = f"{found.name}: {found.count} {'pairs' if len(found.sides) > 1 else 'images'}"
            panels.append(_panel(title, {s: b.histogram for s, b in found.brightness.items()}))
    if not panels:
        raise UserError("no image could be read, so that there is no histogram to draw")
    return np.concatenate(panels)
