"""The folder of a run: made once, entered again only where that is asked for and makes sense."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import yaml

from enhancement.errors import UserError
from enhancement.options import Options, parse_yaml
from enhancement.tracking import log_to_file

# what may differ when a run is continued: nothing that its weights depend on
FREE_TO_CHANGE = re.compile(
    r"logger\.|val\.|path\.|num_gpu$|datasets\.(val|test)|"
    r"datasets\.train\.(num_worker_per_gpu|pin_memory|cache)$"
)


def find_state(opt: Options, resolved: Options, arguments: argparse.Namespace) -> Path | None:
    """The training state to go on from: the run's own latest, or the one the options name.

    Raises:
        UserError: The folder holds a run that was not to be continued, or cannot be.
    """
    run, latest = run_folder(opt), latest_state(opt)
    named = opt["path"]["resume_state"]
    used = latest.exists() or any((run / "models").glob("*.pth"))
    if not used or arguments.debug:
        return Path(named) if named else None
    if not arguments.auto_resume:
        raise UserError(
            f"{run}: holds a run already; go on with --auto_resume, give this one another name "
            f"(--force_yml name=...), or remove that folder"
        )
    if not latest.exists():
        raise UserError(f"{run}: holds weights but no training state; it cannot be continued")
    changed = changes_since(run, resolved)
    if changed:
        raise UserError("\n".join([f"{run}: cannot be continued with other options:", *changed]))
    return latest


def run_folder(opt: Options) -> Path:
    """Where everything of a run is kept."""
    return Path(opt["path"]["experiments_root"])


def latest_state(opt: Options) -> Path:
    """The state that a run goes on from."""
    return Path(opt["path"]["training_states"], "latest.state")


def changes_since(run: Path, resolved: Options) -> list[str]:
    """What differs from the options that a run was started with, and would change its course."""
    path = run / "options.yml"
    try:
        before = parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error}); the run needs it to go on") from error
    old, new = (flatten(options) for options in (before, resolved))
    return [
        f"  {key}: was {old.get(key)!r}, is {new.get(key)!r}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key) and not FREE_TO_CHANGE.match(key)
    ]


def flatten(options: Any, at: str = "") -> dict[str, Any]:
    """Nested options as `a.b.c: value`."""
    if not isinstance(options, dict):
        return {at: options}
    return {
        key: value
        for name, inner in options.items()
        for key, value in flatten(inner, f"{at}.{name}" if at else name).items()
    }


def open_run(opt: Options, resolved: Options) -> Path:
    """Make the run's folder, with its options and log; the folder.

    Raises:
        UserError: It cannot be written.
    """
    run = run_folder(opt)
    try:
        for folder in ("models", "training_states"):
            (run / folder).mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(resolved, sort_keys=False)
        (run / "options.yml").write_text(text, encoding="utf-8")
        log_to_file(run / "train.log")
    except OSError as error:
        raise UserError(f"{run}: cannot be written ({error})") from error
    return run
