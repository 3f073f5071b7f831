"""What a run shows while it goes: terminal, log file, TensorBoard."""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

logger = logging.getLogger("enhancement")

PICTURE_WIDTH = 960


class _AboveTheBar(logging.Handler):
    """Prints without tearing the progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stdout)


def log_to_terminal(quiet: bool = False) -> None:
    """Send the package's messages to the terminal; `quiet` keeps only warnings."""
    logger.handlers.clear()
    logger.addHandler(_AboveTheBar())
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    logger.propagate = False


class _LogFile(logging.FileHandler):
    """Ends where it cannot be written, instead of the run."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        logger.removeHandler(self)
        logger.warning("%s: cannot be written (%s); it ends here", self.baseFilename,
                       sys.exc_info()[1])  # fmt: skip


def log_to_file(path: Path) -> None:
    """Also write messages to a file, each with its time."""
    handler = _LogFile(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger.addHandler(handler)


def hyper_parameters(opt: dict[str, Any]) -> dict[str, str | int | float]:
    """What TensorBoard's HPARAMS tab compares runs by."""
    train, data = opt["train"], opt["datasets"].get("train", {})
    chosen: dict[str, Any] = {
        "arch": opt["network_g"]["type"],  # first in the alphabetical table
        "dataset": data.get("name"),
        "total_iter": train["total_iter"],
        "batch_size": data.get("batch_size_per_gpu", 1),
        "gt_size": data.get("gt_size") or data.get("resize"),
        "optimizer": train["optim_g"]["type"],
        "lr": train["optim_g"].get("lr"),
        "scheduler": (train["scheduler"] or {}).get("type"),
        "ema_decay": train["ema_decay"],
        "losses": ", ".join(
            str(value["type"]) for key, value in train.items() if key.endswith("_opt") and value
        ),
        "seed": opt["manual_seed"],
    }
    chosen |= {f"arch.{k}": v for k, v in opt["network_g"].items() if k != "type"}
    return {k: v if isinstance(v, (int, float)) else str(v) for k, v in chosen.items()}


def start_wandb(project: str, run_id: str | None, opt: dict[str, Any], folder: Path) -> None:
    """Mirror TensorBoard to Weights & Biases."""
    import wandb

    wandb.init(project=project, name=opt["name"], id=run_id, resume="allow", config=opt,
               dir=str(folder), sync_tensorboard=True)  # fmt: skip


def _shown_unless_told(failure: threading.ExceptHookArgs) -> None:
    """TensorBoard's thread hands an OSError to its next caller, who says it in a line."""
    if failure.exc_type is None or not issubclass(failure.exc_type, OSError):
        threading.__excepthook__(failure)


def after_event_files(folder: Path) -> None:
    """Wait until the next second where a run's last event file is of this one.

    TensorBoard reads a run's files in the order of their names, which begin with the second; two of
    one second may be read the wrong way round, and what a continued run writes is then dropped.
    """
    seconds = [
        int(found[1])
        for path in folder.glob("events.out.tfevents.*")
        if (found := re.match(r"events\.out\.tfevents\.(\d+)\.", path.name))
    ]
    if seconds and max(seconds) == int(time.time()):
        time.sleep(1 - time.time() % 1)


