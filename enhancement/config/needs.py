"""What a model declares that it trains with, for the check of option files."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, Literal

NAMED = "named"  # what a loss compares that names it (models/losses.py, `NamedLoss`)


@dataclass(frozen=True)
class Needs:
    """A model class's attribute `needs`; BasicSR's own models have none.

    Attributes:
        gives: What its network gives: an "image" or a "mask".
        outputs: What the network must give beside its output (`Network.extra_outputs`).
        losses: What its losses may compare: "image", "mask", or what they name.
        masks: Whether its datasets must have masks.
        frozen: Entries of `train.frozen` that are no parts of the network.
        truth: Whether it trains on pairs; its losses may ask for ground truth if so.
    """

    gives: Literal["image", "mask"] = "image"
    outputs: tuple[str, ...] = ()
    losses: tuple[str, ...] = ("image",)
    masks: bool = False
    frozen: tuple[str, ...] = ()
    truth: bool = True

    @classmethod
    def of(cls, model: Any) -> Needs:
        """Those of a registered model."""
        return getattr(model, "needs", None) or cls()


def compared_by(loss: Any) -> str:
    """What a loss class declares to compare: "image" (BasicSR's), "mask" or "named"."""
    return str(getattr(loss, "compares", "image"))


def taken_by(loss: Any) -> tuple[str, ...]:
    """What a class of named losses takes: the parameters of its `forward`."""
    return tuple(inspect.signature(loss.forward).parameters)[1:]


def asks_for_truth(loss: Any) -> bool:
    """Whether a loss class needs the other side of the pairs, itself or for what it takes."""
    named = compared_by(loss) == NAMED
    return not named or "gt" in taken_by(loss) or getattr(loss, "of_pairs", False)
