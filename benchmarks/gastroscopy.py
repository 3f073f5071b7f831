"""LNet-GIE's tables 1 and 2 on hazed Kvasir-SEG frames, which everybody has.

python benchmarks/gastroscopy.py [--seconds 150] [--only lnet_gie dcp]

Every method of benchmarks/gastroscopy.yml is scored on the held-out frames by `basicsr`: with its
authors' weights as they are, where they are there (the paper's way), and trained here for so many
seconds of processor time. Costs are those of one frame of 256x512. Writes gastroscopy.md,
gastroscopy.json and picture.png: input, every method in the table's order, ground truth.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from measure import medians
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
from torch import nn

from enhancement.config.named_network import named_network
from enhancement.data.images import write_image
from enhancement.errors import command_line
from enhancement.inference.complexity import multiply_adds, parameter_count
from enhancement.inference.engines import prepare
from enhancement.inference.run import enhance
from enhancement.weights.networks import build_from_file

METHODS = Path(__file__).with_name("gastroscopy.yml")
DATASET, PROTOCOL = "gastroscopy", "basicsr"
HEIGHT, WIDTH, RUNS = 256, 512, 3
HEAD = (
    *("method", "weights", "PSNR", "SSIM", "parameters", "file, kB", "multiply-adds", "ms"),
    "paper's PSNR / SSIM",
)


def costs(network: nn.Module, file: Path | None) -> dict[str, Any]:
    """Parameters, bytes of the file, multiply-adds and milliseconds for one frame."""
    device = torch.device("cpu")
    frame = torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    prepared = prepare(network, device, "auto")

    def run() -> None:
        with torch.inference_mode():
            enhance(prepared, frame)

    return {
        "parameters": parameter_count(network),
        "bytes": file.stat().st_size if file else None,
        "multiply_adds": multiply_adds(network, HEIGHT, WIDTH),
        "ms": 1e3 * medians({"frame": run}, RUNS)["frame"],
    }


def images_of(key: str, label: str, output: Path) -> Path:
    """Where the images of a method with certain weights go."""
    return output / "images" / f"{key}_{label.split()[0]}"


def rows(key: str, method: Method, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """What was found of a method: a row for each of its weights."""
    output: Path = arguments.output
    sources: dict[str, tuple[list[str], Path | None]] = {}
    if method.network:
        sources["none"] = ["--network", method.network], None
    if file := method.published_file:
        sources["published"] = ["--weights", str(file)], file
    if method.stages:
        seconds = arguments.seconds
        file, iterations = train_within(method, key, DATASET, seconds, output)
        sources[f"trained here, {iterations} iterations"] = ["--weights", str(file)], file
    found = []
    for label, (source, file) in sources.items():
        mean = score(source, DATASET, PROTOCOL, images_of(key, label, output))
        network = named_network(source[1]).network if file is None else build_from_file(file)[0]
        found.append(
            {
                **{"weights": label, "sha256": file and sha256(file), **mean.mean()},
                **{"input": mean.mean("input"), **costs(network.eval(), file)},
            }
        )
    return found


def table(found: dict[str, list[dict[str, Any]]]) -> str:
    """Markdown: the untouched input first, then every method."""
    lines = []
    for key, method in read_methods(METHODS, list(found)).items():
        if method.missing:
            lines.append([method.title, method.missing, *["-"] * 6, method.paper])
        for row in found.get(key, []):
            size = "-" if row["bytes"] is None else f"{row['bytes'] / 1e3:,.1f}"
            lines.append(
                [
                    *(method.title, row["weights"], f"{row['psnr']:.3f}", f"{row['ssim']:.4f}"),
                    *(f"{row['parameters']:,}", size, f"{row['multiply_adds'] / 1e9:.3f} G"),
                    *(f"{row['ms']:.1f}", method.paper),
                ]
            )
    given = next(row["input"] for group in found.values() for row in group)
    first = ["untouched (hazy) input", "", f"{given['psnr']:.3f}", f"{given['ssim']:.4f}"]
    align = ("left", "left", *["right"] * 7)
    return tabulate(
        [[*first, *["-"] * 5], *lines], HEAD, "github", disable_numparse=True, colalign=align
    )


@command_line
def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_arguments(parser, METHODS, Path("results/gastroscopy"))
    arguments = parser.parse_args()
    methods, output = read_methods(METHODS, arguments.only), arguments.output
    found = {}
    for key, method in methods.items():
        found[key] = rows(key, method, arguments)
        for row in found[key]:
            print(f"{method.title}, {row['weights']}: {row['psnr']:.3f} dB, {row['ms']:.0f} ms")
    text = table(found)
    about = {"dataset": DATASET, "protocol": PROTOCOL, "seconds": arguments.seconds}
    save(output, text, found, **about)
    labels = {key: group[-1]["weights"] for key, group in found.items() if group}
    columns = [images_of(key, label, output) for key, label in labels.items()]
    write_image(output / "picture.png", picture(DATASET, columns, every=4))


if __name__ == "__main__":
    main()
