"""Training of a segmentation network on well-exposed frames with lesion masks."""

from __future__ import annotations

from typing import Any

import torch
from basicsr.utils.registry import MODEL_REGISTRY
from torch import Tensor

from enhancement import distributed
from enhancement.inference.run import autocast
from enhancement.scoring.evaluation import Scores
from enhancement.scoring.protocols import SEGMENTATION
from enhancement.scoring.segmentation import score_masks, segment

from .enhancement_model import IMAGES_SHOWN, EnhancementModel, log_means


@MODEL_REGISTRY.register()
class SegmentationModel(EnhancementModel):
    """Trains a network that gives masks, on the ground truth: what a well-lit frame would show.

    Validates by Dice and mIoU; `val.select_by` is one of them.
    """

    protocol = SEGMENTATION.name

    def compute_losses(self) -> dict[str, Tensor]:
        """The weighted loss terms of the fed batch, by name."""
        assert self.gt is not None
        with autocast(self.device, self.opt["train"]["precision"]):
            logits = segment(self.net_g, self.gt)
        return self.terms(lambda loss: loss(logits.float(), self.mask))

    def validation(
        self, dataloader: Any, current_iter: int, tb_logger: Any, save_img: bool = False
    ) -> Scores:
        """Dice and mIoU on a set's ground truth; logs means and a grid: frame, found, true."""
        name = dataloader.dataset.opt["name"]
        shown: list[Tensor] = []

        def watch(_: str, *pictures: Tensor) -> None:
            if len(shown) < IMAGES_SHOWN:
                shown.append(torch.cat(pictures, 3).cpu())

        distributed.same_everywhere(self.tested_network)
        with distributed.together():
            scores = score_masks(self.tested_network, dataloader, name, self.device, watch)
        scores.rows = distributed.gather(scores.rows)
        if tb_logger:
            log_means(tb_logger, scores, current_iter)
            tb_logger.add_pictures(f"{name}: frame | found | true mask", shown, current_iter)
        return scores
