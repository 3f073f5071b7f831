"""Training wrappers and losses, registered in BasicSR's registries."""

from . import (
    basicsr_models,
    enhancement_model,
    illumination_model,
    losses,
    low_light_losses,
    lr_schedulers,
    mixup,
    segmentation_guided_model,
    segmentation_losses,
    segmentation_model,
)

__all__ = [
    "basicsr_models",
    "enhancement_model",
    "illumination_model",
    "losses",
    "low_light_losses",
    "lr_schedulers",
    "mixup",
    "segmentation_guided_model",
    "segmentation_losses",
    "segmentation_model",
]
