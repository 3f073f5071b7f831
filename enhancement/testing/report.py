"""Tables on the terminal; scores, pictures and what is to be known of them in files."""

from __future__ import annotations

from typing import Any

import torch

from enhancement.data.images import write_image
from enhancement.inference.complexity import parameter_count
from enhancement.inference.side_by_side import write_picture
from enhancement.scoring.brightness import sweep_table, write_sweep
from enhancement.scoring.brightness_plot import curve
from enhancement.scoring.report import sides_table, table, write_scores
from enhancement.scoring.thumbnails import write_thumbnails
from enhancement.weights.provenance import git_commit

from .plan import Plan
from .score import Results


def report(plan: Plan, results: Results) -> None:
    """Write and print everything that was found."""
    scores = results.scores
    scores.notes += notes_on_weights(plan)
    tables = [table(scores), *map(table, results.extra)]
    about = {**describe(plan), "engine": results.engine}
    if results.sides:
        about["segmentation"] = {side: found.mean() for side, found in results.sides.items()}
        tables.append(sides_table(results.sides))
    if results.detected:
        about["detection"] = {side: found.mean() for side, found in results.detected.items()}
        tables.append(sides_table(results.detected))
    files = list(write_scores(plan.folder, scores, about))
    for other in results.extra:
        files += write_scores(plan.folder_of(other.protocol), other, about)
    files.append(write_picture(plan.folder / "comparison.png", results.rows))
    write_thumbnails(plan.folder, results.thumbnails)
    if results.sweep:
        tables.append(sweep_table(results.sweep))
        files.append(write_sweep(plan.folder, results.sweep))
        files.append(plan.folder / "brightness.png")
        write_image(files[-1], curve(results.sweep))
    print("\n\n".join(tables))
    print("Written:", *files)
    if plan.arguments.save_images:
        print(f"Images: {plan.arguments.save_images}")


def describe(plan: Plan) -> dict[str, Any]:
    """What else scores.json says: network, weights and how they were run."""
    return {
        "name": plan.label,
        "network_g": plan.network_g,
        "parameters": parameter_count(plan.network),
        "weights": None if plan.named else str(plan.arguments.weights),
        "trained": {k: v for k, v in plan.meta.items() if k != "network_g"},
        "self_ensemble": plan.arguments.self_ensemble,
        "torch": torch.__version__,
        "commit": git_commit(),
    }


def notes_on_weights(plan: Plan) -> list[str]:
    """What a reader of the table must know of the weights."""
    notes = []
    meta, best = plan.meta, plan.meta.get("best")
    if meta.get("selected") == "best" and best:
        where = "ON THE TEST SET, as asked for" if best["on_test_set"] else "on held-out images"
        notes.append(
            f"checkpoint of iteration {best['iteration']}, chosen {where} ({best['dataset']}, "
            f"{best['metric']} {best['value']:.3f} by {best['protocol']})"
        )
    if plan.config and not plan.named and meta.get("network_g") not in (None, plan.network_g):
        notes.append("the weights were trained with other network options than the option file's")
    if plan.arguments.self_ensemble:
        notes.append("self-ensemble of 8 flips and rotations")
    return notes
