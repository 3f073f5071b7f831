"""Training wrappers and losses, registered in BasicSR's registries."""

if __name__ == "models":  # models and losses are registered once
    raise ImportError("this folder is the package `enhancement.models`; import it by that name")

from . import (
    basicsr_models,
    edge_losses,
    enhancement_model,
    fourier_losses,
    losses,
    low_light_losses,
    lr_schedulers,
    mixup,
    named_loss_model,
    retinex_losses,
    segmentation_guided_model,
    segmentation_losses,
    segmentation_model,
    two_exposure_losses,
    zero_reference_losses,
    zero_reference_model,
)

__all__ = [
    "basicsr_models",
    "edge_losses",
    "enhancement_model",
    "fourier_losses",
    "losses",
    "low_light_losses",
    "lr_schedulers",
    "mixup",
    "named_loss_model",
    "retinex_losses",
    "segmentation_guided_model",
    "segmentation_losses",
    "segmentation_model",
    "two_exposure_losses",
    "zero_reference_losses",
    "zero_reference_model",
]
