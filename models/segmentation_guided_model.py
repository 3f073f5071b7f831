"""Training of enhancement through a frozen segmentation network."""

from __future__ import annotations

from typing import Any

from basicsr.utils.registry import MODEL_REGISTRY
from torch import Tensor

from enhancement.scoring.evaluation import Scores
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

    own_frozen = (SEGMENTATION,)

    def _init_training(self) -> None:
        super()._init_training()
        path = self.opt["train"]["frozen"][SEGMENTATION]
        self.segmentation = load_segmentation(path).to(self.device)
        self.record_frozen(SEGMENTATION, path, self.segmentation)

    def compute_losses(self) -> dict[str, Tensor]:
        """The weighted loss terms of the fed batch, by name."""
        output = self.run(self.lq)
        logits = segment(self.segmentation, output)
        return self.terms(
            lambda loss: (
                loss(logits, self.mask) if isinstance(loss, MaskLoss) else loss(output, self.gt)
            )
        )

    def score_further(self, scores: Scores, dataloader: Any) -> None:
        """Dice and mIoU on the dark input and on the output."""
        if not scores.rows:  # this process has no share of the set
            return
        sides = score_segmentation(
            self.tested_network, self.segmentation, dataloader, scores.dataset, self.device
        )
        last = list(sides)[-2]  # before the ground truth
        for row, before, after in zip(
            scores.rows, sides[INPUT].rows, sides[last].rows, strict=True
        ):
            row.input |= before.output
            row.output |= after.output
