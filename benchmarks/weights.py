"""The scores of the weights that come with this package, and the tables that show them.

python benchmarks/weights.py [--only photo surgery] [--result_dir results/weights]
python benchmarks/weights.py --take experiments/photo_photo/models/net_g_best.pth photo
python benchmarks/weights.py --only lnet_gie_gastroscopy --seeds 3

Scores every file of pretrained_weights/ on the datasets that benchmarks/weights.yml names, by the
protocol of its training, and writes pretrained_weights/scores.json and the tables of
pretrained_weights/README.md from it. No score is typed by hand. With --take, a training's weights,
averaged where they are, are put there first: rounded to 16 bits, as safetensors. With --seeds, each
file's training is repeated by so many other seeds, for the spread of its first score.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from tabulate import tabulate

from enhancement.errors import command_line
from enhancement.files import replace_file
from enhancement.inference.complexity import parameter_count
from enhancement.paths import SHIPPED_WEIGHTS
from enhancement.testing import command
from enhancement.weights.networks import build_from_file
from enhancement.weights.shipped import PURPOSES, shipped_weights
from enhancement.weights.state_dicts import read_weights
from enhancement.weights.tensor_files import SUFFIX, pack

FACTS = Path(__file__).with_name("weights.yml")
TRAIN = FACTS.parents[1] / "basicsr/train.py"
SCORES, README = SHIPPED_WEIGHTS / "scores.json", SHIPPED_WEIGHTS / "README.md"
BEGIN, END = "<!-- tables: python benchmarks/weights.py -->\n", "<!-- end of tables -->\n"
FORMS = (("psnr", ".3f"), ("ssim", ".4f"))


def facts() -> dict[str, dict[str, Any]]:
    """What weights.yml says of each file."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(FACTS.read_text(encoding="utf-8"))
    return found


def sha256(path: Path) -> str:
    """A file's checksum."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def take(path: str, name: str) -> None:
    """Put a training's averaged weights, if it has them, among those of this package."""
    state, meta = read_weights(path)
    halves = {key: v.half() if v.is_floating_point() else v for key, v in state.items()}
    content = pack({"params": halves, "meta": {**meta, "name": name}})
    replace_file(SHIPPED_WEIGHTS / f"{name}{SUFFIX}", content)
    (SHIPPED_WEIGHTS / f"{name}.pth").unlink(missing_ok=True)


def score(name: str, dataset: str, result_dir: str) -> dict[str, Any]:
    """Mean scores of weights and of the untouched inputs on a dataset's test images."""
    given = ["--weights", name, "--dataset", dataset, "--result_dir", result_dir]
    scores, _ = command.test(command.parse(given))
    return {
        "protocol": scores.protocol,
        "images": len(scores.rows),
        "input": finite(scores.mean("input")),
        "output": finite(scores.mean("output")),
    }


def trained_again(name: str, seed: int, result_dir: str) -> str:
    """The weights of a file's training by another seed."""
    run = f"{name}_seed_{seed}"
    force = [f"manual_seed={seed}", f"name={run}", f"path:experiments={result_dir}/seeds"]
    opt = str(FACTS.parents[1] / facts()[name]["command"])
    train = [sys.executable, str(TRAIN), "--opt", opt, "--auto_resume", "--force_yml", *force]
    subprocess.run(train, check=True)
    return f"{result_dir}/seeds/{run}/models/net_g_best.pth"


def spread(name: str, count: int, result_dir: str) -> list[dict[str, float | None]]:
    """The scores of a file's training by so many other seeds, on the first of its datasets."""
    dataset = facts()[name]["datasets"][0]
    files = [trained_again(name, seed, result_dir) for seed in range(1, count + 1)]
    return [score(file, dataset, result_dir)["output"] for file in files]


def finite(means: dict[str, float | None]) -> dict[str, float | None]:
    """Scores as JSON has them: an infinite PSNR, of equal images, becomes null."""
    return {k: v if v is not None and math.isfinite(v) else None for k, v in means.items()}


