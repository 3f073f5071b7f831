"""Runs side by side: their scores under one protocol on one dataset, and what they cost."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from enhancement.comparison.curves import Training, read_training
from enhancement.errors import UserError, hint
from enhancement.inference.complexity import multiply_adds
from enhancement.inference.run import eval_mode, run_padded
from enhancement.scoring.report import SCORES_FILE
from enhancement.weights.networks import build_stored

SIDE = 256  # of the image that multiply-adds and latency are given for
ROUNDS = 9
RUNS, OPTIONS = Path("experiments"), "options.yml"

ImageScores = dict[str, float | None]


@dataclass
class Result:
    """One row: what a scores.json says, and its run.

    Attributes:
        folder: Where scores.json lies.
        name: The run's; `label` tells it from others of that name.
        dataset, protocol: What it was scored on, and how.
        images: Their names, in order.
        outputs, inputs: Scores of each image; inputs are empty where there was no input.
        network_g: The network's options; None for outputs that came from elsewhere.
        parameters: How many the network has.
        run: The run's folder, where it is known.
        notes: As printed under its table.
        multiply_adds, latency: For SIDE x SIDE pixels; latency in seconds.
        training: The run's course.
    """

    folder: Path
    name: str
    dataset: str
    protocol: str
    images: list[str]
    outputs: list[ImageScores]
    inputs: list[ImageScores]
    network_g: dict[str, Any] | None
    parameters: int | None
    run: Path | None
    notes: list[str] = field(default_factory=list)
    label: str = ""
    multiply_adds: int | None = None
    latency: float | None = None
    training: Training = field(default_factory=Training)

    @property
    def network(self) -> str:
        """Its type; "-" where it is not known."""
        return str((self.network_g or {}).get("type", "-"))

    @property
    def metrics(self) -> list[str]:
        """Column names."""
        return list(self.outputs[0])


def mean_and_spread(rows: list[ImageScores], metric: str) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation over images; None where a score is missing or infinite."""
    values = [row[metric] for row in rows if metric in row]
    known = [v for v in values if v is not None and math.isfinite(v)]
    if not known or len(known) < len(values):
        return None, None
    return statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None


def _numbers(scores: dict[str, Any]) -> ImageScores:
    return {str(k): None if v is None else float(v) for k, v in scores.items()}


def _given(content: dict[str, Any], key: str, kind: type) -> Any:
    """A value that may be left out."""
    value = content.get(key)
    if value is not None and not isinstance(value, kind):
        raise TypeError(f"{key} is {value!r}")
    return value


