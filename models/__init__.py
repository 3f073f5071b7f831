"""Training wrappers and losses, registered in BasicSR's registries."""

from . import (
    enhancement_model,
    illumination_model,
    losses,
    lr_schedulers,
    mixup,
    segmentation_guided_model,
    segmentation_losses,
    segmentation_model,
)

__all__ = [
    "enhancement_model",
    "illumination_model",
    "losses",
    "lr_schedulers",
    "mixup",
    "segmentation_guided_model",
    "segmentation_losses",
    "segmentation_model",
]
