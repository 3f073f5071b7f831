"""What the tables of papers, made again, are made of: methods, training, scores, a picture.

A table's YAML file lists its methods. Each one names an option file (or several, a stage each), a
network without weights, or why it cannot be had; and a published file that is scored as it is.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import yaml

from enhancement.config.datasets import dataset_block, derive_sets
from enhancement.config.files import OptionFile, named_files
from enhancement.data.images import Array, read_image
from enhancement.data.loader import eval_loader
from enhancement.errors import UserError
from enhancement.paths import locate
from enhancement.scoring.evaluation import Scores
from enhancement.testing import command as test_from_dataset
from enhancement.training import command as train
from enhancement.weights.provenance import git_commit

OPTIONS = Path(__file__).resolve().parent.parent / "options"
COSINE = "train:scheduler={type: CosineAnnealingLR, eta_min: 1e-6}"
PROBES = 4, 16, 64, 256  # iterations: what one costs is told by those that a run has beyond another
LONG_ENOUGH = 5.0  # seconds that the longer run takes beyond the other
WIDTH = 220  # of an image in a picture


@dataclass(frozen=True)
class Method:
    """One row's method.

    Attributes:
        title: In the table.
        paper: PSNR and SSIM in the paper's own table.
        unpaired: Whether it is trained on the dark images alone.
        stages: Option files under options/, trained one after the other.
        force: Their overrides; `{previous}` is the weights file of the stage before.
        schedule: Instead of the option files' own.
        network: `--network` of a method without weights.
        published: Its authors' file, or the folder that holds it, as in option files.
        missing: Why there is no such method here.
    """

    title: str
    paper: str = "-"
    unpaired: bool = False
    stages: list[str] = field(default_factory=list)
    force: list[str] = field(default_factory=list)
    schedule: str | None = None
    network: str | None = None
    published: str | None = None
    missing: str | None = None

    def trained_on(self, dataset: str) -> str:
        """The dataset that it is trained on, to be tested on this one."""
        return f"{dataset}_dark" if self.unpaired else dataset

    @property
    def published_file(self) -> Path | None:
        """The authors' file, where it is there."""
        if self.published is None:
            return None
        path = locate(self.published)
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        return next((file for file in files if file.is_file()), None)


def read_methods(path: Path, only: list[str] | None = None) -> dict[str, Method]:
    """The methods of a YAML file by their keys, in its order."""
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {key: Method(**facts) for key, facts in found.items() if only is None or key in only}


def add_arguments(
    parser: argparse.ArgumentParser, methods: Path, output: Path, seconds: float = 150
) -> None:
    """What every table takes."""
    add = parser.add_argument
    known = list(read_methods(methods))
    said = f"of processor time to train each; default: {seconds:g}"
    add("--seconds", type=float, default=seconds, help=said)
    add("--only", nargs="+", choices=known, metavar="NAME", help=f"of {', '.join(known)}")
    add("--output", type=Path, default=output, help=f"runs and results; default: {output}")


@dataclass(frozen=True)
class Stage:
    """One training of a table: an option file with overrides, under a name, below `runs`."""

    runs: Path
    name: str
    opt: Path
    dataset: str
    schedule: str | None
    force: list[str]

    def run(self, iterations: int, ending: str = "") -> float:
        """Train; the seconds of processor time that it took."""
        ends = [f"val:val_freq={iterations}", f"logger:save_checkpoint_freq={iterations}"]
        force = [f"name={self.name}{ending}", f"train:total_iter={iterations}", *ends, *self.force]
        given = ["--opt", str(self.opt), "--dataset", self.dataset, "--auto_resume"]
        given += ["--schedule", self.schedule] if self.schedule else []
        began = time.process_time()
        if status := train.run_training(train.parse([*given, "--force_yml", *force])):
            raise SystemExit(status)
        return time.process_time() - began

    def iterations(self, seconds: float) -> int:
        """How many fit into so many seconds of processor time."""
        self._probe(1)  # the first run of a process does more
        few = self._probe(PROBES[0])
        for before, n in pairwise(PROBES):
            more = self._probe(n)
            each = (more - few) / (n - before)
            if more - few > LONG_ENOUGH:
                break
            few = more
        return max(1, round(seconds / max(each, 1e-4)))

    def _probe(self, iterations: int) -> float:
        """The seconds that a run of its own takes, of which nothing is kept."""
        ending = f"_probe_{iterations}"
        for folder in self.runs.glob(f"{self.name}{ending}*"):
            shutil.rmtree(folder)
        seconds = self.run(iterations, ending)
        for folder in self.runs.glob(f"{self.name}{ending}*"):
            shutil.rmtree(folder)
        return seconds


