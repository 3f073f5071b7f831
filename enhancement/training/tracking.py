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
from torch import Tensor
from torch.nn import functional as F

from enhancement.config.blocks import Block
from enhancement.config.plain_yaml import as_yaml
from enhancement.config.schema import Config

logger = logging.getLogger("enhancement")

PICTURE_WIDTH = 960


def hyper_parameters(config: Config) -> dict[str, str | int | float]:
    """What TensorBoard's HPARAMS tab compares runs by."""
    train, data = config.training, config.datasets["train"].options
    network, optimizer = config.network_g, train.optim_g
    chosen: dict[str, Any] = {
        "arch": network.type,  # first in the alphabetical table
        "dataset": data.get("name"),
        "total_iter": train.total_iter,
        "batch_size": data.get("mini_batch_sizes") or data.get("batch_size_per_gpu", 1),
        "gt_size": data.get("gt_sizes") or data.get("gt_size") or data.get("resize"),
        "accumulate": train.accumulate,
        "precision": train.precision,
        "optimizer": optimizer.type,
        "lr": optimizer.options.get("lr"),
        "scheduler": train.scheduler.type if train.scheduler else None,
        "ema_decay": train.ema_decay,
        "losses": ", ".join(map(_loss, train.losses.values())),
        "model": config.model_type,
        "warmup_iter": train.warmup_iter,
        "seed": config.manual_seed,
    }
    chosen |= {f"arch.{k}": v for k, v in network.arguments.items()}
    return {k: v if isinstance(v, (int, float)) else str(v) for k, v in chosen.items()}


def _loss(block: Block) -> str:
    weight = block.options.get("loss_weight", 1)
    return block.type if weight == 1 else f"{weight:g} {block.type}"


def start_wandb(config: Config, folder: Path) -> None:
    """Mirror TensorBoard to Weights & Biases, where the options ask for it and it is installed."""
    asked = config.logger.wandb
    if not asked or not asked.project:
        return
    try:
        import wandb
    except ImportError:
        logger.warning("logger.wandb: wandb is not installed; TensorBoard alone is written")
        return

    wandb.init(
        project=asked.project,
        name=config.name,
        id=asked.resume_id,
        resume="allow",
        config=config.resolved,
        dir=str(folder),
        sync_tensorboard=True,
    )


def _report_unless_os_error(failure: threading.ExceptHookArgs) -> None:
    """TensorBoard's thread passes an OSError on to its next caller, which reports it."""
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
        config: The options, shown as text.
        start_iter: What a killed run wrote beyond this is dropped.
    """

    def __init__(self, folder: Path, config: Config, start_iter: int = 0):
        self.config = config
        self.writer: Any = None
        if config.logger.use_tb_logger:
            from torch.utils.tensorboard import SummaryWriter

            start_wandb(config, folder)
            threading.excepthook = _report_unless_os_error
            after_event_files(folder)
            self.writer = SummaryWriter(str(folder), purge_step=start_iter + 1)
            text = as_yaml(config.resolved)
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
            F.interpolate(
                row,
                (max(1, round(row.shape[-2] * width / row.shape[-1])), width),
                mode="bilinear",
                antialias=True,
            )
            for row in rows
        ]
        with self._may_end():
            self.writer.add_image(tag, torch.cat(scaled, 2)[0].clamp(0, 1), iteration)

    def finish(self, metrics: dict[str, float]) -> None:
        """Record the hyper-parameters with the final metrics, then close."""
        if not self.writer:
            return
        from torch.utils.tensorboard.summary import hparams

        with self._may_end():
            if metrics:
                for summary in hparams(hyper_parameters(self.config), metrics):
                    self.writer.file_writer.add_summary(summary)
                for tag, value in metrics.items():
                    self.writer.add_scalar(tag, value, self.config.training.total_iter)
            self.writer.close()
