"""Published weights under one protocol: costs, speed and scores of every network of the zoo.

python benchmarks/zoo.py --weights DIR [--only mobileie sci] [--runs 3] [--output results/zoo]

DIR holds a folder for each entry of benchmarks/zoo.yml with its authors' files as they are. Each is
scored on LOL-v1's test pairs by `basicsr`, plain and scaled to the truth's mean, and timed on an
image of 600x400 by each engine, the engines taking turns. Writes zoo.md, zoo.csv, and zoo.html with
sliders.
"""

from __future__ import annotations

import argparse
import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from measure import medians
from tabulate import tabulate
from torch import Tensor, nn

from enhancement.comparison.page import build_page
from enhancement.comparison.results import collect
from enhancement.config.datasets import dataset_block, derive_sets
from enhancement.config.files import OptionFile, named_files
from enhancement.data.loader import eval_loader
from enhancement.errors import command_line
from enhancement.inference.complexity import multiply_adds, parameter_count
from enhancement.inference.engines import NAMES, engine_name, prepare
from enhancement.inference.run import enhance, eval_mode
from enhancement.scoring.evaluation import Row, Scorer, Scores, samples
from enhancement.scoring.protocols import GT_MEAN, get_protocol
from enhancement.scoring.report import write_scores
from enhancement.scoring.thumbnails import thumbnail, write_thumbnails
from enhancement.weights.networks import build_stored
from enhancement.weights.recognise import recognise
from enhancement.weights.state_dicts import load_weights, read_weights

FACTS = Path(__file__).with_name("zoo.yml")
HEIGHT, WIDTH = 400, 600
CPU = torch.device("cpu")
DATASET, PROTOCOL = "LOL_v1", "basicsr"
HEAD = (
    *("network", "paper", "parameters", "multiply-adds at 256x256", "PyTorch, s", "ONNX, s"),
    *("PSNR", "SSIM", "PSNR, GT-mean", "SSIM, GT-mean", "published PSNR / SSIM"),
    *("licence", "trained on"),
)


@dataclass
class Entry:
    """One row: a network as published, with arguments that its file does not say."""

    key: str
    facts: dict[str, Any]
    arguments: dict[str, Any]

    @property
    def title(self) -> str:
        """What tables call it."""
        return str(self.facts["title"])

    def load(self, root: Path) -> tuple[nn.Module, dict[str, Any]]:
        """The network and its options."""
        files = sorted((root / self.key).iterdir())
        path = files[0] if len(files) == 1 else root / self.key
        block = {**(recognise(read_weights(path)[0]) or {}), **self.arguments}
        network = build_stored(block, path)
        load_weights(network, path)
        return network.eval(), block


def entries(only: list[str] | None) -> list[Entry]:
    """The rows of zoo.yml, in its order."""
    found = []
    for key, facts in yaml.safe_load(FACTS.read_text(encoding="utf-8")).items():
        variants = facts.pop("variants", [])
        found.append(Entry(key, facts, facts.pop("arguments", {})))
        found += [Entry(key, {**facts, **v}, v.pop("arguments")) for v in variants]
    return [entry for entry in found if only is None or entry.key in only]


def score(network: nn.Module, folder: Path, about: dict[str, Any]) -> dict[str, float | None]:
    """Mean scores on LOL-v1's test pairs; tables and thumbnails go to the folder."""
    options = derive_sets(OptionFile(named_files("datasets")[DATASET.lower()]).options["datasets"])
    loader = eval_loader(dataset_block("test", options["test"]))
    scorers = {name: Scorer(get_protocol(name), CPU) for name in (PROTOCOL, PROTOCOL + GT_MEAN)}
    scores = {name: Scores(name, DATASET) for name in scorers}
    pictures = []
    with eval_mode(network):
        for name, image in samples(loader, CPU):
            lq, gt = image["lq"], image["gt"]
            output = enhance(network, lq)
            for protocol, scorer in scorers.items():
                scores[protocol].rows.append(Row(name, scorer(lq, gt), scorer(output, gt)))
            pictures.append(tuple(map(thumbnail, (lq, output.clamp(0, 1), gt))))
    for protocol, found in scores.items():
        write_scores(folder / protocol, found, about)
    write_thumbnails(folder / PROTOCOL, pictures)
    return {
        f"{metric}{suffix}": value
        for protocol, suffix in ((PROTOCOL, ""), (PROTOCOL + GT_MEAN, GT_MEAN))
        for metric, value in scores[protocol].mean().items()
    }


def seconds(network: nn.Module, runs: int) -> dict[str, float]:
    """Seconds for one image by engine, as medians; ONNX Runtime's is NaN where it cannot."""
    image = torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0)) ** 2
    prepared = {engine: prepare(network, CPU, engine) for engine in ("pytorch", "auto")}

    def job(one: nn.Module) -> Any:
        def run() -> Tensor:
            with torch.inference_mode():
                return enhance(one, image)

        return run

    found = medians({engine: job(one) for engine, one in prepared.items()}, runs)
    converted = NAMES["pytorch"] not in engine_name(prepared["auto"])
    return {"pytorch": found["pytorch"], "onnx": found["auto"] if converted else math.nan}


def row(entry: Entry, root: Path, output: Path, runs: int) -> tuple[list[Any], Path]:
    """A row of the table, and where its scores lie."""
    network, block = entry.load(root)
    folder = output / entry.title
    about = {"name": entry.title, "network_g": block, "parameters": parameter_count(network)}
    means = score(prepare(network, CPU, "auto"), folder, about)
    times = seconds(network, runs)
    cells = [
        *(entry.title, entry.facts["paper"], f"{parameter_count(network):,}"),
        f"{multiply_adds(network) / 1e9:.3f} G",
        *("-" if math.isnan(t) else f"{t:.3f}" for t in times.values()),
        *(
            f"{means['psnr' + s]:.2f}" if m == "p" else f"{means['ssim' + s]:.4f}"
            for s in ("", GT_MEAN)
            for m in "ps"
        ),
        *(entry.facts.get(key, "-") for key in ("published", "licence", "trained_on")),
    ]
    return cells, folder


@command_line
def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--weights", type=Path, required=True, metavar="DIR", help="a folder for each network")
    add("--only", nargs="+", metavar="NAME", help="these folders; default: all of zoo.yml")
    add("--runs", type=int, default=3, help="of which the time is the median; default: 3")
    add("--output", type=Path, default=Path("results/zoo"), help="default: results/zoo")
    arguments = parser.parse_args()
    rows, folders = [], []
    for entry in entries(arguments.only):
        cells, folder = row(entry, arguments.weights, arguments.output, arguments.runs)
        rows.append(cells)
        folders.append(folder)
        print(" | ".join(map(str, cells)), flush=True)
    align = ("left", "left", *["right"] * 9, "left", "left")
    table = tabulate(rows, HEAD, "github", disable_numparse=True, colalign=align)
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "zoo.md").write_text(table + "\n", encoding="utf-8")
    with (arguments.output / "zoo.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([HEAD, *rows])
    page = build_page(collect(folders, dataset=DATASET, protocol=PROTOCOL))
    (arguments.output / "zoo.html").write_text(page, encoding="utf-8")
    print(table, f"Written: {arguments.output}/zoo.md, zoo.csv, zoo.html", sep="\n\n")


if __name__ == "__main__":
    main()
