"""Enhancement networks for dark and hazy images behind one BasicSR registry.

Importing this registers every network, model, dataset, loss and metric.
"""

from . import compat  # isort: skip  (makes BasicSR importable)
from . import archs, data, metrics, models

__all__ = ["archs", "compat", "data", "metrics", "models"]
__version__ = "0.1.0"
