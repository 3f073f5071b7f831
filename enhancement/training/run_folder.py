"""The folder of a run: made once, entered again only where that is asked for and makes sense."""

from __future__ import annotations

import fcntl
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from enhancement.config.context import RunContext
from enhancement.config.files import Options
from enhancement.config.load import parse_config
from enhancement.config.plain_yaml import as_yaml, parse_yaml
from enhancement.errors import UserError
from enhancement.files import remove_temporaries, replace_file, require_file, writing
from enhancement.paths import locate
from enhancement.registry import SCHEDULERS, lookup, run_length_arguments
from enhancement.training.progress import log_to_file
from enhancement.weights.storage import read
from enhancement.weights.tensor_files import WEIGHTS

logger = logging.getLogger("enhancement")
LOCK = ".lock"
TOTAL = "train.total_iter"

# what may differ when a run is continued: nothing that its weights depend on (the files of frozen
# parts may lie elsewhere; their weights' hash is kept)
FREE_TO_CHANGE = re.compile(
    r"logger\.(?!weights_format)|train\.(max_skipped$|frozen\.)|val\.|path\.|num_gpu$|datasets\.(val|test)|"
    r"datasets\.train\.(num_worker_per_gpu|pin_memory|cache)$"
)


def find_state(
    context: RunContext, auto_resume: bool, debug: bool, extend: bool = False
) -> Path | None:
    """The training state to go on from: the run's own latest, or the one that the options name.

    Args:
        context: The run.
        auto_resume: Whether to go on with a run that is there.
        debug: Whether a run that is there does not matter.
        extend: Whether it may become longer where its schedule follows its length.

    Raises:
        UserError: The folder holds a run that was not to be continued, or cannot be.
    """
    run, named = context.folder, context.config.path.resume_state
    resumable = latest_state(run).exists() or previous_state(run).exists()
    used = resumable or weights_files(run)
    if not used or debug:
        return locate(named) if named else None
    if not auto_resume:
        raise UserError(
            f"{run}: holds a run already; go on with --auto_resume, give this one another name "
            f"(--force_yml name=...), or remove that folder"
        )
    if not resumable:
        raise UserError(f"{run}: holds weights but no training state; it cannot be continued")
    changed = changes_since(run, context.config.resolved, extend)
    if changed:
        raise UserError("\n".join([f"{run}: cannot be continued with other options:", *changed]))
    return last_whole_state(run)


def last_whole_state(run: Path) -> Path:
    """The latest state, or the one before where the latest is damaged.

    Raises:
        UserError: Both are damaged.
    """
    faults = []
    for path in (latest_state(run), previous_state(run)):
        if not path.exists():
            continue
        try:
            read(path)
        except UserError as error:
            faults.append(str(error))
            continue
        for fault in faults:
            logger.warning("%s; going on from the state before", fault)
        return path
    raise UserError("\n".join(faults))


def weights_files(run: Path) -> list[Path]:
    """The files of weights in a run's folder."""
    return sorted(p for p in (run / "models").glob("*") if p.suffix in WEIGHTS)


def latest_state(run: Path) -> Path:
    """The state that a run goes on from."""
    return run / "training_states" / "latest.state"


def previous_state(run: Path) -> Path:
    """The state before the latest."""
    return run / "training_states" / "previous.state"


_locks: set[IO[str]] = set()


def _close_locks() -> None:
    """A data worker must not hold the lock of a trainer that has died."""
    for file in _locks:
        file.close()
    _locks.clear()


os.register_at_fork(after_in_child=_close_locks)


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Keep a run's folder to this process; its death gives the folder back.

    Raises:
        UserError: Another process trains there, or the folder cannot be written.
    """
    was_there = run.exists()
    with writing(run):
        run.mkdir(parents=True, exist_ok=True)
        file = (run / LOCK).open("a")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{run}: another process is training in it; wait for it, or give this run another "
                f"name (--force_yml name=...)"
            ) from None
        except OSError as error:
            logger.warning("%s: cannot be locked (%s); start no second run in it", run, error)
        _locks.add(file)
        for folder in (run, run / "models", run / "training_states"):
            remove_temporaries(folder)  # left behind by a process killed while it saved
        try:
            yield
        finally:
            _locks.discard(file)
            if not was_there and {p.name for p in run.iterdir()} <= {LOCK}:
                (run / LOCK).unlink()
                remove_empty(run)


def remove_empty(folder: Path) -> None:
    """Remove a folder that holds nothing, and the folder of runs if that was all."""
    for path in (folder, folder.parent):
        try:
            path.rmdir()
        except OSError:
            return


def prune(run: Path, keep: int) -> None:
    """Keep the newest `keep` numbered checkpoints."""
    for pattern in ("models/net_g_[0-9]*", "training_states/[0-9]*.state"):
        numbered = [p for p in run.glob(pattern) if re.fullmatch(r"(net_g_)?\d+", p.stem)]
        found = sorted(numbered, key=lambda p: int(p.stem.removeprefix("net_g_")))
        for path in found[: max(0, len(found) - keep)]:
            path.unlink()


def changes_since(run: Path, resolved: Options, extend: bool = False) -> list[str]:
    """What differs from the options that a run was started with, and would change its course.

    Args:
        run: Its folder.
        resolved: The options now.
        extend: Whether a schedule may be stretched to more iterations.
    """
    path = run / "options.yml"
    try:
        before = parse_yaml(require_file(path).read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error}); the run needs it to go on") from error
    if not isinstance(before, dict) or not isinstance(before.get("train"), dict):
        raise UserError(
            f"{path}: is not the options of a run any more; the run needs them to go on"
        )
    free = FREE_TO_CHANGE
    old, new = (flatten(options) for options in (_with_defaults(before), resolved))
    total = old.get(TOTAL)
    longer = isinstance(total, int) and new[TOTAL] > total
    if not follows_total(before) or (extend and longer):
        free = re.compile(f"{free.pattern}|{re.escape(TOTAL)}$")
    advice = {TOTAL: "; --extend stretches the schedule to it"} if longer else {}
    return [
        f"  {key}: was {old.get(key)!r}, is {new.get(key)!r}{advice.get(key, '')}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key) and not free.match(key)
    ]


def _with_defaults(options: Options) -> Options:
    """A run's stored options with defaults for keys added since; unchanged if invalid."""
    try:
        return parse_config(options).resolved
    except (AttributeError, KeyError, TypeError, ValueError):
        return options


def follows_total(options: Options) -> bool:
    """Whether the learning rate's course depends on `train.total_iter`."""
    scheduler = options["train"].get("scheduler")
    return bool(scheduler) and bool(
        run_length_arguments(lookup(SCHEDULERS, scheduler["type"])) - scheduler.keys()
    )


def flatten(options: Any, at: str = "") -> dict[str, Any]:
    """Nested options as `a.b.c: value`."""
    if not isinstance(options, dict):
        return {at: options}
    return {
        key: value
        for name, inner in options.items()
        for key, value in flatten(inner, f"{at}.{name}" if at else name).items()
    }


def open_run(context: RunContext) -> None:
    """Make the run's folder, with its options and log.

    Raises:
        UserError: It cannot be written.
    """
    run = context.folder
    with writing(run):
        for folder in ("models", "training_states"):
            (run / folder).mkdir(parents=True, exist_ok=True)
        text = as_yaml(context.config.resolved)
        replace_file(run / "options.yml", text.encode())
        log_to_file(run / "train.log")
