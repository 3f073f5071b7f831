"""Enhancement networks for dark and hazy images behind one BasicSR registry.

Importing this registers every network, model, dataset, loss and metric.
"""

import os

# large tensors in large pages of memory, where the system has them: PyTorch reads this once
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

from .registry import register_all

__version__ = "0.1.0"
register_all()

from .weights.networks import load_network  # noqa: E402 - the networks have to be registered

__all__ = ["load_network"]
