"""Training of a segmentation network on well-exposed frames with lesion masks."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from enhancement.config.needs import Needs
from enhancement.inference.run import autocast
from enhancement.registry import MODEL_REGISTRY
from enhancement.scoring.evaluation import Scores, Watch
from enhancement.scoring.protocols import SEGMENTATION
from enhancement.scoring.segmentation import score_masks, segment

from .enhancement_model import EnhancementModel


@MODEL_REGISTRY.register()
class SegmentationModel(EnhancementModel):
    """Trains a network that gives masks, on the ground truth: what a well-lit frame would show.

    Validates by Dice and mIoU; `val.select_by` is one of them.
    """

    needs = Needs(gives="mask", losses=("mask",), masks=True)
    pictures = "frame | found | true mask"

    @property
    def protocol(self) -> str:
        """That of masks, whatever the option file names for images."""
        return SEGMENTATION.name

    def compute_losses(self) -> dict[str, Tensor]:
        """The weighted loss terms of the fed batch, by name."""
        assert self.gt is not None
        with autocast(self.device, self.train_options.precision):
            logits = segment(self.net_g, self.gt)
        return self.terms(lambda loss: loss(logits.float(), self.mask))

    def evaluate(self, loader: Any, watch: Watch) -> Scores:
        """Dice and mIoU on a set's ground truth; `watch` sees frame, found and true mask."""
        return score_masks(self.tested_network, loader, loader.name, self.device, watch)
