"""Training wrappers and losses, registered in BasicSR's registries."""

from . import enhancement_model, losses

__all__ = ["enhancement_model", "losses"]
