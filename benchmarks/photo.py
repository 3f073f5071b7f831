"""What weights for any photograph do to pictures that are well lit, backlit, or dark and noisy.

python benchmarks/photo.py [--weights photo video]

- Well lit: the images of options/datasets/well_lit.yml, as they are. PSNR of the output against the
  input (of the mean squared error over all images, and of the image that changes most), and the
  share of clipped pixels, in which a channel is 0 or 255, before and after.
- Backlit: the same with the left half darkened to a tenth of its light. The mean of that half
  before and after, of 255, and the share of clipped pixels.
- Dark: LOL-v1's test images. The standard deviation of their noise, of 255, as scikit-image's
  `estimate_sigma` finds it in wavelets: of the input, of the input brightened to the output's mean,
  of the output, and of the ground truth.

Writes photo.md, photo.json and picture.png: crops of dark images, brightened to the ground truth's
mean, then by each of the weights, then the ground truth.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from paper_tables import save, sha256, test_pairs
from skimage.restoration import estimate_sigma
from tabulate import tabulate

from enhancement import load
from enhancement.data.images import Array, write_image
from enhancement.errors import command_line
from enhancement.inference.enhancer import Enhancer
from enhancement.weights.shipped import DEFAULT, DEFAULT_FOR_VIDEO, find_weights

TENTH = 0.1 ** (1 / 2.2)  # of the light, in pixel values
SIDE, SHOWN = 200, (0, 4, 9, 13)  # crops of so many pixels, of these dark images
HEAD = (
    *("weights", "well lit: PSNR", "the least", "clipped, %"),
    *("backlit: mean of the dark half", "backlit: clipped, %"),
    *("noise: input", "brightened", "output", "ground truth"),
)


def psnr(error: float) -> float:
    """The PSNR in dB of a mean squared error of 8-bit images; at most 100."""
    return float(10 * np.log10(255**2 / max(error, 255**2 / 1e10)))


def clipped(images: list[Array]) -> float:
    """The share of pixels, in per cent, in which a channel is 0 or 255; mean of the images."""
    return float(100 * np.mean([((x == 0) | (x == 255)).any(-1).mean() for x in images]))


def brightened(image: Array, like: Array) -> Array:
    """An image times the factor that gives it the mean of another."""
    return (image * (like.mean() / image.mean())).clip(0, 255).round().astype(np.uint8)


def noise(images: list[Array]) -> float:
    """The mean standard deviation of the images' noise."""
    found = [estimate_sigma(x, average_sigmas=True, channel_axis=-1) for x in images]
    return float(np.mean(found))


def backlit(image: Array) -> Array:
    """A well-lit image whose left half has a tenth of its light."""
    half, made = image.shape[1] // 2, image.copy()
    made[:, :half] = (made[:, :half] * TENTH).round()
    return made


def shadow(images: list[Array]) -> float:
    """The mean of the left halves."""
    return float(np.mean([x[:, : x.shape[1] // 2].mean() for x in images]))


def measure(
    enhance: Enhancer, lit: list[Array], dark: list[Array], truth: list[Array]
) -> tuple[dict[str, Any], list[Array]]:
    """What weights do, and what they give for the dark images."""
    same, against = [enhance(x) for x in lit], [backlit(x) for x in lit]
    errors = [float(((a / 1.0 - b) ** 2).mean()) for a, b in zip(lit, same, strict=True)]
    turned, bright = [enhance(x) for x in against], [enhance(x) for x in dark]
    as_far = [brightened(*pair) for pair in zip(dark, bright, strict=True)]
    return {
        "well_lit": {"psnr": psnr(np.mean(errors)), "least": psnr(max(errors))},
        "clipped": [clipped(lit), clipped(same)],
        "backlit": {
            "shadow": [shadow(against), shadow(turned)],
            "clipped": [clipped(against), clipped(turned)],
        },
        "noise": {
            "input": noise(dark),
            "brightened": noise(as_far),
            "output": noise(bright),
            "truth": noise(truth),
        },
    }, bright


def table(found: dict[str, dict[str, Any]]) -> str:
    """A row of each of the weights."""

    def change(pair: list[float], form: str) -> str:
        return " to ".join(f"{value:{form}}" for value in pair)

    rows = [
        [
            f"`{name}`",
            *(f"{one['well_lit'][key]:.1f}" for key in ("psnr", "least")),
            change(one["clipped"], ".2f"),
            change(one["backlit"]["shadow"], ".1f"),
            change(one["backlit"]["clipped"], ".2f"),
            *(f"{one['noise'][key]:.2f}" for key in ("input", "brightened", "output", "truth")),
        ]
        for name, one in found.items()
    ]
    return tabulate(rows, HEAD, "pipe", disable_numparse=True)


@command_line
def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--weights", nargs="+", default=[DEFAULT, DEFAULT_FOR_VIDEO], metavar="NAME")
    add("--output", type=Path, default=Path("results/photo"), help="default: results/photo")
    arguments = parser.parse_args()
    lit = [image for _, image, _ in test_pairs("well_lit")]
    _, dark, truth = (list(side) for side in zip(*test_pairs("lol_v1"), strict=True))
    found, columns = {}, [[brightened(*pair) for pair in zip(dark, truth, strict=True)]]
    for name in arguments.weights:
        found[name], bright = measure(load(name), lit, dark, truth)
        found[name]["sha256"] = sha256(find_weights(name))
        columns.append(bright)
    save(arguments.output, table(found), found)
    crops = [[x[i][:SIDE, :SIDE] for x in (*columns, truth)] for i in SHOWN]
    picture = np.concatenate([np.concatenate(row, 1) for row in crops])
    write_image(arguments.output / "picture.png", picture)


if __name__ == "__main__":
    main()
