"""What a run shows while it goes: terminal, log file, TensorBoard."""

from __future__ import annotations

import logging
import re
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

logger = logging.getLogger("enhancement")

PICTURE_WIDTH = 960


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
