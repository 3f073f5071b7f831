"""Training of enhancement through a frozen segmentation network."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from enhancement.config.needs import Needs
from enhancement.registry import MODEL_REGISTRY
from enhancement.scoring.evaluation import Scores, Watch
from enhancement.scoring.segmentation import INPUT, load_segmentation, score_segmentation, segment

from .enhancement_model import EnhancementModel
from .segmentation_losses import MaskLoss

SEGMENTATION = "segmentation"


@MODEL_REGISTRY.register()
class SegmentationGuidedModel(EnhancementModel):
    """As `EnhancementModel`, with losses on the mask that a frozen network finds in the output.

    `train.frozen.segmentation` names that network's checkpoint. Validation scores its masks beside
    the protocol's scores: `val.select_by` may be dice or miou.
    """

    needs = Needs(losses=("image", "mask"), masks=True, frozen=(SEGMENTATION,))

    def build_frozen(self) -> None:
        """Load the segmentation network."""
        self.segmentation = load_segmentation(self.config.frozen[SEGMENTATION]).to(self.device)
        self.record_frozen(SEGMENTATION, self.segmentation)

    def compute_losses(self) -> dict[str, Tensor]:
        """The weighted loss terms of the fed batch, by name."""
        output = self.run(self.lq)
        logits = segment(self.segmentation, output)
        return self.terms(
            lambda loss: (
                loss(logits, self.mask) if isinstance(loss, MaskLoss) else loss(output, self.gt)
            )
        )

    def evaluate(self, loader: Any, watch: Watch) -> Scores:
        """The protocol's scores, and Dice and mIoU on the dark input and on the output."""
        scores = super().evaluate(loader, watch)
        if not scores.rows:  # this process has no share of the set
            return scores
        sides = score_segmentation(
            self.tested_network, self.segmentation, loader, scores.dataset, self.device
        )
        before, after = sides[INPUT], sides[list(sides)[-2]]  # the last but the ground truth
        for row, given, found in zip(scores.rows, before.rows, after.rows, strict=True):
            row.input |= given.output
            row.output |= found.output
        return scores
