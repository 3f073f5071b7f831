"""What a model declares that it trains with, for the check of option files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Needs:
    """A model class's attribute `needs`; BasicSR's own models have none.

    Attributes:
        gives: What its network gives: an "image" or a "mask".
        illumination: Whether the network must give its illumination map as well.
        losses: What its losses may compare: "image", "illumination" or "mask".
        masks: Whether its datasets must have masks.
        frozen: Entries of `train.frozen` that are no parts of the network.
    """

    gives: Literal["image", "mask"] = "image"
    illumination: bool = False
    losses: tuple[str, ...] = ("image",)
    masks: bool = False
    frozen: tuple[str, ...] = ()

    @classmethod
    def of(cls, model: Any) -> Needs:
        """Those of a registered model."""
        return getattr(model, "needs", None) or cls()


def compared_by(loss: Any) -> str:
    """What a loss class declares to compare: "image" (BasicSR's), "illumination" or "mask"."""
    return str(getattr(loss, "compares", "image"))