def train_within(
    method: Method, key: str, dataset: str, seconds: float, output: Path
) -> tuple[Path, int]:
    """Train every stage of a method, each for its share of so many seconds of processor time.

    A stage that was trained before is taken as it is, and one that was stopped goes on.

    Returns:
        The last stage's weights, and the iterations of all stages.

    Raises:
        UserError: It was trained for another time.
    """
    runs, weights, total = output / "runs", Path(), 0
    for number, opt in enumerate(method.stages):
        given = [text.replace("{previous}", str(weights)) for text in method.force]
        force = [text for text in given if number or "train:frozen" not in text]
        name = f"{dataset}_{key}_{number + 1}"
        force += [COSINE, f"path:experiments={runs}"]
        stage = Stage(runs, name, OPTIONS / f"{opt}.yml", dataset, method.schedule, force)
        planned = runs / f"{name}.json"
        if not planned.exists():
            iterations = stage.iterations(seconds / len(method.stages))
            planned.write_text(json.dumps({"seconds": seconds, "iterations": iterations}))
        plan = json.loads(planned.read_text())
        if plan["seconds"] != seconds:
            raise UserError(
                f"{runs / name}: was trained for {plan['seconds']:g} seconds, not {seconds:g}; "
                f"remove it and {planned.name}, or choose another --output"
            )
        stage.run(plan["iterations"])
        total += plan["iterations"]
        weights = runs / name / "models" / "net_g_latest.pth"
    return weights, total


def sha256(file: Path) -> str:
    """A weights file's checksum."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def save(output: Path, text: str, found: dict[str, Any], **about: Any) -> None:
    """Write a table as Markdown, and as the JSON that report.py makes it of.

    Args:
        output: The folder; the files bear its name.
        text: Markdown.
        found: Of each method, by its key.
        about: How it was made.
    """
    output.mkdir(parents=True, exist_ok=True)
    about |= {"commit": git_commit(), "torch": torch.__version__}
    content = json.dumps({"about": about, "methods": found}, indent=2) + "\n"
    (output / f"{output.name}.md").write_text(text + "\n", encoding="utf-8")
    (output / f"{output.name}.json").write_text(content, encoding="utf-8")
    print(text, f"Written: {output}/{output.name}.md and .json", sep="\n\n")


def score(source: list[str], dataset: str, protocol: str, images: Path) -> Scores:
    """Score `--weights FILE` or `--network NAME`; the enhanced images go to a folder."""
    given = [*source, "--dataset", dataset, "--protocol", protocol, "--save_images", str(images)]
    given += ["--result_dir", str(images.parent.parent / "results")]
    return test_from_dataset.test(test_from_dataset.parse(given))[0]


def test_pairs(dataset: str) -> Iterator[tuple[str, Array, Array]]:
    """The name of each test image of a dataset, its input and its ground truth in 8 bits."""
    sets = derive_sets(OptionFile(named_files("datasets")[dataset]).options["datasets"])
    for sample in eval_loader(dataset_block("test", sets["test"])):
        lq, gt = (
            (sample[side][0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
            for side in ("lq", "gt")
        )
        yield sample["name"][0], lq, gt


def picture(dataset: str, columns: list[Path], every: int = 1, shown: int = 4) -> Array:
    """Input, the image of each folder, ground truth: a row for each of a few test images.

    Args:
        dataset: A file of options/datasets.
        columns: Folders that `score` wrote.
        every: Take one test image in so many.
        shown: How many.
    """
    rows = []
    for name, lq, gt in islice(test_pairs(dataset), 0, every * shown, every):
        file = Path(name).with_suffix(".png")
        images = [lq, *(read_image(folder / file) for folder in columns), gt]
        height = round(WIDTH * lq.shape[0] / lq.shape[1])
        small = [cv2.resize(i, (WIDTH, height), interpolation=cv2.INTER_AREA) for i in images]
        rows.append(np.concatenate(small, 1))
    return np.concatenate(rows)
