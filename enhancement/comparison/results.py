"""Runs side by side: their scores under one protocol on one dataset, read from files."""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from enhancement.comparison.curves import Training
from enhancement.errors import UserError, hint
from enhancement.files import files_below, require_file
from enhancement.paths import inside
from enhancement.scoring.protocols import VIDEO
from enhancement.scoring.report import SCORES_FILE

RUNS, OPTIONS = Path("experiments"), "options.yml"

LARGEST = 10**12  # of a score or a number of parameters

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
        multiply_adds, latency: Filled in by costs.py, for one image; latency in seconds.
        training: How the run was trained; filled in by costs.py.
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
    def of(self) -> str:
        """What a row of scores is of."""
        return "clip" if self.protocol == VIDEO.name else "image"

    @property
    def metrics(self) -> list[str]:
        """Column names."""
        return list(self.outputs[0])


def mean_and_spread(rows: list[ImageScores], metric: str) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation over images; None where a score is missing.

    Identical images have an infinite PSNR: their mean is infinite too, and has no deviation.
    """
    values = [row[metric] for row in rows if metric in row]
    known = [v for v in values if v is not None and not math.isnan(v)]
    if not known or len(known) < len(values):
        return None, None
    mean = statistics.fmean(known)
    spread = statistics.stdev(known) if len(known) > 1 and math.isfinite(mean) else None
    return mean, spread


def _numbers(scores: dict[str, Any]) -> ImageScores:
    """Scores by metric; what is not a number, and infinity, are written as texts."""
    found = {name: None if v is None else float(v) for name, v in scores.items()}
    for name, value in found.items():
        if value is not None and math.isfinite(value) and abs(value) > LARGEST:
            raise ValueError(f"{name} is {value:g}")
    return found


def _optional(content: dict[str, Any], key: str, kind: type) -> Any:
    """A value that may be left out."""
    value = content.get(key)
    if value is not None and not isinstance(value, kind):
        raise TypeError(f"{key} is {value!r}")
    if isinstance(value, int) and not 0 <= value <= LARGEST:
        raise ValueError(f"{key} is {value:.3g}")
    return value


def _as_result(content: dict[str, Any], folder: Path, run: Path | None) -> Result:
    """What a scores.json holds, checked on the way."""
    trained = content.get("trained") or {}
    name = str(content.get("name") or trained.get("name") or folder.name)
    run = _run_of(name, str(content.get("weights") or ""), run)
    result = Result(
        folder=folder,
        name=name,
        dataset=str(content["dataset"]),
        protocol=str(content["protocol"]),
        images=[str(row["name"]) for row in content["images"]],
        outputs=[_numbers(row["output"]) for row in content["images"]],
        inputs=[_numbers(row["input"]) for row in content["images"]],
        network_g=_optional(content, "network_g", dict),
        parameters=_optional(content, "parameters", int),
        run=run,
        notes=[str(note) for note in content.get("notes", [])],
    )
    if not result.images or not result.metrics or not all(result.images):
        raise ValueError("it holds no image, or one without a name")
    return result


def _run_of(name: str, weights: str, known: Path | None) -> Path | None:
    """The folder of the run that gave the weights; None where that is not known.

    Args:
        name: What a scores.json says was scored.
        weights: The file that it names; shipped and published ones are of no run here.
        known: The run that the scores were looked up for.

    Raises:
        UserError: They are those of another run of its name.
    """
    if weights and Path(weights).parent.parent.name != (known.resolve().name if known else name):
        return None
    if known:
        theirs = Path(weights).parent.parent
        if weights and (theirs / OPTIONS).is_file() and not theirs.samefile(known):
            raise UserError(
                f"{known}: its scores are those of {theirs}, a run of the same name; test it again"
            )
        return known
    for folder, below in ((Path(), f"{Path(weights).parent.parent}"), (RUNS, name)):
        with suppress(UserError, OSError):
            run = inside(folder, below)
            if (run / OPTIONS).is_file():
                return run
    return None


def read_result(path: Path, run: Path | None = None) -> Result:
    """Read a scores.json.

    Args:
        path: The file.
        run: The run's folder, where it is known already.

    Raises:
        UserError: It cannot be read, or is not what we write.
    """
    try:
        content = json.loads(require_file(path).read_text(encoding="utf-8"))
        return _as_result(content, path.parent, run)
    except RecursionError as error:
        raise UserError(f"{path}: is nested too deeply for a table of scores") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise UserError(
            f"{path}: is not a table of scores as test_from_dataset writes it ({error!r})"
        ) from error


def find_results(path: Path, results: Path) -> list[Result]:
    """Every table of scores of a run folder (below `results`, by its name), or in a folder.

    Raises:
        UserError: There is none.
    """
    is_run = (path / OPTIONS).is_file()
    searched = results / path.resolve().name if is_run else path
    if searched.name == SCORES_FILE:
        return [read_result(searched)]
    below = files_below(searched) if searched.is_dir() else []
    files = [file for file in below if file.name == SCORES_FILE]
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
        every = find_results(path, results)
        chosen = [r for r in every if all(v in (None, getattr(r, k)) for k, v in asked.items())]
        if not chosen:
            there = sorted({f"{r.dataset} by {r.protocol}" for r in every})
            wanted = " by ".join(filter(None, (dataset, protocol)))
            raise UserError(f"{path}: no scores on {wanted}; it has {', '.join(there)}")
        for result in chosen:
            found.setdefault(result.folder.resolve(), result)
    rows = list(found.values())
    _refuse_to_mix(rows)
    _label(rows)
    return rows


def _refuse_to_mix(rows: list[Result]) -> None:
    """Raise a UserError where rows differ in protocol, dataset or images."""
    for key in ("dataset", "protocol"):
        values = sorted({str(getattr(row, key)) for row in rows})
        if len(values) > 1:
            raise UserError(
                f"these runs were scored by several {key}s, which one table must not mix: "
                f"{', '.join(values)}; choose one with --{key}"
            )
    for row in rows:
        if _stems(row) != _stems(rows[0]):
            raise UserError(
                f"{row.folder}: was scored on other images than {rows[0].folder} "
                f"({len(row.images)} and {len(rows[0].images)}), though both are {row.dataset}; "
                f"test one of them again"
            )
    given = [row for row in rows if row.inputs[0]]
    for row in given[1:]:
        if not all(map(_alike, row.inputs, given[0].inputs)):
            raise UserError(
                f"{row.folder}: its untouched inputs have other scores than those of "
                f"{given[0].folder}, though both are {row.dataset}; test one of them again"
            )


def _alike(one: ImageScores, other: ImageScores) -> bool:
    """Whether two scores of the same image agree, but for the rounding of devices."""
    pairs = [(one[m], other[m]) for m in one.keys() & other.keys()]
    return all(
        a is None or b is None or math.isclose(a, b, rel_tol=1e-3, abs_tol=0.01) or a != a or b != b
        for a, b in pairs
    )


def _stems(row: Result) -> list[str]:
    """The names of its images; outputs may be files of another kind than inputs."""
    return [str(PurePath(name).with_suffix("")) for name in row.images]


def _label(rows: list[Result]) -> None:
    """Give each row a label of its own: its name, with as much of its folder as it takes."""
    names = Counter(row.name for row in rows)
    for row in rows:
        row.label = row.name if names[row.name] == 1 else f"{row.name} {row.folder.name}"
    labels = Counter(row.label for row in rows)
    for row in rows:
        if labels[row.label] > 1:
            row.label = str(row.folder)
