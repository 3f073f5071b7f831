"""The bilateral-grid paper's table 1 on data that everybody has, or can have.

python benchmarks/surgical.py [--seconds 150] [--only feqe hdrnet_illumination]

Every method of benchmarks/surgical.yml is trained for so many seconds of processor time on pairs of
surgical clips and on darkened Kvasir-SEG frames, or on their dark side alone, and scored on what
was held out: clips by the protocol `video`, frames by `basicsr`. Writes surgical.md, surgical.json
and a picture of each dataset: input, every method in the table's order, ground truth.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from paper_tables import (
    Method,
    add_arguments,
    picture,
    read_methods,
    save,
    score,
    sha256,
    train_within,
)
from tabulate import tabulate

from enhancement.data.images import write_image
from enhancement.errors import command_line
from enhancement.scoring.report import cell

METHODS = Path(__file__).with_name("surgical.yml")
PROTOCOLS = {"surgical_video": "video", "endoscopy": "basicsr"}
EVERY = {"surgical_video": 125, "endoscopy": 4}  # of the test images in a picture
METRICS = {"surgical_video": ("psnr", "ssim", "flicker", "warping"), "endoscopy": ("psnr", "ssim")}
HEAD = (
    *("method", "iterations", "PSNR", "SSIM", "flicker", "warping"),
    *("iterations", "PSNR", "SSIM", "paper's PSNR / SSIM"),
)
Found = dict[str, dict[str, Any]]


def images_of(key: str, dataset: str, output: Path) -> Path:
    """Where a method's images go."""
    return output / "images" / f"{dataset}_{key}"


def test(key: str, method: Method, dataset: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train a method on a dataset, and score it."""
    output: Path = arguments.output
    trained_on = method.trained_on(dataset)
    file, iterations = train_within(method, key, trained_on, arguments.seconds, output)
    images = images_of(key, dataset, output)
    scores = score(["--weights", str(file)], dataset, PROTOCOLS[dataset], images)
    return {
        "iterations": iterations,
        "sha256": sha256(file),
        "output": scores.mean(),
        "input": scores.mean("input"),
        "notes": scores.notes,
    }


def table(found: dict[str, Found]) -> str:
    """Markdown: the untouched input first, then every method, then the ground truth's warping."""

    def cells(of: Found, side: str) -> list[str]:
        values = []
        for dataset, metrics in METRICS.items():
            values.append(f"{of[dataset]['iterations']:,}" if side == "output" else "-")
            values += [cell(metric, of[dataset][side][metric]) for metric in metrics]
        return values

    first = ["untouched input", *cells(next(iter(found.values())), "input"), "-"]
    rows = [
        [method.title, *cells(found[key], "output"), method.paper]
        for key, method in read_methods(METHODS, list(found)).items()
    ]
    notes = next(iter(found.values()))["surgical_video"]["notes"]
    truth = next(note.rsplit(" ", 1)[1] for note in notes if note.startswith("the ground truth's"))
    rows.append(["ground truth", *["-"] * 4, truth, *["-"] * 4])
    align = ("left", *["right"] * 9)
    return tabulate([first, *rows], HEAD, "github", disable_numparse=True, colalign=align)


@command_line
def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_arguments(parser, METHODS, Path("results/surgical"))
    arguments = parser.parse_args()
    methods, output = read_methods(METHODS, arguments.only), arguments.output
    found: dict[str, Found] = {
        key: {dataset: test(key, method, dataset, arguments) for dataset in PROTOCOLS}
        for key, method in methods.items()
    }
    save(output, table(found), found, protocols=PROTOCOLS, seconds=arguments.seconds)
    for dataset, every in EVERY.items():
        columns = [images_of(key, dataset, output) for key in found]
        write_image(output / f"{dataset}.png", picture(dataset, columns, every))


if __name__ == "__main__":
    main()
