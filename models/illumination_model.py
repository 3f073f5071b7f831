"""Training of networks that return an illumination map along with their output."""

from __future__ import annotations

from torch import Tensor

from enhancement.config.needs import Needs
from enhancement.registry import MODEL_REGISTRY

from .enhancement_model import EnhancementModel
from .losses import IlluminationLoss


@MODEL_REGISTRY.register()
class IlluminationModel(EnhancementModel):
    """As `EnhancementModel`, with losses on the illumination map as well as on the output."""

    needs = Needs(illumination=True, losses=("image", "illumination"))

    def compute_losses(self) -> dict[str, Tensor]:
        """The weighted loss terms of the fed batch, by name."""
        output, illumination = self.run(self.lq, with_illumination=True)
        return self.terms(
            lambda loss: (
                loss(illumination, self.gt, self.lq)
                if isinstance(loss, IlluminationLoss)
                else loss(output, self.gt)
            )
        )
