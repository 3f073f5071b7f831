"""Enhancement networks for dark and hazy images behind one BasicSR registry.

Importing this registers every network, model, dataset, loss and metric.
"""

import os

# large tensors in large pages of memory, where the system has them: PyTorch reads this once
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

from . import compat  # isort: skip  (makes BasicSR importable)
from . import archs, data, metrics, models

__all__ = ["archs", "compat", "data", "metrics", "models"]
__version__ = "0.1.0"
