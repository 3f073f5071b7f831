"""LOL-v1 after the same time of training: what each network learns in a quarter of an hour.

python benchmarks/lol_v1.py [--seconds 900] [--only mobileie_slim sci]

Every network of benchmarks/lol_v1.yml is trained for so many seconds of processor time, validation
not counted, and its last weights are scored on the 15 test pairs, as they are and with the ground
truth's brightness. Writes lol_v1.md, lol_v1.json, and picture.png: input, every network in the
table's order, ground truth. Some of the networks are trained by `--only` a few at a time: report.py
puts them into one table.
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
from enhancement.inference.complexity import parameter_count
from enhancement.weights.networks import build_from_file
from enhancement.weights.provenance import git_commit

METHODS = Path(__file__).with_name("lol_v1.yml")
DATASET, PROTOCOLS = "lol_v1", ("basicsr", "basicsr+gtmean")
HEAD = (
    *("network", "parameters", "iterations", "PSNR", "SSIM", "PSNR, GT-mean", "SSIM, GT-mean"),
    *("weights", "commit"),
)


def images_of(key: str, protocol: str, output: Path) -> Path:
    """Where a network's images go."""
    return output / "images" / f"{key}_{protocol.replace('+', '_')}"


def test(key: str, method: Method, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train a network, and score it by both protocols."""
    output: Path = arguments.output
    trained_on = method.trained_on(DATASET)
    file, iterations = train_within(method, key, trained_on, arguments.seconds, output)
    found: dict[str, Any] = {
        "iterations": iterations,
        "parameters": parameter_count(build_from_file(file)[0]),
        "seconds": arguments.seconds,
        "sha256": sha256(file),
        "commit": git_commit(),
    }
    for protocol in PROTOCOLS:
        images = images_of(key, protocol, output)
        scores = score(["--weights", str(file)], DATASET, protocol, images)
        found |= {protocol: scores.mean(), f"input {protocol}": scores.mean("input")}
    return found


def table(found: dict[str, dict[str, Any]]) -> str:
    """Markdown: the untouched input first, then every network."""

    def cells(row: dict[str, Any], before: str = "") -> list[str]:
        means = [row.get(f"{before}{protocol}") for protocol in PROTOCOLS]
        forms = (("psnr", ".3f"), ("ssim", ".4f"))
        return [f"{mean[name]:{form}}" if mean else "-" for mean in means for name, form in forms]

    given = next(row for row in found.values() if "input basicsr+gtmean" in row)
    rows = [["untouched input", "-", "-", *cells(given, "input "), "-", "-"]]
    for key, method in read_methods(METHODS, list(found)).items():
        row = found[key]
        kept = [row["sha256"][:8] if row["sha256"] else "not kept", row["commit"] or "-"]
        facts = [method.title, f"{row['parameters']:,}", f"{row['iterations']:,}"]
        rows.append([*facts, *cells(row), *kept])
    align = ("left", *["right"] * 6, "left", "left")
    return tabulate(rows, HEAD, "github", disable_numparse=True, colalign=align)


@command_line
def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_arguments(parser, METHODS, Path("results/lol_v1"), seconds=900)
    arguments = parser.parse_args()
    methods, output = read_methods(METHODS, arguments.only), arguments.output
    found = {key: test(key, method, arguments) for key, method in methods.items()}
    save(output, table(found), found, protocols=list(PROTOCOLS), seconds=arguments.seconds)
    columns = [images_of(key, PROTOCOLS[0], output) for key in found]
    write_image(output / "picture.png", picture(DATASET, columns, every=4))


if __name__ == "__main__":
    main()