def shown(value: float | None, form: str) -> str:
    """A score as the table shows it."""
    return "∞" if value is None else f"{value:{form}}"


def entry(name: str, datasets: list[str], result_dir: str) -> dict[str, Any]:
    """Everything that scores.json says of one file."""
    path = shipped_weights()[name]
    network, meta = build_from_file(path)
    return {
        "sha256": sha256(path),
        "bytes": path.stat().st_size,
        "network": meta["network_g"]["type"],
        "parameters": parameter_count(network),
        "iterations": meta.get("iteration"),
        "commit": meta.get("commit"),
        "scores": {dataset: score(name, dataset, result_dir) for dataset in datasets},
    }


def by_seeds(scores: list[dict[str, float]]) -> str:
    """Mean and standard deviation of the PSNR of several trainings."""
    if not scores:
        return ""
    values = [one["psnr"] for one in scores]
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f} ({len(values)})"


def tables(found: dict[str, dict[str, Any]]) -> str:
    """The tables of pretrained_weights/README.md."""
    known = facts()
    files = [
        [
            f"`{name}`",
            PURPOSES[name],
            one["network"],
            f"{one['parameters']:,}",
            f"{one['bytes'] / 1e6:.2f} MB",
            f"`{known[name]['command']}`",
            known[name]["trained_on"],
            f"{known[name]['minutes']} min",
            f"`{one['commit'][:7]}`",
            f"`{one['sha256'][:16]}`",
        ]
        for name, one in found.items()
    ]
    scores = [
        [
            f"`{name}`",
            f"`{dataset}` ({row['images']})",
            f"`{row['protocol']}`",
            *(shown(row[s][metric], form) for s in ("input", "output") for metric, form in FORMS),
            by_seeds(one.get("seeds", [])) if dataset == known[name]["datasets"][0] else "",
        ]
        for name, one in found.items()
        for dataset, row in one["scores"].items()
    ]
    head = (
        *("name", "for", "network", "parameters", "size", "trained by", "trained on"),
        *("training, one core", "commit", "SHA-256"),
    )
    of_scores = (
        *("weights", "test images", "protocol", "input PSNR", "SSIM", "output PSNR", "SSIM"),
        "PSNR, other seeds (mean ± SD, n)",
    )
    return "\n\n".join(
        tabulate(rows, names, "github", disable_numparse=True)
        for rows, names in ((files, head), (scores, of_scores))
    )


def with_tables(text: str, found: dict[str, dict[str, Any]]) -> str:
    """A README with the tables between their marks."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{tables(found)}\n\n{END}{rest.partition(END)[2]}"


@command_line
def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--only", nargs="+", choices=facts(), help="these; default: all")
    add("--result_dir", default="results/weights", help="for tables; default: results/weights")
    add("--take", nargs=2, metavar=("FILE", "NAME"), help="put a training's weights there first")
    add("--seeds", type=int, default=0, metavar="N", help="train again by N seeds, at least 2")
    arguments = parser.parse_args()
    if arguments.take:
        take(*arguments.take)
        arguments.only = arguments.take[1:]
    before = json.loads(SCORES.read_text(encoding="utf-8")) if SCORES.exists() else {}
    found = {
        name: entry(name, known["datasets"], arguments.result_dir)
        if name in (arguments.only or facts()) or name not in before
        else before[name]
        for name, known in facts().items()
        if name in shipped_weights()
    }
    for name, one in found.items():
        if arguments.seeds and name in (arguments.only or facts()):
            one["seeds"] = spread(name, arguments.seeds, arguments.result_dir)
        elif one["sha256"] == before.get(name, {}).get("sha256") and "seeds" in before[name]:
            one["seeds"] = before[name]["seeds"]
    replace_file(SCORES, (json.dumps(found, indent=2) + "\n").encode())
    replace_file(README, with_tables(README.read_text(encoding="utf-8"), found).encode())
    print(f"Written: {SCORES}, {README}")


if __name__ == "__main__":
    main()
