"""Metrics of pyiqa by name, where it is installed; its licence forbids commercial use.

Nothing here needs it, and its scores stand in tables of their own.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from enhancement.errors import UserError, hint
from enhancement.scoring.metrics import Metric
from enhancement.scoring.protocols import Protocol

NAME = "pyiqa"


def pyiqa_protocol(names: list[str], device: torch.device) -> Protocol:
    """A protocol of pyiqa's metrics, in the order of their names.

    Raises:
        UserError: pyiqa is not installed, has no such metric, or cannot fetch its weights.
    """
    try:
        pyiqa: Any = import_module(NAME)
    except ImportError as error:
        raise UserError(
            f"--pyiqa: pyiqa cannot be imported ({error}); pip install pyiqa, whose licence is "
            f"for non-commercial use"
        ) from error
    known = pyiqa.list_models()
    for name in names:
        if name not in known:
            raise UserError(f"--pyiqa: unknown metric '{name}'; {hint(name, known)}")
    return Protocol(NAME, tuple(_metric(pyiqa, name, device) for name in dict.fromkeys(names)))


def _metric(pyiqa: Any, name: str, device: torch.device) -> Metric:
    try:
        made = pyiqa.create_metric(name, device=device)
    except Exception as error:  # whatever a download, or a package that it wants, raises
        raise UserError(f"--pyiqa: {name} cannot be made ({error})") from error
    compares = made.metric_mode == "FR"

    def score(output: Tensor, gt: Tensor | None) -> float:
        images = (output.float(), gt.float()) if compares and gt is not None else (output.float(),)
        return float(made(*images))

    return Metric(
        name=name,
        title=name,
        function=score,
        better="low" if made.lower_better else "high",
        against="truth" if compares else "nothing",
    )
