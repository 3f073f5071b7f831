"""Training without ground truth."""

from __future__ import annotations

from typing import Any

from enhancement.config.needs import NAMED, Needs
from enhancement.registry import MODEL_REGISTRY

from .named_loss_model import NamedLossModel


@MODEL_REGISTRY.register()
class ZeroReferenceModel(NamedLossModel):
    """As `NamedLossModel`, with losses that take no ground truth; that of pairs is never looked at.

    Validation alone sees ground truths where there are any; where there are none it scores by the
    protocol `no_reference`.
    """

    needs = Needs(losses=(NAMED,), truth=False)

    def feed_data(self, data: dict[str, Any]) -> None:
        """Move a batch to the device, without its ground truth."""
        super().feed_data({name: value for name, value in data.items() if name != "gt"})