class Tracker:
    """TensorBoard for one run; does nothing where `logger.use_tb_logger` is off.

    Args:
        folder: The run's.
        opt: Resolved options, shown as text.
        start_iter: What a killed run wrote beyond this is dropped.
    """

    def __init__(self, folder: Path, opt: dict[str, Any], start_iter: int = 0):
        self.opt = opt
        self.writer: Any = None
        if opt["logger"]["use_tb_logger"]:
            from torch.utils.tensorboard import SummaryWriter

            wandb = opt["logger"]["wandb"] or {}
            if wandb.get("project"):
                start_wandb(wandb["project"], wandb.get("resume_id"), opt, folder)
            threading.excepthook = _shown_unless_told
            after_event_files(folder)
            self.writer = SummaryWriter(str(folder), purge_step=start_iter + 1)
            text = yaml.safe_dump(opt, sort_keys=False)
            self.writer.add_text("options", f"```yaml\n{text}\n```", start_iter)

    @contextmanager
    def _may_end(self) -> Iterator[None]:
        """Curves that cannot be written end, instead of the run."""
        try:
            yield
        except OSError as error:
            self.writer = None
            logger.warning("TensorBoard's file cannot be written (%s); its curves end here", error)

    def add_scalar(self, tag: str, value: float | None, iteration: int) -> None:
        """One point of a curve."""
        if self.writer and value is not None:
            with self._may_end():
                self.writer.add_scalar(tag, value, iteration)

    def add_pictures(self, tag: str, rows: list[Tensor], iteration: int) -> None:
        """Rows (1, 3, H, W) in [0, 1] below each other, at most PICTURE_WIDTH wide."""
        if not self.writer or not rows:
            return
        width = min(PICTURE_WIDTH, max(row.shape[-1] for row in rows))
        scaled = [
            F.interpolate(row, (max(1, round(row.shape[-2] * width / row.shape[-1])), width),
                          mode="bilinear", antialias=True)
            for row in rows
        ]  # fmt: skip
        with self._may_end():
            self.writer.add_image(tag, torch.cat(scaled, 2)[0].clamp(0, 1), iteration)

    def finish(self, metrics: dict[str, float]) -> None:
        """Record the hyper-parameters with the final metrics, then close."""
        if not self.writer:
            return
        from torch.utils.tensorboard.summary import hparams

        with self._may_end():
            if metrics:
                for summary in hparams(hyper_parameters(self.opt), metrics):
                    self.writer.file_writer.add_summary(summary)
                for tag, value in metrics.items():
                    self.writer.add_scalar(tag, value, self.opt["train"]["total_iter"])
            self.writer.close()


class Progress:
    """A bar with the time left on a terminal, plain lines elsewhere; measures the loop.

    Args:
        total, start: Iterations of the run, and those already done.
        every: Iterations between two lines or log entries.
        visible: False for all processes but the first.
    """

    def __init__(self, total: int, start: int, every: int, visible: bool = True):
        self.total, self.start, self.every = total, start, every
        self.visible, self.is_terminal = visible, sys.stderr.isatty()
        self.bar = tqdm(
            total=total, initial=start, unit="it", dynamic_ncols=True, smoothing=0.05,
            disable=not (visible and self.is_terminal),
        )  # fmt: skip
        self.began = self.since = time.perf_counter()
        self.waited, self.counted = 0.0, 0

    def data_ready(self, waited: float) -> None:
        """Note how long the loop waited for a batch."""
        self.waited += waited

    def advance(self, iteration: int) -> bool:
        """Count an iteration; True where it is time to log."""
        self.bar.update()
        self.counted += 1
        return iteration % self.every == 0 or iteration == self.total

    def times(self) -> dict[str, float]:
        """Since the last call: mean seconds of an iteration and of its wait for data; the share."""
        now = time.perf_counter()
        count, passed = max(1, self.counted), now - self.since
        found = {"iteration": passed / count, "data": self.waited / count,
                 "waiting_share": self.waited / passed}  # fmt: skip
        self.since, self.waited, self.counted = now, 0.0, 0
        return found

    def skip(self, seconds: float) -> None:
        """Leave validation and saving out of the iteration time."""
        self.since += seconds

    def show(self, iteration: int, terms: dict[str, float], rate: float,
             times: dict[str, float]) -> None:  # fmt: skip
        """Losses, learning rate and speed: behind the bar, or as a line with the time left."""
        losses = " ".join(f"{name} {value:.4g}" for name, value in terms.items())
        self.bar.set_postfix_str(losses)
        done = iteration - self.start
        left = (time.perf_counter() - self.began) / max(1, done) * (self.total - iteration)
        line = (
            f"iteration {iteration}/{self.total}  {losses}  lr {rate:.3g}  "
            f"{times['iteration']:.3f} s/it ({times['waiting_share']:.0%} waiting for data)  "
            f"left {duration(left)}"
        )
        if self.visible and not self.is_terminal:
            logger.info(line)
        else:
            for handler in logger.handlers:
                if isinstance(handler, logging.FileHandler):
                    handler.emit(logger.makeRecord("", logging.INFO, "", 0, line, (), None))

    def close(self) -> None:
        """Remove the bar."""
        self.bar.close()


def duration(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