def read_result(path: Path, run: Path | None = None) -> Result:
    """Read a scores.json.

    Args:
        path: The file.
        run: The run's folder, where it is known already.

    Raises:
        UserError: It cannot be read, or is not what we write.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        trained = content.get("trained") or {}
        name = str(content.get("name") or trained.get("name") or path.parent.name)
        result = Result(
            path.parent, name, str(content["dataset"]), str(content["protocol"]),
            [str(row["name"]) for row in content["images"]],
            [_numbers(row["output"]) for row in content["images"]],
            [_numbers(row["input"]) for row in content["images"]],
            _given(content, "network_g", dict), _given(content, "parameters", int), run,
            [str(note) for note in content.get("notes", [])],
        )  # fmt: skip
        if not result.images or not result.metrics:
            raise ValueError("it holds no image")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: is not a table of scores as test_from_dataset writes it ({error!r})"
        ) from error
    if run is None:
        weights = Path(str(content.get("weights", "")))
        places = (weights.parent.parent, RUNS / name)
        result.run = next((p for p in places if (p / OPTIONS).is_file()), None)
    return result


def find_results(path: Path, results: Path) -> list[Result]:
    """Every table of scores of a run folder (below `results`, by its name), or in a folder.

    Raises:
        UserError: There is none.
    """
    is_run = (path / OPTIONS).is_file()
    searched = results / path.resolve().name if is_run else path
    if searched.name == SCORES_FILE:
        return [read_result(searched)]
    files = sorted(searched.rglob(SCORES_FILE)) if searched.is_dir() else []
    if files:
        return [read_result(file, path if is_run else None) for file in files]
    if is_run:
        raise UserError(
            f"{path}: no scores of it in {searched}; make them: python "
            f"enhancement/test_from_dataset.py --weights {path}/models/net_g_best.pth --dataset ..."
        )
    if path.is_dir():
        raise UserError(f"{path}: no {SCORES_FILE} in it; name a run's folder, or one of results")
    there = [str(p) for root in (RUNS, results) if root.is_dir() for p in root.iterdir()]
    raise UserError(f"{path}: no such folder; {hint(str(path), there)}".rstrip("; "))


def collect(
    paths: Iterable[Path],
    results: Path = Path("results"),
    dataset: str | None = None,
    protocol: str | None = None,
) -> list[Result]:
    """The rows of one table, in the order of the paths.

    Args:
        paths: Run folders, or folders of results.
        results: Where test_from_dataset wrote.
        dataset, protocol: Which to take; None where all have the same.

    Raises:
        UserError: Nothing is found, or the rows would mix protocols, datasets or images.
    """
    found: dict[Path, Result] = {}
    asked = {"dataset": dataset, "protocol": protocol}
    for path in paths:
        all_of_it = find_results(path, results)
        mine = [r for r in all_of_it if all(v in (None, getattr(r, k)) for k, v in asked.items())]
        if not mine:
            there = sorted({f"{r.dataset} by {r.protocol}" for r in all_of_it})
            wanted = " by ".join(filter(None, (dataset, protocol)))
            raise UserError(f"{path}: no scores on {wanted}; it has {', '.join(there)}")
        for result in mine:
            found.setdefault(result.folder.resolve(), result)
    rows = list(found.values())
    for key in ("dataset", "protocol"):
        values = sorted({str(getattr(row, key)) for row in rows})
        if len(values) > 1:
            raise UserError(
                f"these runs were scored by several {key}s, which one table must not mix: "
                f"{', '.join(values)}; choose one with --{key}"
            )
    for row in rows:
        if row.images != rows[0].images:
            raise UserError(
                f"{row.folder}: was scored on other images than {rows[0].folder} "
                f"({len(row.images)} and {len(rows[0].images)}), though both are {row.dataset}; "
                f"test one of them again"
            )
    _label(rows)
    return rows


def _label(rows: list[Result]) -> None:
    names = Counter(row.name for row in rows)
    for row in rows:
        row.label = row.name if names[row.name] == 1 else f"{row.name} {row.folder.name}"
    labels = Counter(row.label for row in rows)
    for row in rows:
        if labels[row.label] > 1:
            row.label = str(row.folder)


def measure(rows: list[Result], device: torch.device | None = None) -> None:
    """Fill in multiply-adds, the runs' courses and, on `device`, the latency.

    Latencies are medians of rounds in which every network runs once, so that what else the machine
    does hits all alike.
    """
    networks = {}
    for row in rows:
        if row.run:
            row.training = read_training(row.run)
        if row.network_g:
            networks[row.label] = build_stored(row.network_g, row.folder / SCORES_FILE)
    costs: dict[str, int] = {}
    for row in rows:
        network = networks.get(row.label)
        if network is not None:
            key = json.dumps(row.network_g, sort_keys=True)
            costs[key] = costs.get(key) or multiply_adds(network, SIDE, SIDE)
            row.multiply_adds = costs[key]
    if device is None:
        return
    seconds: dict[str, list[float]] = {label: [] for label in networks}
    image = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)).to(device)
    for number in range(ROUNDS + 1):
        for label, network in networks.items():
            with eval_mode(network.to(device)):
                began = time.perf_counter()
                run_padded(network, image)
                if device.type == "cuda":
                    torch.cuda.synchronize()
            if number:  # the first round warms up
                seconds[label].append(time.perf_counter() - began)
    for row in rows:
        if row.label in seconds:
            row.latency = statistics.median(seconds[row.label])
